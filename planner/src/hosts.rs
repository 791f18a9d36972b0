//! What every host carries, and whether one that is being emptied is empty.

use crate::amounts::{bytes, words};
use crate::outcome::{Outcome, condition};
use crate::rights::held;
use crate::round::Round;
use crate::state::{Index, SubjectKind};
use crate::{Reason, Why};
use quorate_crds::{NodeMode, NodeResources, Size};
use std::collections::BTreeMap;

#[derive(Default)]
struct Load<'a> {
    memory: u64,
    cpus: u32,
    guests: Vec<&'a str>,
    /// Replicas and filesystems that are not taken down.
    storage: Vec<&'a str>,
}

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let mut loads: Index<&str, Load<'_>> = Index::default();
    for (subject, records) in round.state.records.iter() {
        let guest = match subject.kind {
            SubjectKind::Guest => round.state.guests.get(&subject.name),
            _ => None,
        };
        for (host, record) in records {
            if !held(&round.hosts, record) {
                continue;
            }
            let load = loads.entry(host).or_default();
            match subject.kind {
                SubjectKind::Guest => {
                    load.guests.push(&subject.name);
                    load.memory += guest.map_or(0, |guest| bytes(&guest.spec.memory));
                    load.cpus += guest.map_or(0, |guest| guest.spec.cpus);
                }
                SubjectKind::Volume | SubjectKind::Mount | SubjectKind::Filesystem => {
                    load.storage.push(&subject.name);
                }
                SubjectKind::Network | SubjectKind::Pool | SubjectKind::Snapshot => {}
            }
        }
    }
    let nothing = Load::default();
    for host in round.hosts.values() {
        let load = loads.get(host.name).unwrap_or(&nothing);
        let before = host.node.status.clone().unwrap_or_default();
        let decided = outcome.nodes.remove(host.name);
        let mut status = decided.unwrap_or_else(|| before.clone());
        status.observed_generation = host.node.metadata.generation;
        status.allocated = Some(NodeResources {
            memory: Some(Size::from(words_of_size(load.memory).as_str())),
            cpus: Some(load.cpus),
            guests: u32::try_from(load.guests.len()).ok(),
        });
        if host.emptied() && host.online() {
            let leaves = host.mode == NodeMode::Withdrawn;
            let why = emptiness(load, leaves, &outcome.stuck);
            outcome.why("Node", host.name, why.reason, &why.message);
            let empty = why.reason == Reason::Emptied;
            condition(&mut status.conditions, "Drained", empty, &why, round.now);
        } else if host.online() {
            status.conditions.retain(|one| one.type_ != "Drained");
        }
        outcome.status("Node", host.name, &before, &status);
    }
}

fn emptiness(load: &Load<'_>, leaves: bool, stuck: &BTreeMap<String, Why>) -> Why {
    let held = load.guests.iter();
    let held: Vec<String> = held
        .filter_map(|guest| Some(format!("{guest}: {}", stuck.get(*guest)?.message)))
        .collect();
    let (reason, message) = if !held.is_empty() {
        let text = format!(
            "{} of {} guests on it cannot be moved: {}",
            held.len(),
            load.guests.len(),
            held.join("; ")
        );
        (Reason::DrainBlocked, text)
    } else if !load.guests.is_empty() {
        let text = format!(
            "{} guests ({}) are still on it: {}",
            load.guests.len(),
            words(load.memory),
            load.guests.join(", ")
        );
        (Reason::Draining, text)
    } else if leaves && !load.storage.is_empty() {
        let text = format!("it still carries {}", load.storage.join(", "));
        (Reason::Draining, text)
    } else if leaves {
        (
            Reason::Emptied,
            "it carries nothing and may leave".to_owned(),
        )
    } else {
        (Reason::Emptied, "no guest is on it".to_owned())
    };
    let message = message.chars().take(1000).collect();
    Why { reason, message }
}

/// In MiB, so that what is added up stays readable.
fn words_of_size(bytes: u64) -> String {
    format!("{}Mi", bytes >> 20)
}
