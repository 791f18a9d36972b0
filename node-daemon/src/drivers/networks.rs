//! Bonds, VLANs, bridges and addresses.

use super::{Doing, Hints, Owner};
use quorate_crds::{Name, NetworkAssignment, NetworkHostStatus, NetworkSpec, Nic, PeerLink};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A network as this host has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSeen {
    /// Whose it is. A foreign one is an interface that no Network stands for.
    pub owner: Owner,
    /// How it is.
    pub status: NetworkHostStatus,
    /// Whether it is exactly as the target that was last applied says.
    pub as_applied: bool,
    /// Whether a change waits to be kept or rolled back.
    pub on_trial: bool,
    /// The ways over it to other hosts, as far as they are probed.
    #[serde(default)]
    pub links: Vec<PeerLink>,
    /// Whether somebody answered over it before the change on trial, and nobody does since.
    #[serde(default)]
    pub unheard: bool,
    /// Why the change on trial is to be taken back, when that is known before its time is over.
    #[serde(default)]
    pub unfit: Option<String>,
    /// Whether it was taken away, on trial.
    #[serde(default)]
    pub going: bool,
}

/// A network as it should be on this host.
#[derive(Clone, Debug)]
pub struct NetworkTarget {
    /// The Network.
    pub name: Name,
    /// What people want.
    pub spec: Arc<NetworkSpec>,
    /// What was planned for this host.
    pub assignment: NetworkAssignment,
    /// The host's cards that the assignment names, and how each is found.
    pub cards: Vec<Nic>,
}

/// Bonds, VLANs, bridges and addresses of this host.
pub trait Networks: Send + Sync {
    /// Every interface and network.
    fn observe(&self) -> Doing<'_, Vec<NetworkSeen>>;

    /// Links that go up and down, addresses that appear.
    fn watch(&self) -> Hints;

    /// Makes it so, on trial: unless [`Networks::keep`] follows within `spec.rollbackAfter`, the host takes the change
    /// back by itself, also when the daemon is gone.
    fn apply<'a>(&'a self, target: &'a NetworkTarget) -> Doing<'a, ()>;

    /// The cluster was reached after the change, or after it was taken away: so it stays.
    fn keep<'a>(&'a self, network: &'a Name) -> Doing<'a, ()>;

    /// The change on trial does not do: the host takes it back at once.
    fn take_back<'a>(&'a self, network: &'a Name, why: &'a str) -> Doing<'a, ()>;

    /// Takes it away, on trial like a change.
    fn remove<'a>(&'a self, network: &'a Name) -> Doing<'a, ()>;
}
