//! The hands of the command line: what `quorate-lab do` does to a room, each beside its undo.

use clap::{Subcommand, ValueEnum};
use quorate_lab::description::Feed;
use quorate_lab::power::PduMood;
use quorate_lab::request::{BmcMood, Cable, DiskMood, Hand};
use quorate_lab::{LabError, Room};

use crate::arguments::HostNumber;

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
    /// Stop all processors of a host and all its devices, the watchdog too: `freeze node1`
    Freeze { host: HostNumber },
    /// Let them go on: `thaw node1`
    Thaw { host: HostNumber },
    /// A network cable: `cable node1 sn-b cut`
    Cable {
        host: HostNumber,
        nic: String,
        state: CableArgument,
    },
    /// What a NIC sends is late or lost: `disturb node1 bcn-a --delay 100 --loss 10`
    Disturb {
        host: HostNumber,
        nic: String,
        /// Milliseconds
        #[arg(long, default_value_t = 0)]
        delay: u32,
        /// Per cent
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
        loss: u32,
    },
    /// It sends at once again: `calm node1 bcn-a`
    Calm { host: HostNumber, nic: String },
    /// A switch: `switch a off`
    Switch { switch: char, state: OnOff },
    /// A switch comes up as some do, on and off a few times before it stays on: `bounce a 3`
    Bounce { switch: char, times: u32 },
    /// A data disk, 0 is /dev/vdc: `disk node1 0 failing`, `disk node1 0 slow --rate 65536`
    Disk {
        host: HostNumber,
        disk: usize,
        mood: DiskMoodArgument,
        /// Bytes per second of a slow disk
        #[arg(long, default_value_t = 65_536)]
        rate: u64,
    },
    /// A file system is full: `fill node1 /var`
    Fill { host: HostNumber, directory: String },
    /// It has room again: `unfill node1 /var`
    Unfill { host: HostNumber, directory: String },
    /// The kernel panics and boots again: `crash node1`
    Crash { host: HostNumber },
    /// The kernel hangs and stays so, its machine runs on; undone by `power node1 cycle`, or by an armed watchdog: `hang node1`
    Hang { host: HostNumber },
    /// Kill all processes of a program: `kill node1 quorated`
    Kill { host: HostNumber, process: String },
    /// Start again what was killed: `revive node1 quorated`
    Revive { host: HostNumber, process: String },
    /// The clock jumps: `step-clock node1 -7200`
    StepClock {
        host: HostNumber,
        #[arg(allow_hyphen_values = true)]
        seconds: i64,
    },
    /// The clock is set by the hardware's: `set-clock node1`
    SetClock { host: HostNumber },
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

impl HandArgument {
    /// Does it.
    pub(crate) fn carry_out(self, room: &Room) -> Result<(), LabError> {
        let feed = |feed| match feed {
            FeedArgument::A => Feed::A,
            FeedArgument::B => Feed::B,
        };
        room.act(match self {
            HandArgument::Disturb {
                host,
                nic,
                delay,
                loss,
            } => return room.host(host.0).disturb(&nic, delay, loss),
            HandArgument::Calm { host, nic } => return room.host(host.0).calm(&nic),
            HandArgument::Bounce { switch, times } => return room.bounce_switch(switch, times),
            HandArgument::Fill { host, directory } => return room.host(host.0).fill(&directory),
            HandArgument::Unfill { host, directory } => {
                return room.host(host.0).unfill(&directory);
            }
            HandArgument::Crash { host } => return room.host(host.0).crash(),
            HandArgument::Hang { host } => return room.host(host.0).hang(),
            HandArgument::Kill { host, process } => return room.host(host.0).kill(&process),
            HandArgument::Revive { host, process } => return room.host(host.0).revive(&process),
            HandArgument::StepClock { host, seconds } => {
                return room.host(host.0).step_clock(seconds);
            }
            HandArgument::SetClock { host } => return room.host(host.0).set_clock(),
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
