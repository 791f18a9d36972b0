//! What a network is on each host.

use super::condition::Condition;
use super::node_status::LinkState;
use crate::scalar::{Duration, Label, MacAddress, Name};
use crate::shape::{keyed, set};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a network is on each host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Changing`, `RolledBack`, `Redundant`, `Flapping`, `CardsClean`, `PathsWork`,
    /// `MtuConsistent`, `AddressesUnique`, `NamesUnique`, `FirewallKept`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// The network on each host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = keyed(&["node"]))]
    pub hosts: Vec<NetworkHostStatus>,
}

/// A network on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkHostStatus {
    /// The host.
    pub node: Name,
    /// Whether it works there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkState>,
    /// The kernel's name of the topmost interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub device: Option<String>,
    /// The address in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49))]
    pub address: Option<String>,
    /// The largest packet that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The card in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub active_nic: Option<String>,
    /// Its cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = keyed(&["nic"]))]
    pub links: Vec<BondLinkStatus>,
    /// The hardware addresses that may answer for its address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = set)]
    pub macs: Vec<MacAddress>,
    /// Whether the host's firewall is as the manifest says; not said where none is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<bool>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// The way over a network from one host to another, as the first one finds it. Its figures are
/// coarse, so that a network on which nothing happens writes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerLink {
    /// The other host.
    pub node: Name,
    /// Whether it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkState>,
    /// How much of what is asked is not answered, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub loss: Option<u32>,
    /// How long an answer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<Duration>,
    /// The largest packet that passes, where that is less than the network's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The hardware address that answers for the other host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// How far its clock is ahead of this host's, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<i64>,
}

/// One card of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BondLinkStatus {
    /// The card.
    pub nic: Label,
    /// Its link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkState>,
    /// How often it went down since the host started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Whether it goes up and down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flapping: Option<bool>,
    /// What it runs at, in Mbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<u32>,
    /// Whether only one side can speak at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_duplex: Option<bool>,
    /// How many of a million packets were damaged lately, coarsely; not said where hardly any was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub errors: Option<u32>,
}
