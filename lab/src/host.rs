//! One host in the hands of a test: commands, and everything that can happen to it. Each hand has its undo beside it.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::agent::Output;
use crate::description::{Feed, bmc_address, host_name};
use crate::error::{LabError, OnFile};
use crate::frame::Kind;
use crate::request::{BmcMood, Cable, DiskMood, Hand, HostState, HostStatus};
use crate::room::Room;

/// Where a host keeps how its killed processes were started.
const KILLED: &str = "/run/quorate-lab/killed";

/// Where it keeps which file systems are filled.
const FILLED: &str = "/run/quorate-lab/filled";

/// How many seconds the clock of a good host may be away from its hardware's.
const CLOCK_ERROR: u32 = 60;

/// A host of a room.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    room: &'a Room,
    number: u8,
}

impl<'a> Host<'a> {
    pub(crate) fn new(room: &'a Room, number: u8) -> Host<'a> {
        Host { room, number }
    }

    /// `node1` for 1.
    #[must_use]
    pub fn name(&self) -> String {
        host_name(self.number)
    }

    /// What its system calls itself: the same, unless the description gives it a name of its own.
    pub fn called(&self) -> Result<String, LabError> {
        self.status().map(|status| status.called)
    }

    /// Where its BMC answers.
    #[must_use]
    pub fn bmc_address(&self) -> String {
        bmc_address(self.number)
    }

    /// How it is.
    pub fn status(&self) -> Result<HostStatus, LabError> {
        let hosts = self.room.status()?.hosts;
        hosts
            .into_iter()
            .nth(usize::from(self.number) - 1)
            .ok_or_else(|| {
                LabError::Refused(format!(
                    "there is no {} in the room {}",
                    self.name(),
                    self.room.name()
                ))
            })
    }

    /// What it is doing.
    pub fn state(&self) -> Result<HostState, LabError> {
        self.status().map(|status| status.state)
    }

    /// Runs a shell command to its end, whatever its exit code.
    pub fn exec(&self, command: &str) -> Result<Output, LabError> {
        self.room
            .session(self.number, &["sh", "-c", command])?
            .collect(io::empty())
    }

    /// The same for a host that may have hung: nobody waits longer than this for its next word.
    pub fn exec_within(&self, command: &str, patience: Duration) -> Result<Output, LabError> {
        self.room
            .session(self.number, &["sh", "-c", command])?
            .patient_for(patience)?
            .collect(io::empty())
    }

    /// Runs a shell command that must succeed, and returns what it printed, without the last line break.
    pub fn run(&self, command: &str) -> Result<String, LabError> {
        self.succeeded(command, &self.exec(command)?)
    }

    /// What a shell command printed that must have succeeded, without the last line break.
    pub(crate) fn succeeded(&self, command: &str, output: &Output) -> Result<String, LabError> {
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        if output.code == 0 {
            return Ok(text);
        }
        Err(LabError::Program {
            command: format!("{}: {command}", self.name()),
            status: format!("exit code {}", output.code),
            output: format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)),
        })
    }

    /// Runs a program with this one's standard input and outputs.
    pub fn attach(&self, argv: &[&str]) -> Result<u32, LabError> {
        self.room
            .session(self.number, argv)?
            .carry(io::stdin(), |kind, bytes| {
                // Nobody may read any more; the command still runs to its end.
                let _ = match kind {
                    Kind::Stdout => io::stdout()
                        .write_all(bytes)
                        .and_then(|()| io::stdout().flush()),
                    _ => io::stderr().write_all(bytes),
                };
            })
    }

    /// Copies a file into the host, with its permissions. Like [`Host::write_file`], it is on the disk when this returns.
    pub fn copy_in(&self, from: &Path, to: &str) -> Result<(), LabError> {
        let file = fs::File::open(from).on("open", from)?;
        let mode = file.metadata().on("look at", from)?.permissions().mode();
        self.write_file(file, to, mode & 0o7777)
    }

    /// Writes a file in the host, through to its disk: it is whole after a loss of mains that follows at once.
    pub fn write_file(
        &self,
        content: impl Read + Send + 'static,
        to: &str,
        mode: u32,
    ) -> Result<(), LabError> {
        let script = "set -e; mkdir -p \"$(dirname \"$1\")\"; cat >\"$1\"; chmod \"$2\" \"$1\"; sync -f \"$1\"";
        let argv = ["sh", "-c", script, "sh", to, &format!("{mode:o}")];
        let output = self.room.session(self.number, &argv)?.collect(content)?;
        if output.code == 0 {
            return Ok(());
        }
        Err(LabError::Program {
            command: format!("{}: write {to}", self.name()),
            status: format!("exit code {}", output.code),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Copies a file out of the host, with its permissions.
    pub fn copy_out(&self, from: &str, to: &Path) -> Result<(), LabError> {
        let mode = self.run(&format!("stat -L -c %a '{from}'"))?;
        let mode = u32::from_str_radix(&mode, 8)
            .map_err(|error| LabError::Room(format!("the mode of {from} is {mode:?}: {error}")))?;
        fs::write(to, self.read_file(from)?).on("write", to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(mode)).on("set the mode of", to)
    }

    /// A file of the host.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, LabError> {
        let output = self
            .room
            .session(self.number, &["cat", path])?
            .collect(io::empty())?;
        if output.code == 0 {
            return Ok(output.stdout);
        }
        Err(LabError::Program {
            command: format!("{}: cat {path}", self.name()),
            status: format!("exit code {}", output.code),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    // Power.

    /// Both cords are pulled: machine and BMC are dark at once.
    pub fn lose_mains(&self) -> Result<(), LabError> {
        Feed::BOTH
            .into_iter()
            .try_for_each(|feed| self.cord(feed, false))
    }

    /// Both cords are plugged: the BMC starts, and starts the host.
    pub fn restore_mains(&self) -> Result<(), LabError> {
        Feed::BOTH
            .into_iter()
            .try_for_each(|feed| self.cord(feed, true))
    }

    /// One cord is pulled or plugged.
    pub fn cord(&self, feed: Feed, plugged: bool) -> Result<(), LabError> {
        self.room.act(Hand::Cord {
            host: self.number,
            feed,
            plugged,
        })
    }

    /// The power button is pressed shortly: the host shuts itself down, or is switched on.
    pub fn press_button(&self) -> Result<(), LabError> {
        self.room.act(Hand::Button {
            host: self.number,
            long: false,
        })
    }

    /// The power button is held down: the power is cut.
    pub fn hold_button(&self) -> Result<(), LabError> {
        self.room.act(Hand::Button {
            host: self.number,
            long: true,
        })
    }

    /// Its BMC behaves like this from now on.
    pub fn bmc(&self, mood: BmcMood) -> Result<(), LabError> {
        self.room.act(Hand::Bmc {
            host: self.number,
            mood,
        })
    }

    /// A line in the timeline for what is done inside the host.
    fn note(&self, what: &str) -> Result<(), LabError> {
        self.room.note(&format!("{}: {what}", self.name()))
    }

    // The kernel and its processes.

    /// All processors stop, and with them everything that is emulated.
    pub fn freeze(&self) -> Result<(), LabError> {
        self.room.act(Hand::Freeze {
            host: self.number,
            frozen: true,
        })
    }

    /// The processors go on.
    pub fn thaw(&self) -> Result<(), LabError> {
        self.room.act(Hand::Freeze {
            host: self.number,
            frozen: false,
        })
    }

    /// The kernel panics. It boots again by itself after five seconds: that is the undo.
    pub fn crash(&self) -> Result<(), LabError> {
        self.note("its kernel is crashed")?;
        self.panic("")
    }

    /// The kernel hangs and stays so: nothing runs or answers any more, but the machine does, its watchdog and its wires to the BMC. Switching it off
    /// and on is the undo, or the watchdog where it is armed.
    pub fn hang(&self) -> Result<(), LabError> {
        self.note("its kernel is hung")?;
        self.panic("sysctl -q -w kernel.panic=0; ")
    }

    fn panic(&self, before: &str) -> Result<(), LabError> {
        // In the background, so that the answer is not lost with the host.
        self.run(&format!(
            "{before}(sleep 0.2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &"
        ))
        .map(drop)
    }

    /// Kills all processes whose program has this name, and remembers how each was started.
    pub fn kill(&self, process: &str) -> Result<(), LabError> {
        self.note(&format!("all processes {process} are killed"))?;
        // The kernel knows a process by the first fifteen characters; its program has the whole name.
        self.run(&format!(
            "rm -rf {KILLED}/'{process}' && mkdir -p {KILLED}/'{process}' && cd {KILLED}/'{process}' || exit
             for pid in $(pgrep -x '{}'); do
                 program=$(readlink /proc/$pid/exe) && [ \"${{program##*/}}\" = '{process}' ] || [ '{process}' = \"$(cat /proc/$pid/comm)\" ] || continue
                 user=$(stat -c %u /proc/$pid) && cp /proc/$pid/cmdline $pid.$user && kill -KILL $pid
             done
             ls | grep -q ."
        , known_to_kernel(process)))
        .map(drop)
    }

    /// Starts again, as the same user, what was killed under this name.
    pub fn revive(&self, process: &str) -> Result<(), LabError> {
        self.note(&format!("all processes {process} are started again"))?;
        self.run(&format!(
            "cd {KILLED}/'{process}' || exit
             for killed in *.*; do
                 xargs -0 -a $killed setsid -f setpriv --reuid ${{killed#*.}} >/dev/null 2>&1 || exit
             done
             cd / && rm -r {KILLED}/'{process}'"
        ))
        .map(drop)
    }

    /// The clock jumps by so many seconds.
    pub fn step_clock(&self, seconds: i64) -> Result<(), LabError> {
        self.note(&format!("its clock steps by {seconds} s"))?;
        self.run(&format!("date -s @$(( $(date +%s) + {seconds} ))"))
            .map(drop)
    }

    /// The clock is set by the hardware's, which was right all the time.
    pub fn set_clock(&self) -> Result<(), LabError> {
        self.note("its clock is set by the hardware's")?;
        self.run("hwclock -s -u").map(drop)
    }

    // Cables.

    /// A cable is cut: the carrier is lost. `nic` is `bcn-a`, `sn-b`, …
    pub fn cut(&self, nic: &str) -> Result<(), LabError> {
        self.cable(nic, Cable::Cut)
    }

    /// A cable swallows everything; its carrier stays.
    pub fn black_hole(&self, nic: &str) -> Result<(), LabError> {
        self.cable(nic, Cable::BlackHole)
    }

    /// The cable is good again.
    pub fn plug(&self, nic: &str) -> Result<(), LabError> {
        self.cable(nic, Cable::Plugged)
    }

    fn cable(&self, nic: &str, state: Cable) -> Result<(), LabError> {
        self.room.act(Hand::Cable {
            host: self.number,
            nic: nic.to_owned(),
            state,
        })
    }

    /// What the host sends over this NIC is late, and some of it is lost.
    pub fn disturb(&self, nic: &str, delay_ms: u32, loss_percent: u32) -> Result<(), LabError> {
        self.note(&format!(
            "what {nic} sends is {delay_ms} ms late, and {loss_percent} % of it is lost"
        ))?;
        let netem = format!("netem delay {delay_ms}ms loss {loss_percent}%");
        self.run(&format!("tc qdisc replace dev '{nic}' root {netem}"))
            .map(drop)
    }

    /// The NIC sends at once again.
    pub fn calm(&self, nic: &str) -> Result<(), LabError> {
        self.note(&format!("{nic} sends at once again"))?;
        self.run(&format!("tc qdisc delete dev '{nic}' root"))
            .map(drop)
    }

    // Disks.

    /// Every request to this data disk fails; 0 is `/dev/vdc`.
    pub fn fail_disk(&self, disk: usize) -> Result<(), LabError> {
        self.disk(disk, DiskMood::Failing)
    }

    /// This data disk does so many bytes per second.
    pub fn slow_disk(&self, disk: usize, bytes_per_second: u64) -> Result<(), LabError> {
        self.disk(disk, DiskMood::Slow(bytes_per_second))
    }

    /// This data disk is good again.
    pub fn heal_disk(&self, disk: usize) -> Result<(), LabError> {
        self.disk(disk, DiskMood::Healthy)
    }

    fn disk(&self, disk: usize, mood: DiskMood) -> Result<(), LabError> {
        self.room.act(Hand::Disk {
            host: self.number,
            disk,
            mood,
        })
    }

    /// The file system at this directory is full to the last block.
    pub fn fill(&self, directory: &str) -> Result<(), LabError> {
        self.note(&format!("the file system at {directory} is filled"))?;
        let ballast = format!("'{directory}/.ballast'");
        self.run(&format!(
            "echo '{directory}' >>{FILLED}
             dd if=/dev/zero of={ballast} bs=1M 2>/dev/null; dd if=/dev/zero of={ballast}.2 bs=4k 2>/dev/null; true"
        ))
        .map(drop)
    }

    /// It has room again.
    pub fn unfill(&self, directory: &str) -> Result<(), LabError> {
        self.note(&format!("the file system at {directory} has room again"))?;
        self.run(&format!(
            "rm -f '{directory}/.ballast' '{directory}/.ballast.2'
             grep -vxF '{directory}' {FILLED} >{FILLED}.left; mv {FILLED}.left {FILLED}"
        ))
        .map(drop)
    }

    /// What hands have done inside the host and has not been undone, in words; a host that has hung is found too.
    pub fn not_undone(&self) -> Result<Vec<String>, LabError> {
        let look = format!(
            "tc qdisc show | sed -n 's/^qdisc netem .* dev \\([^ ]*\\).*/\\1 is disturbed/p'
             sed 's/$/ is full/' {FILLED} 2>/dev/null
             ls {KILLED} 2>/dev/null | sed 's/$/ is killed/'
             here=$(date +%s) hardware=$(date -d \"$(hwclock --get --utc)\" +%s)
             [ $((here - hardware)) -gt -{CLOCK_ERROR} ] && [ $((here - hardware)) -lt {CLOCK_ERROR} ] || echo \"its clock says $here, the hardware's $hardware\""
        );
        let output = self.exec_within(&look, Duration::from_secs(60))?;
        Ok(self
            .succeeded(&look, &output)?
            .lines()
            .map(str::to_owned)
            .collect())
    }
}

/// What the kernel calls the processes of a program.
fn known_to_kernel(program: &str) -> &str {
    program.get(..15).unwrap_or(program)
}
