//! A network on every host: the cards that carry it, its bond, bridge, VLAN and addresses.

use super::network_bond::Bond;
use super::network_bridge::{Bridge, Firewall};
use super::network_status::NetworkStatus;
use crate::scalar::{Cidr, Duration, IpAddress, Label, Name};
use crate::shape::{keyed, rules, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network that every host takes part in, unless `hosts` says otherwise.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "Network",
    plural = "networks",
    derive = "PartialEq",
    doc = "A network that every host takes part in, unless `hosts` says otherwise.",
    shortname = "net",
    status = "NetworkStatus",
    printcolumn(
        name = "Role",
        type_ = "string",
        json_path = ".spec.role",
        description = "What the network is for."
    ),
    printcolumn(
        name = "Subnet",
        type_ = "string",
        json_path = ".spec.subnet",
        description = "Its addresses."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether it is so on all hosts."
    ),
    printcolumn(
        name = "VLAN",
        type_ = "integer",
        json_path = ".spec.vlan",
        priority = 1,
        description = "Its VLAN."
    ),
    printcolumn(
        name = "MTU",
        type_ = "integer",
        json_path = ".spec.mtu",
        priority = 1,
        description = "The largest packet."
    ),
    printcolumn(
        name = "Bond",
        type_ = "string",
        json_path = ".spec.bond.mode",
        priority = 1,
        description = "How its cards work together."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "!has(self.parent) || !has(self.nics) || size(self.nics) == 0",
        "a network lies either on cards of its own (nics) or on another network's (parent)",
    ),
    (
        "!has(self.bond) || !has(self.bond.primary) || (has(self.nics) && self.bond.primary in \
         self.nics)",
        "bond.primary must be one of nics",
    ),
    (
        "!has(self.parent) || !has(self.bond)",
        "a network with a parent uses the parent's bond: remove bond",
    ),
    (
        "!has(self.bond) || !has(self.bond.name) || !has(self.bridge) || !has(self.bridge.name) || \
         self.bond.name != self.bridge.name",
        "the bond and the bridge on it need names of their own",
    ),
    (
        "self.addressing != 'NodeNumber' || has(self.subnet)",
        "addressing is NodeNumber: give the subnet that the addresses are taken from",
    ),
    (
        "!self.heartbeat || self.addressing != 'None'",
        "a ring needs addresses: set addressing to NodeNumber or Explicit, or heartbeat to false",
    )
]))]
pub struct NetworkSpec {
    /// What the network is for.
    pub role: NetworkRole,
    /// Its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Cidr>,
    /// The way out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddress>,
    /// The cards that carry it, by their names in Node.spec.nics. Several need a bond.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = set)]
    pub nics: Vec<Label>,
    /// Refuse cards that sit on one board.
    pub separate_boards: bool,
    /// The network whose cards or bond it shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Name>,
    /// Its VLAN id. None: untagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub vlan: Option<u32>,
    /// The largest packet.
    #[schemars(range(min = 576, max = 65535))]
    pub mtu: u32,
    /// How several cards work as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    /// A bridge on top, on which guests may be. Addresses sit on the bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Bridge>,
    /// Where hosts' addresses come from.
    pub addressing: Addressing,
    /// What differs on single hosts. With `onlyListed`, the hosts that take part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = keyed(&["node"]))]
    pub hosts: Vec<NetworkHost>,
    /// Only the hosts listed take part.
    pub only_listed: bool,
    /// Hosts' names on this network get this suffix: `an-a01n01.bcn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub host_suffix: Option<String>,
    /// Use it as a ring: heartbeats go over it.
    pub heartbeat: bool,
    /// Which ports are open on it.
    pub firewall: Firewall,
    /// Guests may be attached to it. Cluster networks are closed to guests unless this says so.
    pub guest_access: bool,
    /// Addresses outside the cluster that must answer; a host that reaches none of them is cut off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = set)]
    pub ping_targets: Vec<IpAddress>,
    /// After a change, how long a host waits to reach the cluster again before it takes the change
    /// back.
    pub rollback_after: Duration,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self {
            role: NetworkRole::Other,
            subnet: None,
            gateway: None,
            nics: Vec::new(),
            separate_boards: false,
            parent: None,
            vlan: None,
            mtu: 1500,
            bond: None,
            bridge: None,
            addressing: Addressing::NodeNumber,
            hosts: Vec::new(),
            only_listed: false,
            host_suffix: None,
            heartbeat: false,
            firewall: Firewall::default(),
            guest_access: false,
            ping_targets: Vec::new(),
            rollback_after: Duration::from("30s"),
        }
    }
}

/// What a network is for.
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
pub enum NetworkRole {
    /// The cluster's own traffic, and guests' memory in live migrations.
    BackChannel,
    /// Replication.
    Storage,
    /// The guests' way out. Only the ports in use are open on it.
    InternetFacing,
    /// Guests' memory in live migrations, where it has a network of its own.
    Migration,
    /// Something else.
    #[default]
    Other,
}

/// Where hosts' addresses come from.
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
pub enum Addressing {
    /// The subnet's first address plus the node's number, less one: node 3 of 10.20.0.0/16 is
    /// 10.20.0.3.
    #[default]
    NodeNumber,
    /// Each host's is written under `hosts`.
    Explicit,
    /// Hosts have none; the network is for guests only.
    None,
}

/// What differs on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkHost {
    /// The host.
    pub node: Name,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddress>,
    /// Its cards, in place of the network's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = set)]
    pub nics: Vec<Label>,
}
