//! Quorate on the hosts of a room, brought there as an operator does it: packages installed, a cluster founded, members joined.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::description::address;
use crate::error::{LabError, OnFile};
use crate::host::Host;
use crate::progress::Progress;
use crate::room::Room;

/// The two packages: the member, and the command line.
const NAMES: [&str; 2] = ["quorated", "quorate"];

/// Where a package lies in a host while it is installed.
const INCOMING: &str = "/var/cache/quorate-lab";

/// Starts the member now and at each start of the host, under either process 1.
const START: &str =
    "if [ -d /run/systemd/system ]; then systemctl enable --now quorated; else /etc/rc.local; fi";

/// How long a member may take for anything; the processors of a room are slow, and busy with all members.
const PATIENCE: Duration = Duration::from_secs(120);

/// Debian packages of Quorate, built by `make packages`.
#[derive(Debug, Clone)]
pub struct Packages {
    files: Vec<PathBuf>,
}

impl Packages {
    /// The newest package of each name in a directory.
    pub fn find(directory: &Path) -> Result<Packages, LabError> {
        let files = NAMES.iter().map(|name| newest(directory, name));
        Ok(Packages {
            files: files.collect::<Result<_, _>>()?,
        })
    }

    /// Installs or upgrades them with `dpkg`, without a mirror; returns what dpkg said.
    pub fn install(&self, host: Host<'_>) -> Result<String, LabError> {
        for file in &self.files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            host.copy_in(file, &format!("{INCOMING}/{name}"))?;
        }
        host.run(&format!(
            "export DEBIAN_FRONTEND=noninteractive; dpkg -i {INCOMING}/*.deb 2>&1 && rm -r {INCOMING}"
        ))
    }
}

fn newest(directory: &Path, name: &str) -> Result<PathBuf, LabError> {
    let mut found: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(directory).on("list", directory)? {
        let path = entry.on("list", directory)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if !(file.starts_with(&format!("{name}_")) && file.ends_with(".deb")) {
            continue;
        }
        let changed = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .on("look at", &path)?;
        if found.as_ref().is_none_or(|(newest, _)| changed > *newest) {
            found = Some((changed, path));
        }
    }
    found
        .map(|(_, path)| path)
        .ok_or_else(|| LabError::Missing {
            what: format!("the package {name}_*.deb in {}", directory.display()),
            remedy: "build it with `make packages`".to_owned(),
        })
}

/// A member, started now and whenever its host starts.
pub fn start_member(host: Host<'_>) -> Result<(), LabError> {
    let supervisor: &[u8] = include_bytes!("../guest/rc.local");
    host.write_file(supervisor, "/etc/rc.local", 0o755)?;
    host.run(START).map(drop)
}

/// Runs the command line in a host, as the administrator that `quorate init` has made.
pub fn quorate(host: Host<'_>, arguments: &str) -> Result<String, LabError> {
    host.run(&format!("HOME=/root quorate {arguments}"))
}

/// Installs the packages on each host of a room, founds a cluster on the first and joins the others. Of an odd number of
/// hosts from three on, the last is a witness. Returns a context file for programs at the room's desk.
pub fn found(room: &Room, packages: &Packages, progress: &Progress) -> Result<PathBuf, LabError> {
    let hosts = u8::try_from(room.status()?.hosts.len()).unwrap_or(u8::MAX);
    progress.step("installing Quorate's packages on all hosts");
    thread::scope(|scope| {
        let each: Vec<_> = (1..=hosts)
            .map(|number| scope.spawn(move || packages.install(room.host(number))))
            .collect();
        each.into_iter().try_for_each(|install| {
            install
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .map(drop)
        })
    })?;

    progress.step("node1: quorate init");
    let first = room.host(1);
    let name = room.name();
    quorate(
        first,
        &format!("init --cluster-name {name} {}", addresses(1)),
    )?;
    start_member(first)?;
    room.eventually("the first member to lead", PATIENCE, |_| {
        quorate(first, "cluster status")
    })?;
    for number in 2..=hosts {
        let witness = number == hosts && hosts % 2 == 1;
        join(room, number, witness, progress)?;
    }

    let endpoints: String = (1..=hosts)
        .map(|number| format!(" --endpoint {}:7443", address("10.20", number)))
        .collect();
    quorate(first, &format!("config set-context {name}{endpoints}"))?;
    keep_context(room)
}

fn join(room: &Room, number: u8, witness: bool, progress: &Progress) -> Result<(), LabError> {
    let host = room.host(number);
    let (name, kind) = (host.name(), if witness { "a witness" } else { "a member" });
    progress.step(&format!("{name}: quorate join, as {kind}"));
    let flag = if witness { " --witness" } else { "" };
    let token = quorate(
        room.host(1),
        &format!("cluster join-token create member{flag}"),
    )?;
    let server = address("10.20", 1);
    quorate(
        host,
        &format!("join {token} --server {server} {}", addresses(number)),
    )?;
    start_member(host)?;
    room.eventually(&format!("{name} to get its vote"), PATIENCE, |room| {
        quorate(room.host(1), &format!("cluster promote {name}"))
    })
    .map(drop)
}

/// A member is reached over the back-channel, and over the storage network when that is dead.
fn addresses(number: u8) -> String {
    format!(
        "--address {} --address {}",
        address("10.20", number),
        address("10.10", number)
    )
}

fn keep_context(room: &Room) -> Result<PathBuf, LabError> {
    let text = room
        .host(1)
        .read_file("/root/.config/quorate/config.yaml")?;
    let path = room.place().join("context.yaml");
    fs::write(&path, text).on("write", &path)?;
    // The administrator's key is in it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).on("protect", &path)?;
    Ok(path)
}

/// Applies the manifests of a directory of this machine, from the first host.
pub fn apply(room: &Room, manifests: &Path) -> Result<String, LabError> {
    let there = "/root/manifests";
    for entry in fs::read_dir(manifests).on("list", manifests)? {
        let path = entry.on("list", manifests)?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            room.host(1).copy_in(&path, &format!("{there}/{name}"))?;
        }
    }
    quorate(room.host(1), &format!("apply -f {there}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_are_not_built_are_missing_with_the_command_that_builds_them() {
        let empty = tempfile::tempdir().expect("a directory");
        fs::write(empty.path().join("quorated_0.1.0-1_amd64.deb"), "").expect("written");
        let error = Packages::find(empty.path())
            .expect_err("one of two")
            .to_string();
        assert!(
            error.contains("quorate_*.deb") && error.contains("make packages"),
            "{error}"
        );
    }
}
