//! Guests (libvirt).

use super::{Doing, Hints, Owner};
use quorate_crds::scalar::{AbsolutePath, IpAddress, Label, Size};
use quorate_crds::{
    AgentStatus, DisplayStatus, GuestNicStatus, GuestResources, MigrationProgress, Name,
    ShutdownMethod, VirtualMachineSpec,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A secret's bytes, which never show.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(pub Arc<[u8]>);

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue(..)")
    }
}

/// A guest on this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestSeen {
    /// Its name on the host: a foreign one has nothing else.
    pub domain: String,
    /// The VirtualMachine.
    pub owner: Owner,
    /// The epoch that it was last defined with; kept in the definition itself, so that it outlives every daemon.
    pub epoch: Option<u64>,
    /// The generation of the spec that it was last adjusted to.
    pub generation: Option<i64>,
    /// What it does.
    pub doing: GuestDoing,
    /// Fields whose new values need a restart.
    pub pending_changes: Vec<String>,
    /// Whether a migration to another host is under way, and how far it is.
    pub migration: Option<MigrationProgress>,
    /// Its network cards.
    pub nics: Vec<GuestNicStatus>,
    /// What the agent inside says.
    pub agent: Option<AgentStatus>,
    /// Where its screen is.
    pub display: Option<DisplayStatus>,
    /// What it has at present.
    pub resources: Option<GuestResources>,
}

/// What a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestDoing {
    /// It runs.
    Running,
    /// It stands still, in memory.
    Paused(WhyPaused),
    /// It is shutting down.
    Stopping,
    /// It is not there, or off.
    Off(HowEnded),
}

impl GuestDoing {
    /// Whether it has, or may have, its disks open: it is not off.
    #[must_use]
    pub fn active(self) -> bool {
        !matches!(self, Self::Off(_))
    }
}

/// Why a guest stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhyPaused {
    /// We paused it.
    Asked,
    /// It is coming from another host: its memory is not all here yet.
    Incoming,
    /// All of it has come from another host, and it waits to be resumed.
    Received,
    /// It has gone to another host as far as this one knows, and waits for the end of the migration.
    Sent,
    /// A disk gave an error.
    DiskError,
    /// Something else paused it.
    Unknown,
}

/// How a guest that is off came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HowEnded {
    /// It surely did not run since it was defined.
    NeverStarted,
    /// It crashed, or its process died.
    Crashed,
    /// It was switched off from inside, or did so when it was asked to.
    PoweredOff,
    /// It was switched off from outside.
    Destroyed,
    /// It was moved to another host.
    Migrated,
    /// It could not be started.
    Failed,
    /// The host does not know.
    Unknown,
}

/// Where a guest's disk is on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSource {
    /// The disk.
    pub disk: Label,
    /// The device, or file.
    pub path: AbsolutePath,
}

/// What a guest's network card is plugged into on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicSource {
    /// The card.
    pub nic: Label,
    /// The bridge.
    pub bridge: String,
}

/// A guest as it should be on this host.
#[derive(Clone, Debug)]
pub struct GuestTarget {
    /// The VirtualMachine.
    pub name: Name,
    /// Its uid: what the guest sees as its machine id is made from it, so that it never changes.
    pub uid: String,
    /// What people want.
    pub spec: Arc<VirtualMachineSpec>,
    /// The generation of that.
    pub generation: i64,
    /// The epoch under which it may run.
    pub epoch: u64,
    /// Where its disks are.
    pub disks: Vec<DiskSource>,
    /// What its cards are plugged into.
    pub nics: Vec<NicSource>,
    /// The password of its screen.
    pub display_password: Option<SecretValue>,
}

/// How a guest is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartAs {
    /// It runs at once.
    Running,
    /// It stands still until it is resumed.
    Paused,
}

/// Where a guest is sent. How (compression, the longest standstill) is in its spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendTo {
    /// The host.
    pub node: Name,
    /// Where it is reached for this, the preferred one first; none: by its name.
    pub addresses: Vec<IpAddress>,
    /// Bytes a second at most.
    pub bandwidth: Option<Size>,
}

/// Something that bytes come from and go to.
pub trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// Bytes from and to a guest. Dropped, it is closed.
pub type Line = Box<dyn Both>;

/// Guests of this host. No call starts a guest behind the plan's back: no autostart, no restart after a crash.
pub trait Guests: Send + Sync {
    /// Every guest, also those that are off and still defined.
    fn observe(&self) -> Doing<'_, Vec<GuestSeen>>;

    /// Guests that start, stop, pause, crash.
    fn watch(&self) -> Hints;

    /// Writes its definition, archives the former one, and changes what can be changed while it runs. What needs a
    /// restart is then in [`GuestSeen::pending_changes`].
    fn define<'a>(&'a self, target: &'a GuestTarget) -> Doing<'a, ()>;

    /// Starts a guest that is off, as defined.
    fn start<'a>(&'a self, guest: &'a Name, how: StartAs) -> Doing<'a, ()>;

    /// Stands it still. While it is being sent, this lets the rest of its memory go at once.
    fn pause<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()>;

    /// Lets it run on.
    fn resume<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()>;

    /// Asks it to shut down, and returns when it was asked. Whether it does is seen later.
    fn shut_down<'a>(&'a self, guest: &'a Name, method: ShutdownMethod) -> Doing<'a, ()>;

    /// Switches it off. When this returns `Ok`, it is off.
    fn destroy<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()>;

    /// Lets it come from another host. It stays paused when all of it is here, until [`Guests::resume`].
    fn receive<'a>(&'a self, target: &'a GuestTarget, from: &'a Name) -> Doing<'a, ()>;

    /// Sends it to a host that is ready to receive it. Returns when it has gone (it is `Paused(Sent)` or `Off(Migrated)` here), or has
    /// surely not (it runs here); anything else is [`super::DriverError::Unclear`]. May take minutes; dropping it leaves
    /// the migration to itself.
    fn send<'a>(&'a self, target: &'a GuestTarget, to: &'a SendTo) -> Doing<'a, ()>;

    /// Gives up sending, when that is still possible.
    fn cancel_send<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()>;

    /// Forgets a guest that is off; old definitions stay in the archive.
    fn forget<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()>;

    /// The serial console of a guest that runs. It ends when the guest does, or goes. Somebody else who has it loses it with
    /// `force`; without, the answer is [`super::Trouble::InUse`].
    fn console<'a>(&'a self, guest: &'a Name, force: bool) -> Doing<'a, Line>;

    /// A connection to the screen of a guest that runs, in the screen's own protocol.
    fn screen<'a>(&'a self, guest: &'a Name) -> Doing<'a, Line>;
}
