//! What is told to the kernel's lock manager, and what it shows.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::address;
use super::tree::Tree;

const CLUSTER: &str = "/sys/kernel/config/dlm/cluster";
const SPACES: &str = "/sys/kernel/dlm";

/// F_SETLKW, F_SETLKW64 and F_OFD_SETLKW.
const UNTIL_FREE: [u64; 3] = [7, 14, 38];

/// A thread that waits in the kernel for the answer to a question for a lock of programs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asker {
    pub(super) process: u32,
    pub(super) thread: String,
    /// Until the lock is free, however long that takes.
    pub(super) until_free: bool,
    /// Below the filesystem, when that is known.
    pub(super) device: Option<String>,
}

/// The kernel's lock manager.
#[derive(Clone)]
pub(super) struct Kernel(pub(super) Arc<dyn Tree>);

impl Kernel {
    pub(super) fn is_loaded(&self) -> bool {
        self.0
            .list("/sys/kernel/config")
            .is_ok_and(|there| there.iter().any(|one| one == "dlm"))
    }

    /// Lockspaces that exist, in whatever state.
    pub(super) fn lockspaces(&self) -> io::Result<Vec<String>> {
        self.0.list(SPACES)
    }

    /// Whether it gives locks, as far as it shows: it clears this when it stops.
    pub(super) fn gives_locks(&self, space: &str) -> bool {
        self.0
            .read(&format!("{SPACES}/{space}/recover_status"))
            .is_ok_and(|status| !status.trim().trim_start_matches('0').is_empty())
    }

    /// The hosts that it was told of, by whomever.
    pub(super) fn hosts(&self) -> io::Result<Vec<u32>> {
        let names = self.0.list(&format!("{CLUSTER}/comms"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The lockspaces that it was told the members of, by whomever.
    pub(super) fn configured(&self) -> io::Result<Vec<String>> {
        self.0.list(&format!("{CLUSTER}/spaces"))
    }

    /// Once per boot, and again: lockspaces are made under the name that holds at that moment. The name has no end of
    /// line, for the kernel would take it for a part.
    pub(super) fn set_up(&self, cluster: &str) -> io::Result<()> {
        self.0.make(CLUSTER)?;
        let tell =
            |what: &str, value: &str| self.0.write(&format!("{CLUSTER}/{what}"), value.as_bytes());
        tell("cluster_name", cluster)?;
        // Which journals need a replay is told to the filesystem by the lock manager itself.
        tell("recover_callbacks", "1")
    }

    pub(super) fn add_host(&self, id: u32, address: IpAddr, own: bool) -> io::Result<()> {
        let host = format!("{CLUSTER}/comms/{id}");
        self.0.make(&host)?;
        let tell = |what: &str, value: &[u8]| self.0.write(&format!("{host}/{what}"), value);
        tell("nodeid", id.to_string().as_bytes())?;
        tell("addr", &address::bytes(address))?;
        tell("local", if own { b"1" } else { b"0" })
    }

    pub(super) fn remove_host(&self, id: u32) -> io::Result<()> {
        self.0.remove(&format!("{CLUSTER}/comms/{id}"))
    }

    pub(super) fn members(&self, space: &str) -> io::Result<Vec<u32>> {
        let names = self.0.list(&format!("{CLUSTER}/spaces/{space}/nodes"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    pub(super) fn add_member(&self, space: &str, id: u32) -> io::Result<()> {
        let member = format!("{CLUSTER}/spaces/{space}/nodes/{id}");
        self.0.make(&member)?;
        let tell =
            |what: &str, value: &str| self.0.write(&format!("{member}/{what}"), value.as_bytes());
        tell("nodeid", &id.to_string())?;
        tell("weight", "1")
    }

    pub(super) fn remove_member(&self, space: &str, id: u32) -> io::Result<()> {
        self.0
            .remove(&format!("{CLUSTER}/spaces/{space}/nodes/{id}"))
    }

    pub(super) fn make_space(&self, space: &str) -> io::Result<()> {
        self.0.make(&format!("{CLUSTER}/spaces/{space}"))
    }

    pub(super) fn remove_space(&self, space: &str) -> io::Result<()> {
        for id in self.members(space)? {
            self.remove_member(space, id)?;
        }
        self.0.remove(&format!("{CLUSTER}/spaces/{space}"))
    }

    /// The number that all members give it: only while one waits to be let in.
    pub(super) fn number(&self, space: &str, id: u32) -> io::Result<()> {
        self.tell(space, "id", &id.to_string())
    }

    /// Returns when it gives no more locks.
    pub(super) fn stop(&self, space: &str) -> io::Result<()> {
        self.tell(space, "control", "0")
    }

    /// It takes over its members, and begins to give locks when all of them have begun. One that gives locks ignores it.
    pub(super) fn start(&self, space: &str) -> io::Result<()> {
        self.tell(space, "control", "1")
    }

    /// Answers the mount or the unmount that waits. It is not answered twice: the kernel keeps an answer for whoever asks
    /// next.
    pub(super) fn answer(&self, space: &str, result: i32) -> io::Result<()> {
        self.tell(space, "event_done", &result.to_string())
    }

    fn tell(&self, space: &str, what: &str, value: &str) -> io::Result<()> {
        self.0
            .write(&format!("{SPACES}/{space}/{what}"), value.as_bytes())
    }

    /// What a process that waits in the kernel waits for.
    pub(super) fn is_in(&self, function: &str) -> usize {
        let processes = self.0.list("/proc").unwrap_or_default();
        let numbers = processes.iter().filter(|name| name.parse::<u32>().is_ok());
        let stacks =
            numbers.filter_map(|number| self.0.read(&format!("/proc/{number}/stack")).ok());
        stacks.filter(|stack| stack.contains(function)).count()
    }

    /// Threads that wait for the answer to a question for a lock of programs.
    pub(super) fn askers(&self) -> Vec<Asker> {
        let mut askers = Vec::new();
        for process in self.0.list("/proc").unwrap_or_default() {
            let Ok(process) = process.parse::<u32>() else {
                continue;
            };
            let threads = format!("/proc/{process}/task");
            for thread in self.0.list(&threads).unwrap_or_default() {
                let read = |what: &str| self.0.read(&format!("{threads}/{thread}/{what}"));
                if !read("stack").is_ok_and(|stack| stack.contains("dlm_posix_")) {
                    continue;
                }
                // The number of the call, then its arguments: fcntl, of which file, and what.
                let call = read("syscall").unwrap_or_default();
                let argument = |at: usize| {
                    let word = call.split_whitespace().nth(at)?;
                    u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
                };
                askers.push(Asker {
                    process,
                    thread,
                    until_free: argument(2).is_some_and(|what| UNTIL_FREE.contains(&what)),
                    device: argument(1).and_then(|file| self.device_of(process, file)),
                });
            }
        }
        askers
    }

    /// The device that a file of a process lies on.
    fn device_of(&self, process: u32, file: u64) -> Option<String> {
        let about = self
            .0
            .read(&format!("/proc/{process}/fdinfo/{file}"))
            .ok()?;
        let mount = about
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:"))?
            .trim()
            .to_owned();
        let mounts = self.0.read(&format!("/proc/{process}/mountinfo")).ok()?;
        let fields = mounts.lines().map(|line| line.split(' '));
        let mut found = fields.filter_map(|mut fields| {
            (fields.next()? == mount).then(|| fields.nth(1).map(str::to_owned))
        });
        found.next()?
    }

    /// The device that the filesystem of this lock table lies on.
    pub(super) fn device_below(&self, table: &str) -> Option<String> {
        let device = self.0.read(&format!("/sys/fs/gfs2/{table}/id")).ok()?;
        Some(device.trim().to_owned())
    }

    /// Whether the program that usually drives it runs.
    pub(super) fn is_driven_by_another(&self) -> bool {
        let processes = self.0.list("/proc").unwrap_or_default();
        let numbers = processes.iter().filter(|name| name.parse::<u32>().is_ok());
        numbers
            .filter_map(|number| self.0.read(&format!("/proc/{number}/comm")).ok())
            .any(|name| name.trim() == "dlm_controld")
    }
}
