//! Records of plans: what they are called, how they are answered, and which of them change.
//!
//! A record is written only when what it says is different; everything that changes in one round
//! shares one new generation of its host's plan.

use crate::outcome::Outcome;
use crate::rights::{Hosts, held};
use crate::state::{ClusterState, Index, Record, Subject};
use quorate_crds::{Assignment, Name, NodePlan, NodePlanSpec};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// How something that was active came to an end by itself: the reason of the condition `Stalled`
/// that a host puts on the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `GuestCrashed`: the guest crashed, or hung.
    GuestCrashed,
    /// `GuestPoweredOff`: it was switched off from inside.
    GuestPoweredOff,
    /// `MigrationFailed`: it could not be sent, and runs on where it was.
    MigrationFailed,
    /// `NotInstalled`, `NotSupported`: this host cannot do it, however often it is tried.
    NotPossible,
    /// Anything else: it could not be made so.
    NotStarted,
}

impl Ending {
    pub(crate) fn of(reason: &str) -> Self {
        match reason {
            "GuestCrashed" => Self::GuestCrashed,
            "GuestPoweredOff" => Self::GuestPoweredOff,
            "MigrationFailed" => Self::MigrationFailed,
            "NotInstalled" | "NotSupported" => Self::NotPossible,
            _ => Self::NotStarted,
        }
    }

    /// The word, in a failure's record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GuestCrashed => "GuestCrashed",
            Self::GuestPoweredOff => "GuestPoweredOff",
            Self::MigrationFailed => "MigrationFailed",
            Self::NotPossible => "NotPossible",
            Self::NotStarted => "NotStarted",
        }
    }
}

/// What the record of that object on that host is called. Names that hold dots, or are long, get a
/// checksum, so that no two records share one.
#[must_use]
pub fn record_name(host: &str, subject: &Subject) -> String {
    let kind = subject.kind.word();
    let plain = format!("{host}.{kind}.{}", subject.name);
    let dotted = host.contains('.') || subject.name.contains('.');
    if !dotted && plain.len() <= 253 {
        return plain;
    }
    shortened(&plain, &format!("{host}\0{kind}\0{}", subject.name))
}

/// The beginning of `plain`, with a checksum of `whole`.
pub(crate) fn shortened(plain: &str, whole: &str) -> String {
    let head: String = plain.chars().take(230).collect();
    format!(
        "{}.{:016x}",
        head.trim_end_matches(['.', '-']),
        checksum(whole)
    )
}

/// FNV-1a: the same everywhere, for ever.
pub(crate) fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[derive(Default)]
struct Changes<'w> {
    written: Vec<(&'w Subject, Cow<'w, Assignment>)>,
    obsolete: Vec<&'w Subject>,
    withdrawn: bool,
}

/// Compares what is wanted with what is written, and puts the difference into `outcome`.
pub(crate) fn settle(state: &ClusterState, hosts: &Hosts<'_>, term: u64, outcome: &mut Outcome) {
    let wanted = outcome.take_assignments();
    let mut changes: BTreeMap<&str, Changes<'_>> = BTreeMap::new();
    let mut counts: Index<&str, u32> = Index::default();
    let mut again: Vec<(&Subject, &str, &Assignment)> = Vec::new();
    for (subject, table) in state.records.iter() {
        for (host, record) in table {
            *counts.entry(host).or_default() += 1;
            if wanted.keeps(subject, host, record) {
                if let Some(same) = &record.spec.assignment
                    && !current(hosts, record)
                    && !wanted.leaves(record)
                {
                    again.push((subject, host, same));
                }
            } else if !wanted.writes(subject, host) {
                unwanted(hosts, (subject, host, record), &mut changes);
            }
        }
    }
    again.extend(wanted.fresh());
    again.sort_by_key(|(subject, host, _)| (*subject, *host));
    for (subject, host, assignment) in again {
        let assigned = state.record(subject, host);
        let assigned = assigned.and_then(|old| old.spec.assignment.as_ref());
        let change = changes.entry(host).or_default();
        change.withdrawn |= assigned.is_some_and(|assigned| assigned.active) && !assignment.active;
        change.written.push((subject, Cow::Borrowed(assignment)));
    }
    let heads: BTreeSet<&str> = hosts
        .values()
        .filter(|host| host.online())
        .map(|host| host.name)
        .chain(changes.keys().copied())
        .collect();
    for host in heads {
        let change = changes.remove(host).unwrap_or_default();
        let head = state.heads.get(host);
        let incarnation = hosts.get(host).map_or(0, |host| host.incarnation);
        let changed = !change.written.is_empty() || !change.obsolete.is_empty();
        let stale =
            head.is_none_or(|head| head.spec.incarnation != incarnation || head.spec.term != term);
        if !changed && !stale {
            continue;
        }
        let generation = head.map_or(0, |head| head.spec.plan_generation) + u64::from(changed);
        let lowest = head
            .and_then(|head| head.spec.lowest_valid_generation)
            .unwrap_or(0);
        let fresh = change
            .written
            .iter()
            .filter(|(subject, _)| state.record(*subject, host).is_none())
            .count();
        let records = counts.get(host).copied().unwrap_or(0)
            + u32::try_from(fresh).unwrap_or(u32::MAX)
            - u32::try_from(change.obsolete.len()).unwrap_or(0);
        let spec = |assignment| NodePlanSpec {
            node: Name::from(host),
            incarnation,
            term,
            plan_generation: generation,
            lowest_valid_generation: None,
            records: None,
            assignment,
        };
        for (subject, assignment) in change.written {
            let name = record_name(host, subject);
            let record = NodePlan::new(&name, spec(Some(assignment.into_owned())));
            outcome.decisions.records.push(record);
        }
        for subject in change.obsolete {
            outcome.decisions.obsolete.push(record_name(host, subject));
        }
        outcome.decisions.records.push(NodePlan::new(
            host,
            NodePlanSpec {
                lowest_valid_generation: Some(if change.withdrawn { generation } else { lowest }),
                records: Some(records),
                ..spec(None)
            },
        ));
    }
}

/// Whether the record is for the present boot of its host. A host that is not there keeps what it was
/// told until it is confirmed off.
fn current(hosts: &Hosts<'_>, record: &Record) -> bool {
    let host = hosts.get(record.spec.node.as_str());
    host.is_some_and(|host| record.spec.incarnation == host.incarnation || !host.online())
}

/// The record's object is gone, but a record goes only when its right has ended.
fn unwanted<'w>(
    hosts: &Hosts<'_>,
    (subject, host, record): (&'w Subject, &'w str, &'w Record),
    changes: &mut BTreeMap<&'w str, Changes<'w>>,
) {
    let change = changes.entry(host).or_default();
    let assigned = record.spec.assignment.as_ref();
    let active = assigned.filter(|assigned| assigned.active);
    change.withdrawn |= active.is_some();
    match active {
        Some(active) if held(hosts, record) => {
            let mut withdrawn = active.clone();
            withdrawn.active = false;
            change.written.push((subject, Cow::Owned(withdrawn)));
        }
        None if held(hosts, record) => {}
        _ => change.obsolete.push(subject),
    }
}
