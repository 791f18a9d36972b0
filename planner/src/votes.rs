//! Which hosts carry a vote without which nothing could be decided any more.
//!
//! A host is switched off before `Fenced` is committed, and gets its power back afterwards. When its own member is one of
//! those that commit, neither ever happens: the cluster would stop for good in the attempt to make one host safe.

use crate::round::Round;
use quorate_crds::{NodeState, ObservedMemberRole};
use std::collections::BTreeSet;

/// The votes that are there, and how many are needed.
pub(crate) struct Votes<'a> {
    /// Hosts whose member answers, and that are not being switched off.
    present: BTreeSet<&'a str>,
    needed: usize,
}

impl<'a> Votes<'a> {
    pub(crate) fn of(round: &Round<'a>) -> Self {
        let status = round.state.cluster.as_ref();
        let status = status.and_then(|cluster| cluster.status.as_ref());
        let members = status.into_iter().flat_map(|status| &status.members);
        let voters: Vec<_> = members
            .filter(|member| member.role != Some(ObservedMemberRole::Learner))
            .collect();
        let present = voters
            .iter()
            .filter(|member| member.reachable != Some(false))
            .map(|member| member.node.as_ref().unwrap_or(&member.name).as_str())
            .filter(|host| !going(round, host))
            .collect();
        Self {
            present,
            needed: voters.len() / 2 + 1,
        }
    }

    /// Whether the cluster would stop without the member on this host, which answers.
    pub(crate) fn rest_on(&self, host: &str) -> bool {
        self.present.contains(host) && self.present.len() <= self.needed
    }

    /// The host is being switched off.
    pub(crate) fn lose(&mut self, host: &str) {
        self.present.remove(host);
    }

    /// What is there and what is needed, in words.
    pub(crate) fn words(&self) -> String {
        format!(
            "{} votes are there and {} are needed",
            self.present.len(),
            self.needed
        )
    }
}

/// Whether the host is off, or is being switched off.
fn going(round: &Round<'_>, host: &str) -> bool {
    let node = round.state.nodes.get(host);
    let state = node.and_then(|node| node.status.as_ref()?.state);
    matches!(state, Some(NodeState::Fencing | NodeState::Fenced))
}
