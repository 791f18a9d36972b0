//! What the commands and tests ask of a running room, one line of JSON each over its socket.

use serde::{Deserialize, Serialize};

use crate::description::Feed;
use crate::power::PduMood;
use crate::timeline::Entry;

/// A request. The answer is one line too: [`Answer`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// How is everything?
    Status,
    /// How much of this computer's memory has the room?
    Memory,
    /// The lines of the timeline after so many.
    Timeline(usize),
    /// Change something.
    Do(Hand),
    /// Run a command in a host; frames follow in both directions.
    Exec {
        /// The host's number.
        host: u8,
        /// The command with its arguments.
        argv: Vec<String>,
    },
    /// The BMC of this host switches it on, and waits on this line until it is off.
    Hold {
        /// The host's number.
        host: u8,
    },
    /// End the room.
    Stop,
}

/// Something done to the room. Each has its undo: the same with the other value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hand {
    /// A whole feed dies or comes back, its PDU with it.
    Feed {
        /// Which.
        feed: Feed,
        /// Whether it has power.
        live: bool,
    },
    /// A power cord of a host is pulled or plugged.
    Cord {
        /// Whose.
        host: u8,
        /// Which.
        feed: Feed,
        /// Whether it is plugged.
        plugged: bool,
    },
    /// A PDU becomes honest or otherwise.
    Pdu {
        /// Which.
        feed: Feed,
        /// How it behaves.
        mood: PduMood,
    },
    /// A BMC becomes honest or otherwise.
    Bmc {
        /// Whose.
        host: u8,
        /// How it behaves.
        mood: BmcMood,
    },
    /// The power button is pressed: shortly (asks the host) or long (cuts the power).
    Button {
        /// Whose.
        host: u8,
        /// Whether it is held down.
        long: bool,
    },
    /// All processors stop or go on, devices and watchdog with them.
    Freeze {
        /// Whose.
        host: u8,
        /// Whether they are stopped.
        frozen: bool,
    },
    /// A network cable.
    Cable {
        /// Whose.
        host: u8,
        /// `bcn-a`, `bcn-b`, `sn-a`, …
        nic: String,
        /// Its new state.
        state: Cable,
    },
    /// A switch is switched off or on.
    Switch {
        /// `a` or `b`.
        switch: char,
        /// Whether it has power.
        on: bool,
    },
    /// A data disk gets ill or well.
    Disk {
        /// Whose.
        host: u8,
        /// 0 is `/dev/vdc`.
        disk: usize,
        /// How it behaves.
        mood: DiskMood,
    },
    /// Nothing but a line in the timeline.
    Note(String),
}

/// How a BMC behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BmcMood {
    /// Like a good one.
    #[default]
    Honest,
    /// Its network is dead.
    Unreachable,
    /// It acknowledges power commands and does nothing; the host stays on, and it says so.
    Deaf,
    /// It acknowledges power off and says that the host is off, while the host runs on.
    Lying,
}

/// The state of a network cable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cable {
    /// Carries.
    #[default]
    Plugged,
    /// No carrier on the host's side.
    Cut,
    /// Carrier, but nothing comes through.
    BlackHole,
}

/// How a data disk behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskMood {
    /// Like a good one.
    #[default]
    Healthy,
    /// Every read and write fails with an I/O error.
    Failing,
    /// So many bytes per second and no more.
    Slow(u64),
}

/// What the room answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done; or for [`Request::Exec`], the command has been sent and frames follow.
    Done,
    /// The answer to [`Request::Status`].
    Status(RoomStatus),
    /// The answer to [`Request::Memory`], in KiB.
    Memory(u64),
    /// The answer to [`Request::Timeline`].
    Timeline(Vec<Entry>),
    /// It could not be done.
    Error(String),
}

/// The room on one screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoomStatus {
    /// Its name.
    pub name: String,
    /// KVM or TCG.
    pub accelerator: String,
    /// Seconds from the beginning until all hosts were up the first time.
    pub up_after_ms: Option<u64>,
    /// Milliseconds since the beginning.
    pub age_ms: u64,
    /// Whether switches a and b have power.
    pub switches: [bool; 2],
    /// Whether each PDU answers.
    pub pdus: [bool; 2],
    /// The hosts.
    pub hosts: Vec<HostStatus>,
}

/// One host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// What its system calls itself.
    pub called: String,
    /// What it is doing.
    pub state: HostState,
    /// Whether its processors are stopped.
    pub frozen: bool,
    /// How often its machine was started.
    pub starts: u32,
    /// Whether power comes over each feed.
    pub feeds: [bool; 2],
    /// How its BMC behaves.
    pub bmc: BmcMood,
    /// The cables that do not carry.
    pub bad_cables: Vec<String>,
    /// The data disks that are not healthy.
    pub bad_disks: Vec<String>,
}

/// What a host is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// The machine is off.
    Off,
    /// The machine runs, the host does not answer yet.
    Starting,
    /// The host answers and has its name and addresses.
    Up,
    /// The host answers but could not be given its name and addresses.
    Broken(String),
}

impl std::fmt::Display for HostState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostState::Off => f.write_str("off"),
            HostState::Starting => f.write_str("starting"),
            HostState::Up => f.write_str("up"),
            HostState::Broken(reason) => write!(f, "broken: {reason}"),
        }
    }
}
