//! One object on one host, with everything decided: nothing is left for the host to choose.

use super::cluster::HostAlias;
use super::condition::{ObjectReference, SecretKey};
use super::network_bridge::Protocol;
use super::virtual_machine::DesiredState;
use super::volume_status::ReplicaRole;
use crate::scalar::{AbsolutePath, Cidr, IpAddress, Label, Name, Size};
use crate::shape::{atomic, keyed, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One object on one host, with everything decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    (
        "(has(self.network) ? 1 : 0) + (has(self.storage) ? 1 : 0) + (has(self.replica) ? 1 : 0) \
         + (has(self.mount) ? 1 : 0) + (has(self.guest) ? 1 : 0) <= 1",
        "an assignment is about one of network, storage, replica, mount and guest",
    )
]))]
pub struct Assignment {
    /// The object.
    pub object: ObjectReference,
    /// The generation of its spec that was planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub object_generation: Option<i64>,
    /// The epoch under which it may be active.
    pub epoch: u64,
    /// Whether it is to be active here. Otherwise it is to be stopped and released.
    pub active: bool,
    /// What must be so on this host before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = atomic)]
    pub after: Vec<ObjectReference>,
    /// A network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkAssignment>,
    /// A host's part of a pool, or a logical volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageAssignment>,
    /// A replica of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaAssignment>,
    /// A mounted filesystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<MountAssignment>,
    /// A guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestAssignment>,
    /// The secrets that it needs; the host may read these and no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["secret", "key"]))]
    pub secrets: Vec<SecretKey>,
}

/// A network on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAssignment {
    /// The topmost interface.
    #[schemars(length(min = 1, max = 15))]
    pub device: String,
    /// Its address with the length of the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49))]
    pub address: Option<String>,
    /// The cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = atomic)]
    pub nics: Vec<Label>,
    /// A digest of everything whose change could cut the host off. While it stays the same, all hosts
    /// take a new manifest at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub layout: Option<String>,
    /// What is open on it. None: the host's firewall leaves it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<FirewallAssignment>,
    /// The other hosts on it, by which it is probed and whose names are known on this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = atomic)]
    pub peers: Vec<NetworkPeer>,
    /// The hosts that had this manifest's change already when this one was told to make it: where the largest packets passed to
    /// one of them before, they must pass after it, or it is taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = atomic)]
    pub changed_before: Vec<Name>,
    /// What else is known by name on this host: the Cluster's `hostAliases`, hosts' management boards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 384), transform = atomic)]
    pub names: Vec<HostAlias>,
}

/// What is open on a network, on one host. Everything else is closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FirewallAssignment {
    /// The ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = atomic)]
    pub openings: Vec<PortOpening>,
    /// Nothing is let through to it from other networks.
    pub closed_to_guests: bool,
}

/// Ports that are open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortOpening {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port.
    #[schemars(range(min = 1, max = 65535))]
    pub first_port: u32,
    /// The last one.
    #[schemars(range(min = 1, max = 65535))]
    pub last_port: u32,
    /// Who may connect. None listed: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = atomic)]
    pub sources: Vec<Cidr>,
}

/// Another host on a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPeer {
    /// The host.
    pub node: Name,
    /// Its address.
    pub address: IpAddress,
}

/// A host's part of a pool, or a logical volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageAssignment {
    /// The volume group.
    #[schemars(length(min = 1, max = 127))]
    pub volume_group: String,
    /// The logical volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 127))]
    pub logical_volume: Option<String>,
    /// Its size; that of the device below, where it is about the volume group itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// The replicated device that the volume group lies on. None: it lies on the host's own disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<AbsolutePath>,
    /// The logical volume that this one is a snapshot of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 127))]
    pub snapshot_of: Option<String>,
    /// What lies on a device that several hosts see is to be made, or to grow, from this host: of all
    /// records about one volume group one at a time says so, because hosts share its metadata. A
    /// snapshot is to be taken; without this word it must be there already.
    #[serde(default, skip_serializing_if = "is_false")]
    pub make: bool,
    /// What becomes of the logical volume's data when it is not to be active here.
    #[serde(default, skip_serializing_if = "ReplicaData::is_kept")]
    pub data: ReplicaData,
}

/// A replica of a volume on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaAssignment {
    /// The device's minor number.
    pub minor: u32,
    /// The TCP port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u32,
    /// The replica's number.
    pub node_id: u32,
    /// The logical volume.
    pub backing_device: AbsolutePath,
    /// How large it is.
    pub size: Size,
    /// Whether it is to be open for writing.
    pub role: ReplicaRole,
    /// Whether another may be too.
    pub allow_two_primaries: bool,
    /// How much a resync of it may write in a second: the volume's own rate, or the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync_rate: Option<Size>,
    /// That rate is for all resyncs of this host together whose replicas say so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub resync_rate_shared: bool,
    /// No replica holds data yet, and this one is declared current once it is made. The others
    /// follow it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub begins_here: bool,
    /// What it is filled with before it begins, where the volume's source is a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<ReplicaOriginal>,
    /// Its data is to be marked as outdated: another replica is written without it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outdate: bool,
    /// The split brain, by its number, in which this side's data is given up. It is snapshotted
    /// first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up: Option<u64>,
    /// The verification, by its number, that this host carries out: it compares every block with the
    /// other replicas'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<u64>,
    /// What becomes of its data when it is not to be active here.
    #[serde(default, skip_serializing_if = "ReplicaData::is_kept")]
    pub data: ReplicaData,
    /// The other replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = keyed(&["node"]))]
    pub peers: Vec<ReplicaPeer>,
}

/// A device of the host that a new volume is copied from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaOriginal {
    /// The logical volume.
    pub device: AbsolutePath,
    /// So much of it from its beginning.
    pub size: Size,
}

/// Another replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaPeer {
    /// Its host.
    pub node: Name,
    /// Its number.
    pub node_id: u32,
    /// Where it is reached, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = atomic)]
    pub addresses: Vec<IpAddress>,
}

/// What becomes of the data of a replica that is taken away.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum ReplicaData {
    /// It stays: the replica is only taken down.
    #[default]
    Keep,
    /// Its logical volume is removed.
    Remove,
    /// Its logical volume is overwritten, then removed.
    Wipe,
}

impl ReplicaData {
    fn is_kept(&self) -> bool {
        *self == Self::Keep
    }
}

/// A mounted filesystem on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountAssignment {
    /// The device.
    pub device: AbsolutePath,
    /// Its type.
    #[schemars(length(min = 1, max = 15))]
    pub filesystem: String,
    /// Where.
    pub mount_point: AbsolutePath,
    /// Mount options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = atomic)]
    pub options: Vec<String>,
    /// Make it first, should the device hold none.
    #[serde(default, skip_serializing_if = "is_false")]
    pub make: bool,
    /// How many journals it has at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journals: Option<u32>,
    /// The locks that hosts share. None: it is mounted on one host at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockspace: Option<LockspaceAssignment>,
    /// Check it, and do not mount it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckAssignment>,
}

/// A check of a filesystem that is mounted nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckAssignment {
    /// Its number: each is made once.
    pub number: u64,
    /// Mend what is found.
    #[serde(default, skip_serializing_if = "is_false")]
    pub repair: bool,
}

/// A lockspace on one host. Its members change in two steps: every present member stops it and says
/// so; only then are the new members set and it is started. A host that skips the first step can
/// take itself for the first that mounts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockspaceAssignment {
    /// Its number, the same on all hosts.
    pub id: u32,
    /// The lock table, as the filesystem was made with.
    #[schemars(length(min = 1, max = 127))]
    pub table: String,
    /// Rises whenever its members change. The host answers with the generation in which it stopped
    /// or started it.
    pub generation: u64,
    /// Whether locks are to be given.
    pub step: LockspaceStep,
    /// The members of this generation, this host among them when it is to mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["node"]))]
    pub members: Vec<LockspaceMember>,
    /// This host as a member: what it must know of itself before it can stand at the door.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<LockspaceMember>,
    /// The form in which its members settle locks of programs (POSIX and OFD) with each other, the same for the whole generation.
    /// None: each of these locks is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_locks: Option<u32>,
}

/// What to do about a lockspace now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum LockspaceStep {
    /// Give no locks, and say so.
    Stop,
    /// Take over these members and give locks.
    Start,
}

/// A member of a lockspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockspaceMember {
    /// The host.
    pub node: Name,
    /// Its number.
    pub node_id: u32,
    /// The incarnation under which it became a member: one that has booted since is another member, whatever was
    /// heard in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// Where it is reached, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = atomic)]
    pub addresses: Vec<IpAddress>,
}

/// A guest on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestAssignment {
    /// Whether it should run here.
    pub desired_state: DesiredState,
    /// What to do about it now.
    pub step: GuestStep,
    /// The migration that it takes part in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationAssignment>,
}

/// One side of a live migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MigrationAssignment {
    /// The VirtualMachineMigration.
    pub name: Name,
    /// The other side.
    pub peer: Name,
    /// Where the target is reached, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = atomic)]
    pub addresses: Vec<IpAddress>,
    /// How much may be sent in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Size>,
    /// It took too long: let the guest stand still until all of its memory is there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// What to do about a guest now.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum GuestStep {
    /// See that it is as `desiredState` says.
    Keep,
    /// Wait for it, and keep it paused whatever happens. `Converged`: it can be sent here.
    Receive,
    /// Send it to the target. It runs on here until all of it is there; then it stays still here.
    Send,
    /// See that it does not run here, and say so.
    Release,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}
