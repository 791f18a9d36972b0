//! Who has, or may have, the right to run or write something, and when that right has surely ended.
//!
//! This is the one place where rules R1 and R2 are decided; everything else asks here.

use crate::amounts::{bytes, maybe_bytes};
use crate::mistake::{Mistake, made};
use crate::records::Ending;
use crate::state::{ClusterState, Index, Record, Word};
use quorate_crds::{
    Condition, ConditionStatus, FenceAction, FenceOperation, FencePhase, Node, NodeMode,
    NodePlanStatus, NodeState, VirtualMachine,
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
    fn of(name: &'a str, node: &'a Node, proofs: &Proofs<'a>) -> Self {
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
        let incarnation = status.and_then(|status| status.incarnation).unwrap_or(0);
        let doubted = !made(Mistake::VoidedEvidenceCounts)
            && proofs.voided.contains_key(&(name, incarnation))
            && proofs.off.get(name).is_none_or(|off| *off < incarnation);
        let going = status.is_some_and(|status| {
            is_true(&status.conditions, "ShuttingDown") && node.spec.mode != NodeMode::Maintenance
        });
        Self {
            name,
            node,
            presence: match state {
                Some(NodeState::Online) => Presence::Online,
                Some(NodeState::Suspect | NodeState::Fencing) => Presence::Silent,
                // It was heard after it had been confirmed off: nothing is known about it.
                Some(NodeState::Fenced) if doubted => Presence::Silent,
                Some(NodeState::Fenced) => Presence::Fenced,
                Some(NodeState::Joining | NodeState::Left) | None => Presence::Away,
            },
            incarnation,
            mode: if going {
                NodeMode::Withdrawn
            } else {
                node.spec.mode
            },
            memory,
            cpus: u64::from(cpus),
        }
    }

    pub(crate) fn online(&self) -> bool {
        self.presence == Presence::Online
    }

    /// Whether it may be given something new.
    pub(crate) fn takes_more(&self) -> bool {
        self.online() && self.mode == NodeMode::Active
    }

    /// Whether guests are to be moved off it.
    pub(crate) fn emptied(&self) -> bool {
        matches!(self.mode, NodeMode::Drained | NodeMode::Withdrawn)
    }
}

/// What fence operations prove.
struct Proofs<'a> {
    /// The newest incarnation of each host that is confirmed off.
    off: BTreeMap<&'a str, u64>,
    /// Evidence that was contradicted.
    voided: BTreeMap<(&'a str, u64), ()>,
}

impl<'a> Proofs<'a> {
    fn of(state: &'a ClusterState) -> Self {
        let mut proofs = Self {
            off: BTreeMap::new(),
            voided: BTreeMap::new(),
        };
        for operation in state.operations.values() {
            let node = operation.spec.node.as_str();
            let status = operation.status.as_ref();
            if let Some(incarnation) = proven(operation) {
                let off = proofs.off.entry(node).or_default();
                *off = (*off).max(incarnation);
            } else if let Some(incarnation) = operation.spec.incarnation
                && status.is_some_and(|status| {
                    status.phase == Some(FencePhase::Voided) || status.voided_at.is_some()
                })
            {
                proofs.voided.insert((node, incarnation), ());
            }
        }
        proofs
    }
}

/// The incarnation that an operation, a person's confirmation included, proves to be off.
pub(crate) fn proven(operation: &FenceOperation) -> Option<u64> {
    let powers = matches!(
        operation.spec.action,
        FenceAction::PowerOff | FenceAction::PowerCycle | FenceAction::Confirm
    );
    let status = operation.status.as_ref()?;
    let valid = status.phase == Some(FencePhase::Succeeded) && status.voided_at.is_none();
    let evidence = status.evidence.as_ref()?;
    (powers && valid).then_some(evidence.incarnation)
}

/// The hosts, and what is proven about those that are gone.
pub(crate) struct Hosts<'a> {
    /// By name.
    known: Vec<Host<'a>>,
    places: Index<&'a str, usize>,
    /// Hosts whose Node is deleted, with the newest incarnation that is confirmed off.
    gone: BTreeMap<&'a str, u64>,
}

impl<'a> Hosts<'a> {
    pub(crate) fn of(state: &'a ClusterState) -> Self {
        let proofs = Proofs::of(state);
        let known: Vec<_> = state
            .nodes
            .iter()
            .map(|(name, node)| Host::of(name, node, &proofs))
            .collect();
        let places: Index<_, _> = known.iter().map(|host| host.name).zip(0..).collect();
        let gone = proofs.off.into_iter();
        let gone = gone.filter(|(name, _)| !places.contains_key(name));
        Self {
            gone: gone.collect(),
            known,
            places,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Host<'a>> {
        Some(&self.known[*self.places.get(name)?])
    }

    pub(crate) fn names(&self) -> impl DoubleEndedIterator<Item = &'a str> + Clone {
        self.known.iter().map(|host| host.name)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Host<'a>> {
        self.known.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing that this incarnation of the host ever started can still be active: it is
    /// confirmed off, or the same host has registered a later boot.
    pub(crate) fn dead(&self, host: &str, incarnation: u64) -> bool {
        match self.get(host) {
            Some(host) => {
                host.incarnation > incarnation
                    || (host.incarnation == incarnation && host.presence == Presence::Fenced)
                    || (made(Mistake::SilenceIsProof) && host.presence == Presence::Silent)
            }
            None => self.gone.get(host).is_some_and(|off| *off >= incarnation),
        }
    }

    pub(crate) fn is(&self, host: &str, presence: Presence) -> bool {
        self.get(host).is_some_and(|host| host.presence == presence)
    }
}

impl<'a> std::ops::Index<&str> for Hosts<'a> {
    type Output = Host<'a>;

    fn index(&self, name: &str) -> &Host<'a> {
        &self.known[self.places[name]]
    }
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

/// What the incarnation that the record is for says about this generation of it, or a newer one.
fn said(record: &Record) -> Option<Word> {
    let counts = !record.word_is_old || made(Mistake::OldAnswersCount);
    record.word.filter(|_| counts)
}

pub(crate) fn answer(record: &Record) -> Answer {
    match said(record) {
        None => Answer::Nothing,
        Some(Word::Released) => Answer::Released,
        Some(Word::Stalled) => stalled(record),
        Some(Word::Converged) => Answer::Converged,
        Some(Word::Working) => Answer::Working,
    }
}

fn stalled(record: &Record) -> Answer {
    let conditions = record.status.iter().flat_map(|status| &status.conditions);
    let mut stalled =
        conditions.filter(|one| one.type_ == "Stalled" && one.status == ConditionStatus::True);
    stalled.next().map_or(Answer::Working, |stalled| {
        Answer::Ended(Ending::of(&stalled.reason), stalled.message.clone())
    })
}

pub(crate) fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == type_ && condition.status == ConditionStatus::True)
}

/// What the present incarnation of its host sees, whatever generation it answers about.
pub(crate) fn observed<'r>(hosts: &Hosts<'_>, record: &'r Record) -> Option<&'r NodePlanStatus> {
    let host = hosts.get(&record.host)?;
    record
        .status
        .as_ref()
        .filter(|status| status.incarnation == Some(host.incarnation))
}

pub(crate) fn active(record: &Record) -> bool {
    record.active
}

/// Whether what the record is about may be active on its host.
pub(crate) fn held(hosts: &Hosts<'_>, record: &Record) -> bool {
    let dead = hosts.dead(&record.host, record.incarnation);
    let withdrawn = made(Mistake::WithdrawnIsReleased) && !active(record);
    !dead && !withdrawn && said(record) != Some(Word::Released)
}

/// Whether the record's replica may be open for writing on its host.
pub(crate) fn writes(hosts: &Hosts<'_>, record: &Record) -> bool {
    held(hosts, record) && (is_primary(record) || answer(record) != Answer::Converged)
}

pub(crate) fn is_primary(record: &Record) -> bool {
    record.primary
}

/// Where a guest that has no record yet is seen to run: one that was there before us.
pub(crate) fn seen_on<'a>(hosts: &Hosts<'_>, guest: &'a VirtualMachine) -> Option<&'a str> {
    use quorate_crds::GuestState::{Failed, Pending, Stopped};
    let status = guest.status.as_ref()?;
    let node = status.node.as_ref()?.as_str();
    let active = status
        .state
        .is_some_and(|state| !matches!(state, Pending | Stopped | Failed));
    (active && !hosts.is(node, Presence::Fenced)).then_some(node)
}
