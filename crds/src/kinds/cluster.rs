//! The cluster as a whole: the few settings that are one for everybody.

use super::cluster_status::ClusterStatus;
use crate::scalar::{Duration, IpAddress, Name, Size};
use crate::shape::{keyed, rules, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings that are one for the whole cluster. A store holds exactly one Cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "Cluster",
    plural = "clusters",
    derive = "PartialEq",
    doc = "The settings that are one for the whole cluster. A store holds exactly one Cluster.",
    status = "ClusterStatus",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the cluster serves."
    ),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodesOnline",
        description = "Hosts online, of all."
    ),
    printcolumn(
        name = "Quorum",
        type_ = "string",
        json_path = ".status.quorum.summary",
        description = "Votes present, of those needed."
    ),
    printcolumn(
        name = "Leader",
        type_ = "string",
        json_path = ".status.leader",
        description = "The member that leads."
    ),
    printcolumn(
        name = "Feature level",
        type_ = "integer",
        json_path = ".status.featureLevel",
        priority = 1,
        description = "What every member and host understands."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSpec {
    /// The DNS domain that hosts' full names end in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub domain: Option<String>,
    /// Who may be a member of the store. None listed: whoever joins with a member's token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9), transform = keyed(&["name"]))]
    pub members: Vec<DeclaredMember>,
    /// When a part of the cluster may go on.
    pub quorum: Quorum,
    /// When a host counts as lost.
    pub detection: Detection,
    /// How lost hosts are made safe.
    pub fencing: Fencing,
    /// How much may be promised to guests.
    pub capacity: Capacity,
    /// How fast things are started and moved.
    pub recovery: RecoveryLimits,
    /// What all replicated volumes share.
    pub replication: Replication,
    /// Where live migrations go, and how many at once.
    pub migration: MigrationSettings,
    /// What keeps the hosts' clocks together.
    pub clock: Clock,
    /// Names that every host must resolve without DNS, above all those of fence devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = keyed(&["address"]))]
    pub host_aliases: Vec<HostAlias>,
    /// The networks on which the API is served. None listed: all that have addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = set)]
    pub api_networks: Vec<Name>,
    /// Whether the cluster serves. Stopped, guests are shut down in the reverse of the order in which
    /// they start, then filesystems and volumes; started again, everything comes back in order.
    pub power: ClusterPower,
    /// Leave everything as it is: nothing is started, stopped, moved or fenced until this is
    /// withdrawn.
    pub maintenance: bool,
}

/// Whether the cluster serves.
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
pub enum ClusterPower {
    /// It does.
    #[default]
    Running,
    /// Everything that it carries is shut down, in order. Hosts and members stay.
    Stopped,
}

/// Names of an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostAlias {
    /// The address.
    pub address: IpAddress,
    /// Its names: `an-a01n01.ipmi`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = set)]
    pub names: Vec<Name>,
}

/// A machine that keeps a copy of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredMember {
    /// Its name.
    pub name: Name,
    /// What it does besides voting.
    #[serde(default)]
    pub role: MemberRole,
    /// The Node that is the same machine, so that fencing it also silences this voter. By default
    /// the Node of the same name, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Where the others reach it, one address per ring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = set)]
    pub addresses: Vec<IpAddress>,
}

/// What a member does.
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
pub enum MemberRole {
    /// Votes, and may lead.
    #[default]
    Voter,
    /// Votes and runs nothing else: on any third machine it lets two hosts survive each other.
    Witness,
}

/// When a part of the cluster may go on without the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Quorum {
    /// What half of an even number of voters may do.
    pub even_split: EvenSplit,
    /// How long a machine that has started waits for the others before it may fence them.
    pub startup_wait: Duration,
    /// Which half shoots first.
    pub head_start: HeadStart,
}

impl Default for Quorum {
    fn default() -> Self {
        Self {
            even_split: EvenSplit::Fencing,
            startup_wait: Duration::from("30s"),
            head_start: HeadStart::default(),
        }
    }
}

/// What half of an even number of voters may do when the other half is silent.
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
pub enum EvenSplit {
    /// Go on when every voter outside it is confirmed fenced.
    #[default]
    Fencing,
    /// Nothing: without a majority everything stands still until a person decides.
    Freeze,
}

/// Lets one half shoot first, so that two halves do not shoot each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "self.by != 'PreferredNode' || has(self.preferredNode)",
        "headStart.by is PreferredNode: name the host in headStart.preferredNode",
    )
]))]
pub struct HeadStart {
    /// What decides.
    pub by: HeadStartBy,
    /// The host whose half shoots first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_node: Option<Name>,
    /// How long the other half waits. By default as long as the first fence level of its own hosts may take, which is twice
    /// the longest `timeout` of its devices and their `powerWait`, two minutes at most. What is given here counts as it is:
    /// when it is shorter than a shot takes, two halves that are cut apart may shoot each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
}

impl Default for HeadStart {
    fn default() -> Self {
        Self {
            by: HeadStartBy::ProtectedGuests,
            preferred_node: None,
            duration: None,
        }
    }
}

/// What decides which half shoots first.
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
pub enum HeadStartBy {
    /// The half that runs more protected guests, weighed by their priority; ties by the hosts'
    /// names.
    #[default]
    ProtectedGuests,
    /// The half with the preferred host.
    PreferredNode,
}

/// When a host counts as lost: when it is silent on all rings for so long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Detection {
    /// How often a host is heard of, on each ring.
    pub heartbeat_interval: Duration,
    /// How long it may be silent on all rings.
    pub timeout: Duration,
    /// After how long a silent ring is reported. One ring alone never fences.
    pub ring_warning_after: Duration,
    /// How long a host may start things after it was last told that it belongs to the quorum.
    pub lease: Duration,
    /// How long a daemon may take to come back when it closed its connection in order.
    pub restart_grace: Duration,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from("250ms"),
            timeout: Duration::from("2s"),
            ring_warning_after: Duration::from("1s"),
            lease: Duration::from("10s"),
            restart_grace: Duration::from("30s"),
        }
    }
}

/// How lost hosts are made safe before anything of theirs is recovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Fencing {
    /// How many hosts may be fenced at a time when more than half fall silent together.
    #[schemars(range(min = 1, max = 16))]
    pub max_at_once: u32,
    /// How long to wait after the last level has failed, before the first is tried again.
    pub retry_initial: Duration,
    /// The longest such wait; it doubles from round to round and the rounds never end.
    pub retry_max: Duration,
    /// How often every device is asked for its state, unless it says otherwise itself.
    pub poll_interval: Duration,
    /// Whether a fenced host is switched on again.
    pub power_on: bool,
    /// Accept hosts that have no fence level but their own watchdog. Then a host counts as off when
    /// its watchdog must have fired, and nothing can confirm it.
    pub watchdog_only: bool,
}

impl Default for Fencing {
    fn default() -> Self {
        Self {
            max_at_once: 1,
            retry_initial: Duration::from("5s"),
            retry_max: Duration::from("2m"),
            poll_interval: Duration::from("1m"),
            power_on: true,
            watchdog_only: false,
        }
    }
}

/// How much may be promised to guests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Capacity {
    /// How many hosts may be lost with every protected guest still having its memory. 0 gives the
    /// reserve up.
    #[schemars(range(min = 0, max = 2))]
    pub survive_node_losses: u32,
    /// How many virtual processors may share one real one. Memory is never over-committed.
    #[schemars(range(min = 1, max = 64))]
    pub cpu_overcommit: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            survive_node_losses: 1,
            cpu_overcommit: 8,
        }
    }
}

/// How fast things are started and moved, so that a recovery does not become a boot storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RecoveryLimits {
    /// How many guests may be starting on one host at a time.
    #[schemars(range(min = 1, max = 256))]
    pub max_starts_per_node: u32,
    /// The least time between two starts on one host.
    pub start_interval: Duration,
    /// How many live migrations a host may take part in at a time.
    #[schemars(range(min = 1, max = 16))]
    pub max_migrations_per_node: u32,
}

impl Default for RecoveryLimits {
    fn default() -> Self {
        Self {
            max_starts_per_node: 4,
            start_interval: Duration::from("1s"),
            max_migrations_per_node: 1,
        }
    }
}

/// What all replicated volumes share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Replication {
    /// The network that replication uses. By default the one whose role is Storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Name>,
    /// Whether replication may use the back channel while that network is down. It takes DRBD 9, which
    /// knows several ways to a peer; hosts with 8.4 stay with the first.
    pub allow_fallback: bool,
    /// The first TCP port given to volumes; the next ones follow.
    #[schemars(range(min = 1024, max = 65000))]
    pub first_port: u32,
    /// How much all resyncs of a host together may write in a second. Volumes that have a
    /// `resync.rate` of their own do not count.
    pub resync_rate: Size,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            network: None,
            allow_fallback: false,
            first_port: 7788,
            resync_rate: Size::from("100Mi"),
        }
    }
}

/// Where live migrations go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationSettings {
    /// The network that carries guests' memory. By default the one whose role is Migration, or else
    /// BackChannel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Name>,
    /// How much one migration may send in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Size>,
}

/// What keeps the hosts' clocks together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Clock {
    /// The time servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = set)]
    pub servers: Vec<String>,
    /// How far the clocks of two hosts may be apart before it is reported.
    pub max_skew: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            max_skew: Duration::from("500ms"),
        }
    }
}
