//! What a network is on each host.

use super::condition::Condition;
use super::node_status::LinkState;
use crate::scalar::{Label, Name};
use crate::shape::keyed;
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
    /// `Ready`, `Redundant`, `MtuConsistent`, `AddressesUnique`, `RolledBack`.
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
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
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
}
