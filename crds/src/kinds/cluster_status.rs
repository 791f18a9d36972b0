//! What the cluster is, as its leader sees it.

use super::condition::Condition;
use crate::scalar::Name;
use crate::shape::{atomic, keyed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Quorate`, `FencingReady`, `CapacityForLoss`, `ClocksInSync`, `Maintenance`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// The cluster's identity, made once when it was set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub id: Option<String>,
    /// Changes when a person takes over or restores: members of another history are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub history_id: Option<String>,
    /// The name of the member that leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub leader: Option<String>,
    /// The term in which it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The level of formats and features that every member and host supports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_level: Option<u32>,
    /// Hosts online, of all: `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub nodes_online: Option<String>,
    /// The votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<QuorumStatus>,
    /// The members of the store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["name"]))]
    pub members: Vec<MemberStatus>,
}

/// The votes, and what can be lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QuorumStatus {
    /// Votes present, of those needed: `3/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub summary: Option<String>,
    /// How many votes there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voters: Option<u32>,
    /// How many are needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<u32>,
    /// How many are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<u32>,
    /// How many members can be lost now without a stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_lose: Option<u32>,
    /// What happens when one more member is lost, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub next_loss: Option<String>,
}

/// A member of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its name.
    pub name: Name,
    /// Its number, never used again after it has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<ObservedMemberRole>,
    /// The Node that is the same machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Where it is reached, one address per ring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = atomic)]
    pub addresses: Vec<String>,
    /// Whether the leader hears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// How many log entries it has yet to receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

/// What a member does at present.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ObservedMemberRole {
    /// Votes, and may lead.
    Voter,
    /// Votes and runs nothing else.
    Witness,
    /// Catches up and does not vote yet.
    Learner,
}
