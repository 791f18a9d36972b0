//! What a host says about a record of its plan: how far it is, and what it sees.
//!
//! Hosts write nothing else. The planner and the leader derive the statuses of guests, volumes and
//! networks from it, so that one object is never written from two sides.

use super::condition::Condition;
use super::network_status::{NetworkHostStatus, PeerLink};
use super::shared_filesystem::MountStatus;
use super::storage_pool::PoolHostStatus;
use super::virtual_machine_status::{AgentStatus, DisplayStatus, GuestNicStatus, GuestResources};
use super::volume_status::ReplicaStatus;
use crate::shape::keyed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a host is with a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePlanStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Converged`, `Stalled`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation that the host has made so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_plan_generation: Option<u64>,
    /// Whether what was to be stopped is surely stopped here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<bool>,
    /// How often it was tried since it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// The incarnation that says all this. What a former one said is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// The number of the report that brought it: what a report with a lower one brings later is out of date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<u64>,
    /// The network, as the host sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkHostStatus>,
    /// The ways over that network to the other hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = keyed(&["node"]))]
    pub links: Vec<PeerLink>,
    /// The host's part of the pool, as it sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolHostStatus>,
    /// The replica, as the host sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaStatus>,
    /// The mounted filesystem, as the host sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<MountStatus>,
    /// The guest, as the host sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestObservation>,
}

/// A guest, as its host sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GuestObservation {
    /// What it does here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<GuestPresence>,
    /// What the agent inside says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStatus>,
    /// Where its screen is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<DisplayStatus>,
    /// Its network cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = keyed(&["name"]))]
    pub nics: Vec<GuestNicStatus>,
    /// What it has at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<GuestResources>,
}

/// What a guest does on one host.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum GuestPresence {
    /// It is not here.
    Absent,
    /// It runs here.
    Running,
    /// It stands still here.
    Paused,
    /// Its memory is arriving; it stands still here.
    Arriving,
    /// All of its memory is here; it stands still.
    Arrived,
    /// All of its memory was sent; it does not run here any more, and never again by itself.
    Sent,
}
