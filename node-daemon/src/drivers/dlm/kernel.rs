//! What is told to the kernel's lock manager, and what it shows.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::address;
use super::tree::Tree;

const CLUSTER: &str = "/sys/kernel/config/dlm/cluster";
const SPACES: &str = "/sys/kernel/dlm";

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

    /// Whether the program that usually drives it runs.
    pub(super) fn is_driven_by_another(&self) -> bool {
        let processes = self.0.list("/proc").unwrap_or_default();
        let numbers = processes.iter().filter(|name| name.parse::<u32>().is_ok());
        numbers
            .filter_map(|number| self.0.read(&format!("/proc/{number}/comm")).ok())
            .any(|name| name.trim() == "dlm_controld")
    }
}
