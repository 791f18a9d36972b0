//! One round: everything is looked at once, in an order in which nothing is decided on a guess.

use crate::networks::Reached;
use crate::outcome::Outcome;
use crate::pools::Groups;
use crate::rights::Hosts;
use crate::state::ClusterState;
use crate::volumes::Views;
use crate::{
    Decisions, above, domains, fencing, filesystems, guests, hosts, networks, pools, records,
    snapshots, volumes,
};
use jiff::Timestamp;
use quorate_crds::{ClusterPower, ClusterSpec};

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
    /// The volumes, as their hosts see them now.
    pub(crate) views: Views<'a>,
    pub(crate) groups: Groups<'a>,
    pub(crate) reached: Reached<'a>,
}

impl Round<'_> {
    /// Whether the whole cluster is to be shut down.
    pub(crate) fn stopping(&self) -> bool {
        self.settings.power == ClusterPower::Stopped
    }
}

/// Decides. The same state and leader always give the same decisions.
#[must_use]
pub fn plan(state: &ClusterState, leader: Leader) -> Decisions {
    decide(state, leader, Outcome::default())
}

/// The same decisions, with the reasons of everything that is as it is.
#[must_use]
pub fn explain(state: &ClusterState, leader: Leader) -> Decisions {
    decide(state, leader, Outcome::explained())
}

fn decide(state: &ClusterState, leader: Leader, mut outcome: Outcome) -> Decisions {
    let settings = state
        .cluster
        .as_ref()
        .map(|cluster| cluster.spec.clone())
        .unwrap_or_default();
    if settings.maintenance {
        return outcome.decided();
    }
    let hosts = Hosts::of(state);
    let views = volumes::look(state, &hosts, leader.now);
    let round = Round {
        state,
        settings,
        hosts,
        now: leader.now,
        views,
        groups: Groups::of_all(state),
        reached: Reached::of(state),
    };
    fencing::plan(&round, &mut outcome);
    networks::plan(&round, &mut outcome);
    pools::plan(&round, &mut outcome);
    guests::plan(&round, &mut outcome);
    filesystems::plan(&round, &mut outcome);
    above::plan(&round, &mut outcome);
    volumes::plan(&round, &mut outcome);
    snapshots::plan(&round, &mut outcome);
    hosts::plan(&round, &mut outcome);
    domains::plan(&round, &mut outcome);
    records::settle(state, &round.hosts, leader.term, &mut outcome);
    outcome.decided()
}
