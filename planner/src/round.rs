//! One round: everything is looked at once, in an order in which nothing is decided on a guess.

use crate::outcome::Outcome;
use crate::rights::{Host, Hosts};
use crate::state::ClusterState;
use crate::{Decisions, fencing, guests, records, volumes};
use jiff::Timestamp;
use quorate_crds::ClusterSpec;

/// Who decides, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The moment.
    pub now: Timestamp,
    /// The term in which it leads.
    pub term: u64,
}

/// What all parts of a round look at.
pub(crate) struct Round<'a> {
    pub(crate) state: &'a ClusterState,
    pub(crate) settings: ClusterSpec,
    pub(crate) hosts: Hosts<'a>,
    pub(crate) now: Timestamp,
}

/// Decides. The same state and leader always give the same decisions.
#[must_use]
pub fn plan(state: &ClusterState, leader: Leader) -> Decisions {
    let settings = state
        .cluster
        .as_ref()
        .map(|cluster| cluster.spec.clone())
        .unwrap_or_default();
    let mut outcome = Outcome::default();
    if settings.maintenance {
        return outcome.decisions;
    }
    let hosts = state
        .nodes
        .iter()
        .map(|(name, node)| (name.as_str(), Host::of(name, node)));
    let round = Round {
        state,
        settings,
        hosts: hosts.collect(),
        now: leader.now,
    };
    fencing::plan(&round, &mut outcome);
    guests::plan(&round, &mut outcome);
    volumes::plan(&round, &mut outcome);
    records::settle(state, &round.hosts, leader.term, &mut outcome);
    outcome.decisions
}
