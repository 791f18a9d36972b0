//! A host that is so short of memory that it takes away whatever it can take must not look dead. Done to a group of
//! processes of our own: the kernel takes every page of theirs that is not locked, again and again.

use super::member::Member;
use super::process::{Host, Process, Usage};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(25);
/// How often everything is taken away, and how often each beats in between.
const ROUNDS: usize = 20;
const BEATS: usize = 10;

#[test]
fn it_beats_on_without_a_fault_where_one_that_is_not_locked_must_be_read_again_from_disk() {
    let group = match Group::new() {
        Ok(group) => group,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let locked = Beating::start(&group, &[]);
    let unlocked = Beating::start(
        &group,
        &[
            "prlimit",
            "--memlock=0",
            "setpriv",
            "--bounding-set=-ipc_lock",
        ],
    );
    let before = [&locked, &unlocked].map(|one| Usage::of(&one.process));
    if before[0].locked == 0 || before[1].locked > 0 {
        return eprintln!(
            "skipped: here memory cannot be locked, or not be left unlocked: {before:?}"
        );
    }

    for _ in 0..ROUNDS {
        group.take_everything();
        for one in [&locked, &unlocked] {
            let heard = one.member.until("it beats", |heard| heard.len() >= BEATS);
            assert!(heard.is_sorted_by_key(|beat| beat.sequence));
            one.member.forget();
        }
    }

    let after = [&locked, &unlocked].map(|one| Usage::of(&one.process));
    println!("locked: {:?} -> {:?}", before[0], after[0]);
    println!("not locked: {:?} -> {:?}", before[1], after[1]);
    if after[1].faults.1 == before[1].faults.1 {
        return eprintln!(
            "skipped: the kernel takes nothing away here, not even what is not locked"
        );
    }
    assert!(
        after[0].locked >= before[0].locked,
        "all of it stays locked"
    );
    assert_eq!(
        after[0].faults.1, before[0].faults.1,
        "nothing of the locked one had to be read again"
    );
}

/// A lease process with a lease.
struct Beating {
    member: Member,
    process: Process,
    /// Its files and its daemon's end, as long as it lives.
    _host: (Host, super::process::Daemon),
}

impl Beating {
    /// Under a program of its own, whose pages nobody else keeps in memory.
    fn start(group: &Group, through: &[&str]) -> Self {
        let host = Host::new();
        let program = host.run_dir().with_file_name("quorate-lease");
        let copied = group
            .within(&["cp", env!("CARGO_BIN_EXE_quorate-lease")])
            .arg(&program)
            .status();
        assert!(copied.expect("cp runs").success());
        // What is not written to the disk yet cannot be taken away.
        let synced = Command::new("sync").arg(&program).status();
        assert!(synced.expect("sync runs").success());
        let member = Member::start();
        let group = group.path.display().to_string();
        let enter = ["sh", "-c", ENTER, &group];
        let words: Vec<&str> = enter.into_iter().chain(through.iter().copied()).collect();
        let process = host.start_program(&words, &program);
        let daemon = host.daemon();
        daemon.set_up(&host.setup(vec![vec![member.address.clone()]], INTERVAL));
        member.until("it has settled", |heard| heard.len() > 20);
        member.forget();
        Self {
            member,
            process,
            _host: (host, daemon),
        }
    }
}

/// Becomes a member of the group and then the program.
const ENTER: &str = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;

/// A group of processes whose memory is counted, and can be taken away.
struct Group {
    path: PathBuf,
    /// The kernel's file for taking it, and what is to be written there.
    take: (PathBuf, &'static str),
}

impl Group {
    fn new() -> Result<Self, String> {
        for program in ["prlimit", "setpriv"] {
            let there = Command::new(program).arg("--version").output();
            there.map_err(|error| format!("{program}: {error}"))?;
        }
        let mut whys = Vec::new();
        // The second version of the interface, and the first.
        for (root, file, words) in [
            ("/sys/fs/cgroup", "memory.reclaim", "4G"),
            ("/sys/fs/cgroup/memory", "memory.force_empty", "0"),
        ] {
            let path = Path::new(root).join(format!("quorate-pressure-{}", std::process::id()));
            if let Err(error) = std::fs::create_dir(&path) {
                whys.push(format!("{}: {error}", path.display()));
                continue;
            }
            let take = path.join(file);
            if take.exists() {
                return Ok(Self {
                    path,
                    take: (take, words),
                });
            }
            whys.push(format!("{} is not there", take.display()));
            let removed = std::fs::remove_dir(&path);
            removed.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Err(whys.join("; "))
    }

    fn within(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER]).arg(&self.path).args(words);
        command
    }

    fn take_everything(&self) {
        // The kernel says that some of it was not to be had: what is locked.
        if let Err(error) = std::fs::write(&self.take.0, self.take.1) {
            println!("{}: {error}", self.take.0.display());
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Those in it have been killed and waited for.
        if let Err(error) = std::fs::remove_dir(&self.path) {
            eprintln!("{} is left behind: {error}", self.path.display());
        }
    }
}
