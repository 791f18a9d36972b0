//! The words of the command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate_lab::LabError;
use quorate_lab::description::{Feed, host_name};
use quorate_lab::power::PduMood;
use quorate_lab::request::{BmcMood, Cable, DiskMood, Hand};

/// The machine room: a whole cluster of real hosts in QEMU.
#[derive(Debug, Parser)]
#[command(name = "quorate-lab", version)]
pub(crate) struct Arguments {
    /// The room that is meant, when several run
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) room: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the image and the template of the standard room, or find them in the cache
    Image,
    /// Start a room and keep it until Ctrl-C
    Up(Up),
    /// End a room
    Down,
    /// Show all rooms on one screen
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a host; its exit code is ours
    Exec {
        /// node1, node2, …
        host: HostNumber,
        /// The command
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// A shell in a host
    Shell {
        /// node1, node2, …
        host: HostNumber,
    },
    /// Copy a file into a host
    Copy {
        /// node1, node2, …
        host: HostNumber,
        /// The file here
        from: PathBuf,
        /// Its path there
        to: String,
    },
    /// Run a program of this machine in the room's network, as at the operator's desk
    Desk {
        /// The program with its arguments
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Follow the serial console of a host
    Console {
        /// node1, node2, …
        host: HostNumber,
    },
    /// Everything that has happened, in order
    Timeline {
        /// Go on with what happens
        #[arg(short, long)]
        follow: bool,
    },
    /// Switch a host over its BMC, or press its button
    Power {
        /// node1, node2, …
        host: HostNumber,
        /// What to do
        action: PowerAction,
    },
    /// Do something to cables, cords, switches, devices and disks; each has its undo
    #[command(subcommand)]
    Do(HandArgument),
    /// Make the kernel of a host panic
    Crash {
        /// node1, node2, …
        host: HostNumber,
    },
    /// Remove what rooms that were killed have left behind
    Clean {
        /// Remove images and templates too
        #[arg(long)]
        cache: bool,
    },
    /// Be the room (started by `up`)
    #[command(hide = true)]
    Supervise {
        /// The room's directory
        directory: PathBuf,
    },
    /// Be a running host for its BMC (started by the BMC)
    #[command(hide = true)]
    Hold {
        /// The room's socket
        control: PathBuf,
        /// The host's number
        host: u8,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// A description in YAML; see docs/lab.md
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// How many hosts, 1 to 8
    #[arg(long)]
    pub(crate) hosts: Option<u8>,
    /// The room's name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Install the packages in this directory on all hosts, and make them a cluster
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) packages: Option<PathBuf>,
    /// Apply the manifests in this directory or file to the cluster; may be repeated, and a file takes the place of an earlier one of its name
    #[arg(long, value_name = "PATH", requires = "packages")]
    pub(crate) apply: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PowerAction {
    On,
    Off,
    Cycle,
    Reset,
    Status,
    /// Press the power button shortly
    Button,
    /// Hold the power button down
    LongButton,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HandArgument {
    /// Pull or plug a power cord: `cord node1 a unplug`
    Cord {
        host: HostNumber,
        feed: FeedArgument,
        state: Plug,
    },
    /// A whole feed with its PDU: `feed a off`
    Feed { feed: FeedArgument, state: OnOff },
    /// How a PDU behaves: `pdu a unreachable`
    Pdu {
        feed: FeedArgument,
        mood: PduMoodArgument,
    },
    /// How a BMC behaves: `bmc node1 lying`
    Bmc {
        host: HostNumber,
        mood: BmcMoodArgument,
    },
    /// Stop all processors of a host: `freeze node1`
    Freeze { host: HostNumber },
    /// Let them go on: `thaw node1`
    Thaw { host: HostNumber },
    /// A network cable: `cable node1 sn-b cut`
    Cable {
        host: HostNumber,
        nic: String,
        state: CableArgument,
    },
    /// A switch: `switch a off`
    Switch { switch: char, state: OnOff },
    /// A data disk, 0 is /dev/vdc: `disk node1 0 failing`, `disk node1 0 slow --rate 65536`
    Disk {
        host: HostNumber,
        disk: usize,
        mood: DiskMoodArgument,
        /// Bytes per second of a slow disk
        #[arg(long, default_value_t = 65_536)]
        rate: u64,
    },
    /// Write a line into the timeline
    Note { text: String },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FeedArgument {
    A,
    B,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Plug {
    Plug,
    Unplug,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PduMoodArgument {
    Honest,
    Unreachable,
    Lying,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BmcMoodArgument {
    Honest,
    Unreachable,
    Deaf,
    Lying,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CableArgument {
    Plug,
    Cut,
    BlackHole,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DiskMoodArgument {
    Healthy,
    Failing,
    Slow,
}

impl TryFrom<HandArgument> for Hand {
    type Error = LabError;

    fn try_from(argument: HandArgument) -> Result<Hand, LabError> {
        let feed = |feed| match feed {
            FeedArgument::A => Feed::A,
            FeedArgument::B => Feed::B,
        };
        Ok(match argument {
            HandArgument::Cord {
                host,
                feed: which,
                state,
            } => Hand::Cord {
                host: host.0,
                feed: feed(which),
                plugged: matches!(state, Plug::Plug),
            },
            HandArgument::Feed { feed: which, state } => Hand::Feed {
                feed: feed(which),
                live: matches!(state, OnOff::On),
            },
            HandArgument::Pdu { feed: which, mood } => Hand::Pdu {
                feed: feed(which),
                mood: match mood {
                    PduMoodArgument::Honest => PduMood::Honest,
                    PduMoodArgument::Unreachable => PduMood::Unreachable,
                    PduMoodArgument::Lying => PduMood::Lying,
                },
            },
            HandArgument::Bmc { host, mood } => Hand::Bmc {
                host: host.0,
                mood: match mood {
                    BmcMoodArgument::Honest => BmcMood::Honest,
                    BmcMoodArgument::Unreachable => BmcMood::Unreachable,
                    BmcMoodArgument::Deaf => BmcMood::Deaf,
                    BmcMoodArgument::Lying => BmcMood::Lying,
                },
            },
            HandArgument::Freeze { host } => Hand::Freeze {
                host: host.0,
                frozen: true,
            },
            HandArgument::Thaw { host } => Hand::Freeze {
                host: host.0,
                frozen: false,
            },
            HandArgument::Cable { host, nic, state } => Hand::Cable {
                host: host.0,
                nic,
                state: match state {
                    CableArgument::Plug => Cable::Plugged,
                    CableArgument::Cut => Cable::Cut,
                    CableArgument::BlackHole => Cable::BlackHole,
                },
            },
            HandArgument::Switch { switch, state } => Hand::Switch {
                switch,
                on: matches!(state, OnOff::On),
            },
            HandArgument::Disk {
                rate: 0,
                mood: DiskMoodArgument::Slow,
                ..
            } => {
                return Err(LabError::Refused(
                    "a disk of 0 bytes per second; at least 1 is allowed".to_owned(),
                ));
            }
            HandArgument::Disk {
                host,
                disk,
                mood,
                rate,
            } => Hand::Disk {
                host: host.0,
                disk,
                mood: match mood {
                    DiskMoodArgument::Healthy => DiskMood::Healthy,
                    DiskMoodArgument::Failing => DiskMood::Failing,
                    DiskMoodArgument::Slow => DiskMood::Slow(rate),
                },
            },
            HandArgument::Note { text } => Hand::Note(text),
        })
    }
}

/// `node1` or `1`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostNumber(pub(crate) u8);

impl HostNumber {
    pub(crate) fn name(self) -> String {
        host_name(self.0)
    }
}

impl FromStr for HostNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<HostNumber, String> {
        let number = text.strip_prefix("node").unwrap_or(text).parse();
        number
            .ok()
            .filter(|number| *number > 0)
            .map(HostNumber)
            .ok_or_else(|| format!("{text:?} is not a host; write node1, node2, …"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_host_is_named_or_numbered() {
        assert_eq!("node3".parse::<HostNumber>().map(|host| host.0), Ok(3));
        assert_eq!("3".parse::<HostNumber>().map(|host| host.0), Ok(3));
        assert!("node0".parse::<HostNumber>().is_err() && "web".parse::<HostNumber>().is_err());
    }
}
