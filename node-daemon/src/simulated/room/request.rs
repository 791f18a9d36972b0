//! What can be asked of the room, and what it answers. All of it can travel over a socket, so that daemons that are
//! processes of their own may share one room.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_crds::{Name, NetworkHostStatus};
use serde::{Deserialize, Serialize};

use super::{
    guests::{Definition, MigrationFault},
    power::DeviceBehaviour,
    refusal::Refusal,
    truth::Truth,
};
use crate::drivers::{
    CheckSeen, GuestSeen, HostFacts, LockTable, LockspaceSeen, MountSeen, NetworkSeen, ReplicaSeen,
    SeenFilesystem, VolumeGroupSeen,
};

/// A question to the room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The kernel of one host is asked, by its daemon. It does not answer while it does not run.
    Host(String, HostCall),
    /// A fence device is asked: device, outlet, action.
    Fence(String, String, FenceCall),
    /// Something happens in the room.
    Happen(Happening),
    /// What is so in the room.
    Truth,
    /// What has happened in the room since this line of its log.
    Log(usize),
}

/// What a daemon asks of its host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HostCall {
    /// What the host is.
    Facts,
    /// The kernel's boot id.
    BootId,
    /// What has changed since this number.
    Changes(u64),
    /// Its networks.
    Networks(NetworkCall),
    /// Its volume groups and logical volumes.
    Pools(PoolCall),
    /// Its replicas.
    Replication(ReplicationCall),
    /// Its filesystems.
    Filesystems(FilesystemCall),
    /// Its lockspaces.
    Lockspaces(LockspaceCall),
    /// Its guests.
    Guests(GuestCall),
    /// Its watchdog.
    Watchdog(WatchdogCall),
}

/// About networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named and meant like the drivers' methods")]
pub enum NetworkCall {
    Observe,
    Apply {
        network: String,
        status: NetworkHostStatus,
    },
    Keep {
        network: String,
    },
    Remove {
        network: String,
    },
}

/// About pools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named and meant like the drivers' methods")]
pub enum PoolCall {
    Observe,
    EnsureGroup {
        pool: String,
        name: String,
        devices: Vec<String>,
    },
    EnsureVolume {
        group: String,
        name: String,
        owner: String,
        size: u64,
        snapshot_of: Option<String>,
    },
    Activate {
        group: String,
        name: String,
        active: bool,
    },
    Remove {
        group: String,
        name: String,
    },
}

/// Whether a volume may be written without this peer: the storage's question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LostPeer {
    /// The volume.
    pub volume: String,
    /// The peer's host.
    pub peer: String,
    /// How often the two had met when it was put: it is over when they meet again.
    pub meetings: u64,
}

/// About replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named and meant like the drivers' methods")]
pub enum ReplicationCall {
    Observe,
    /// The lost peers about which the storage asks.
    Questions,
    Create {
        volume: String,
        backing: String,
        /// What is on it from now on is the volume's data, and others follow.
        begins_here: bool,
    },
    Adjust {
        volume: String,
        device: String,
        size: u64,
        peers: BTreeSet<String>,
        two_primaries: bool,
        fencing: bool,
    },
    Promote {
        volume: String,
    },
    Demote {
        volume: String,
    },
    Resize {
        volume: String,
    },
    Outdate {
        volume: String,
    },
    Discard {
        volume: String,
    },
    Verify {
        volume: String,
        number: u64,
    },
    TakeDown {
        volume: String,
    },
    Erase {
        volume: String,
    },
    Answer {
        question: LostPeer,
        fate: PeerFate,
    },
}

/// Why it may be written without a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerFate {
    /// It knows that it is not current.
    Outdated,
    /// It is confirmed off.
    Fenced,
}

/// About filesystems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named and meant like the drivers' methods")]
pub enum FilesystemCall {
    Observe,
    Read {
        device: String,
    },
    Make {
        device: String,
        filesystem: String,
        lock_table: Option<LockTable>,
    },
    Mount {
        owner: String,
        device: String,
        filesystem: String,
        point: String,
    },
    Unmount {
        point: String,
    },
    Checks,
    Check {
        owner: String,
        device: String,
        number: u64,
    },
}

/// About lockspaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named and meant like the drivers' methods")]
pub enum LockspaceCall {
    Observe,
    Stop {
        name: String,
        generation: u64,
    },
    Start {
        name: String,
        generation: u64,
        members: Vec<Name>,
    },
    Leave {
        name: String,
    },
}

/// About guests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named and meant like the drivers' methods")]
pub enum GuestCall {
    Observe,
    Define {
        guest: String,
        definition: Definition,
    },
    Start {
        guest: String,
        paused: bool,
    },
    Pause {
        guest: String,
    },
    Resume {
        guest: String,
    },
    ShutDown {
        guest: String,
    },
    Destroy {
        guest: String,
    },
    Receive {
        guest: String,
        from: String,
        definition: Definition,
    },
    /// Begins to send, or with `first` false asks how far it is.
    Send {
        guest: String,
        to: String,
        first: bool,
    },
    CancelSend {
        guest: String,
    },
    Forget {
        guest: String,
    },
}

/// About the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchdogCall {
    /// It fires when it is not fed for this time.
    Arm(Duration),
    /// Feeds it.
    Feed,
    /// Stops it.
    Disarm,
}

/// What a fence agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FenceCall {
    /// Power on.
    On,
    /// Power off.
    Off,
    /// Is it on?
    Status,
    /// Does the device answer?
    Monitor,
}

/// What a fence device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerReply {
    /// It is on.
    On,
    /// It is off.
    Off,
}

/// A part of a host, for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named like the drivers")]
pub enum Subsystem {
    Networks,
    Pools,
    Replication,
    Filesystems,
    Lockspaces,
    Guests,
}

/// How a driver's next acts go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallFault {
    /// Nothing is done.
    Fails,
    /// Nothing is done, and no answer ever comes.
    Hangs,
    /// It is done, and no answer ever comes.
    ActsAndHangs,
    /// It is done, and the answer is lost.
    ActsAndFails,
    /// It is done, and the answer comes after this time.
    Late(Duration),
}

/// What happens in the room: people with screwdrivers, and bad luck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Happening {
    /// All cords of the machine are pulled, or put back.
    Mains {
        /// The machine.
        machine: String,
        /// Put back.
        on: bool,
    },
    /// Somebody presses the power button.
    Button {
        /// The machine.
        machine: String,
        /// It goes on.
        on: bool,
    },
    /// The kernel panics.
    Crash(String),
    /// The kernel hangs: no process gets anywhere, but guests still write.
    Hang(String),
    /// The reset button.
    Reset(String),
    /// A fence device changes how it behaves.
    Device {
        /// The device.
        device: String,
        /// How it behaves.
        behaviour: DeviceBehaviour,
    },
    /// Two machines' cords on one device are swapped.
    SwapCords {
        /// The device.
        device: String,
        /// One outlet.
        one: String,
        /// The other.
        other: String,
    },
    /// The storage network between two hosts is cut, or mended.
    StorageLink {
        /// One host.
        one: String,
        /// The other.
        other: String,
        /// Mended.
        up: bool,
    },
    /// A host's disk below a volume fails.
    DiskFails {
        /// The host.
        host: String,
        /// The volume.
        volume: String,
    },
    /// A guest's kernel panics.
    GuestCrashes(String),
    /// A guest switches itself off.
    GuestPowersOff(String),
    /// A guest does not shut down any more when it is asked to.
    GuestIsStubborn(String),
    /// The next migration of this guest goes wrong.
    Migration {
        /// The guest.
        guest: String,
        /// How.
        fault: MigrationFault,
    },
    /// A driver's next acts go wrong.
    Calls {
        /// The host.
        host: String,
        /// The part.
        subsystem: Subsystem,
        /// How.
        fault: CallFault,
        /// How many acts.
        times: u32,
    },
}

/// Something on a host that is no longer as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Changed {
    /// Anything.
    Anything,
    /// A volume's replica.
    Volume(String),
    /// A guest.
    Guest(String),
}

/// What the room answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each answers the request of its name")]
pub enum Reply {
    /// It is done.
    Done,
    /// It is under way: ask again.
    Waiting,
    /// Nobody can say whether it is done.
    Unknown,
    BootId(String),
    Facts(Box<HostFacts>),
    Changes(u64, BTreeSet<Changed>),
    Networks(Vec<NetworkSeen>),
    Groups(Vec<VolumeGroupSeen>),
    Replicas(Vec<ReplicaSeen>),
    Questions(Vec<LostPeer>),
    Mounts(Vec<MountSeen>),
    Checks(Vec<CheckSeen>),
    Filesystem(Option<SeenFilesystem>),
    Lockspaces(Vec<LockspaceSeen>),
    Guests(Vec<GuestSeen>),
    Power(PowerReply),
    Truth(Box<Truth>),
    Log(usize, Vec<String>),
}

/// The answer, and when it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What comes of it.
    pub outcome: Result<Reply, Refusal>,
    /// After how long. None: never.
    pub after: Option<Duration>,
}
