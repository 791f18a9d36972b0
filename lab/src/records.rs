//! What is kept of a room in which something has failed: its timeline, and the logs of its programs and hosts.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::request::HostState;
use crate::room::Room;
use crate::supervisor::TIMELINE;

/// How many lines of the timeline are printed; the file has them all.
const PRINTED_LINES: usize = 60;

/// What the room's own programs say, in the room's directory and in each host's.
const OF_THE_ROOM: [&str; 2] = [TIMELINE, "supervisor.log"];
const OF_A_HOST: [&str; 2] = ["qemu.log", "bmc.log"];

/// The logs of the daemons in a host, each under its name, as far as they are worth reading.
const DAEMONS: &str =
    "cd /var/log && tail -n 2000 /dev/null quorate*.log libvirtd.log 2>/dev/null; true";

/// A host that has hung does not answer; nobody waits for it.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// Keeps all this in a directory of its own, and prints the end of the timeline.
pub(crate) fn keep(room: &Room, timelines: &Path) {
    let text = fs::read_to_string(room.place().join(TIMELINE)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("the end of what happened in the room {}:", room.name());
    for line in &lines[lines.len().saturating_sub(PRINTED_LINES)..] {
        eprintln!("  {line}");
    }
    match copy(room, timelines) {
        Ok(kept) => eprintln!("all of it, and its logs: {}", kept.display()),
        Err(error) => eprintln!("it could not be kept in {}: {error}", timelines.display()),
    }
}

fn copy(room: &Room, timelines: &Path) -> io::Result<PathBuf> {
    let kept = unused(timelines, room.name())?;
    for log in OF_THE_ROOM {
        copy_log(room.place(), &kept, log)?;
    }
    for entry in fs::read_dir(room.place())?.flatten() {
        let place = entry.path();
        if !place.join(OF_A_HOST[0]).exists() && !place.join(OF_A_HOST[1]).exists() {
            continue;
        }
        let kept = kept.join(entry.file_name());
        fs::create_dir(&kept)?;
        for log in OF_A_HOST {
            copy_log(&place, &kept, log)?;
        }
    }
    // A room that does not answer any more has nothing but its files.
    let hosts = room.status().map(|status| status.hosts).unwrap_or_default();
    for (host, number) in hosts.iter().zip(1..) {
        if host.state == HostState::Up && !host.frozen {
            let said = room
                .host(number)
                .exec_within(DAEMONS, ANSWERS_WITHIN)
                .map_or_else(|error| error.to_string().into_bytes(), |said| said.stdout);
            fs::write(kept.join(&host.name).join("daemons.log"), said)?;
        }
    }
    Ok(kept)
}

/// A log that was never begun is not there.
fn copy_log(from: &Path, to: &Path, log: &str) -> io::Result<()> {
    match fs::copy(from.join(log), to.join(log)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A new directory: several rooms of this name may fail in one run.
fn unused(timelines: &Path, name: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(timelines)?;
    let mut number = 1;
    loop {
        let place = timelines.join(format!("{name}-{}-{number}", std::process::id()));
        match fs::create_dir(&place) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_failure_has_kept_is_not_overwritten_by_the_next() {
        let timelines = tempfile::tempdir().expect("a directory");
        let first = unused(timelines.path(), "trial").expect("made");
        let second = unused(timelines.path(), "trial").expect("made");
        assert_ne!(first, second);
    }
}
