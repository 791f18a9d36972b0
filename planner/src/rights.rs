//! Who has, or may have, the right to run or write something, and when that right has surely ended.
//!
//! This is the one place where rules R1 and R2 are decided; everything else asks here.

use crate::amounts::{bytes, maybe_bytes};
use crate::records::Ending;
use quorate_crds::{
    ConditionStatus, Node, NodeMode, NodePlan, NodeState, ReplicaRole, VirtualMachine,
};
use std::collections::BTreeMap;

/// How a host is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is heard and may start things.
    Online,
    /// It is silent and not confirmed off.
    Silent,
    /// It is confirmed off.
    Fenced,
    /// It left, or is only becoming part of the cluster.
    Away,
}

/// A host, as decisions see it.
#[derive(Clone, Debug)]
pub(crate) struct Host<'a> {
    pub(crate) name: &'a str,
    pub(crate) node: &'a Node,
    pub(crate) presence: Presence,
    pub(crate) incarnation: u64,
    pub(crate) mode: NodeMode,
    pub(crate) memory: u64,
    pub(crate) cpus: u64,
}

impl<'a> Host<'a> {
    pub(crate) fn of(name: &'a str, node: &'a Node) -> Self {
        let status = node.status.as_ref();
        let state = status.and_then(|status| status.state);
        let room = status.and_then(|status| status.allocatable.as_ref());
        let whole = status.and_then(|status| status.capacity.as_ref());
        let memory = match room.and_then(|room| room.memory.as_ref()) {
            Some(memory) => bytes(memory),
            None => maybe_bytes(whole.and_then(|whole| whole.memory.as_ref()))
                .saturating_sub(bytes(&node.spec.reserve.memory)),
        };
        let cpus = room.or(whole).and_then(|has| has.cpus).unwrap_or(0);
        Self {
            name,
            node,
            presence: match state {
                Some(NodeState::Online) => Presence::Online,
                Some(NodeState::Suspect | NodeState::Fencing) => Presence::Silent,
                Some(NodeState::Fenced) => Presence::Fenced,
                Some(NodeState::Joining | NodeState::Left) | None => Presence::Away,
            },
            incarnation: status.and_then(|status| status.incarnation).unwrap_or(0),
            mode: node.spec.mode,
            memory,
            cpus: u64::from(cpus),
        }
    }

    pub(crate) fn online(&self) -> bool {
        self.presence == Presence::Online
    }
}

pub(crate) type Hosts<'a> = BTreeMap<&'a str, Host<'a>>;

/// Whether nothing that this incarnation of the host ever started can still be active: it is
/// confirmed off, or the same host has registered a later boot.
pub(crate) fn dead(hosts: &Hosts<'_>, host: &str, incarnation: u64) -> bool {
    hosts.get(host).is_some_and(|host| {
        host.incarnation > incarnation
            || (host.incarnation == incarnation && host.presence == Presence::Fenced)
    })
}

/// What a host says about a record as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing yet about this generation.
    Nothing,
    /// It is at work.
    Working,
    /// It is so.
    Converged,
    /// It is surely not active there.
    Released,
    /// It came to an end by itself.
    Ended(Ending, String),
}

pub(crate) fn answer(record: &NodePlan) -> Answer {
    let Some(status) = &record.status else {
        return Answer::Nothing;
    };
    if status
        .observed_plan_generation
        .is_none_or(|seen| seen < record.spec.plan_generation)
    {
        return Answer::Nothing;
    }
    let condition = |type_: &str| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_ && condition.status == ConditionStatus::True)
    };
    if status.released == Some(true) {
        Answer::Released
    } else if let Some(stalled) = condition("Stalled") {
        Answer::Ended(Ending::of(&stalled.reason), stalled.message.clone())
    } else if condition("Converged").is_some() {
        Answer::Converged
    } else {
        Answer::Working
    }
}

/// Whether what the record is about may be active on its host.
pub(crate) fn held(hosts: &Hosts<'_>, record: &NodePlan) -> bool {
    !dead(hosts, record.spec.node.as_str(), record.spec.incarnation)
        && answer(record) != Answer::Released
}

/// Whether the record's replica may be open for writing on its host.
pub(crate) fn writes(hosts: &Hosts<'_>, record: &NodePlan) -> bool {
    let primary = record
        .spec
        .assignment
        .as_ref()
        .and_then(|assignment| assignment.replica.as_ref())
        .is_some_and(|replica| replica.role == ReplicaRole::Primary);
    held(hosts, record) && (primary || answer(record) != Answer::Converged)
}

/// Where a guest that has no record yet is seen to run: one that was there before us.
pub(crate) fn seen_on<'a>(hosts: &Hosts<'_>, guest: &'a VirtualMachine) -> Option<&'a str> {
    use quorate_crds::GuestState::{Failed, Pending, Stopped};
    let status = guest.status.as_ref()?;
    let node = status.node.as_ref()?.as_str();
    let active = status
        .state
        .is_some_and(|state| !matches!(state, Pending | Stopped | Failed));
    let fenced = hosts
        .get(node)
        .is_some_and(|host| host.presence == Presence::Fenced);
    (active && !fenced).then_some(node)
}
