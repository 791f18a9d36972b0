//! The rules that a change of the log alone, or beside the truth, can break.

use quorate_crds::{DesiredState, FencePhase, NodePlan, NodeState};

use super::{
    committed::Changed,
    endings,
    judge::{Bench, Milestone, lets_run},
    late, lockspaces,
    losses::{fenced, succeeded, suspected},
    openings::{joins, one_primary, opens},
};

pub(super) fn check(bench: &mut Bench, changed: &[Changed]) {
    for change in changed {
        match change {
            Changed::Node(name, before) => {
                let now = bench.committed.nodes.get(name);
                let state = |node: &quorate_crds::Node| node.status.as_ref().and_then(|s| s.state);
                let (now, before) = (now.and_then(state), before.as_deref().and_then(state));
                if now != before
                    && let Some(now) = now
                {
                    let at = bench.now;
                    bench
                        .milestones
                        .push((at, Milestone::State(name.clone(), now)));
                    became(bench, name, now);
                }
            }
            Changed::Plan(name, before) => {
                holds(bench, name, before.as_deref());
                opens(bench, name, before.as_deref());
                endings::replaced(bench, name, before.as_deref());
            }
            Changed::Volume(name, before) => joins(bench, name, before.as_deref()),
            Changed::Operation(name, before) => {
                let phase =
                    |o: &quorate_crds::FenceOperation| o.status.as_ref().and_then(|s| s.phase);
                let operation = bench.committed.operations.get(name);
                let now = operation.and_then(phase);
                if before.is_none() && operation.is_some_and(of_takeover) {
                    late::takes_over(bench);
                }
                if now == Some(FencePhase::Succeeded) && before.as_deref().and_then(phase) != now {
                    succeeded(bench, name);
                }
            }
        }
    }
    released(bench);
    one_holder(bench);
    one_primary(bench);
    lockspaces::nobody_is_forgotten(bench);
}

/// Whether it says what half of the voters has proven about the other half.
fn of_takeover(operation: &quorate_crds::FenceOperation) -> bool {
    operation.spec.requested_by.as_deref() == Some("quorated")
        && operation.spec.reason.contains("takes over")
}

fn became(bench: &mut Bench, node: &str, state: NodeState) {
    match state {
        NodeState::Fenced => fenced(bench, node),
        NodeState::Suspect => suspected(bench, node),
        _ => {}
    }
}

/// Follows who may execute a guest.
fn holds(bench: &mut Bench, name: &str, before: Option<&NodePlan>) {
    let Some(record) = bench.committed.plans.get(name) else {
        // R2: a record may go only when what it allowed is over.
        if let Some(before) = before
            && let Some((guest, _)) = guest_of(before)
        {
            let node = before.spec.node.to_string();
            if surely_over(bench, &node, before.spec.incarnation) || is_released(before) {
                forget(bench, &guest, &node);
            }
        }
        return;
    };
    let Some((guest, runs)) = guest_of(record) else {
        return;
    };
    if runs {
        let (node, incarnation) = (record.spec.node.to_string(), record.spec.incarnation);
        let holders = bench.holders.entry(guest.clone()).or_default();
        if holders.insert(node.clone(), incarnation).is_none() {
            let at = bench.now;
            let ordered = Milestone::Ordered(guest, node.clone());
            bench.milestones.push((at, ordered));
            promised(bench, &node);
        }
    }
}

/// R9: what is ordered to run on a host fits into it.
fn promised(bench: &mut Bench, node: &str) {
    bench.looked("R9");
    let there = bench
        .holders
        .iter()
        .filter(|(_, hosts)| hosts.contains_key(node));
    let memory = |guest: &String| {
        let guest = bench.committed.guests.get(guest)?;
        guest.spec.memory.parse().ok()?.as_u64()
    };
    let promised: u64 = there.filter_map(|(guest, _)| memory(guest)).sum();
    let truth = bench.room.lock().truth();
    let has = truth.machines.get(node).map_or(0, |machine| machine.memory);
    if promised > has {
        let what = format!("{node} has {has} bytes of memory, and {promised} are promised");
        bench.broken("R9", &what);
    }
}

/// The guest that a record is about, and whether the record lets it execute.
fn guest_of(record: &NodePlan) -> Option<(String, bool)> {
    let assignment = record.spec.assignment.as_ref()?;
    let guest = assignment.guest.as_ref()?;
    let runs =
        assignment.active && guest.desired_state == DesiredState::Running && lets_run(guest.step);
    Some((assignment.object.name.to_string(), runs))
}

pub(super) fn is_released(record: &NodePlan) -> bool {
    let status = record.status.as_ref();
    answers(record) && status.is_some_and(|status| status.released == Some(true))
}

/// Whether what the host has said is about this generation of the record, or a newer one.
pub(super) fn answers(record: &NodePlan) -> bool {
    record.status.as_ref().is_some_and(|status| {
        let seen = status.observed_plan_generation;
        seen.is_some_and(|seen| seen >= record.spec.plan_generation)
            && status.incarnation == Some(record.spec.incarnation)
    })
}

/// Whether the boot of a host that is meant can execute nothing any more, by what the log says.
pub(super) fn surely_over(bench: &Bench, node: &str, incarnation: u64) -> bool {
    let status = bench
        .committed
        .nodes
        .get(node)
        .and_then(|n| n.status.as_ref());
    let over = status.is_some_and(|status| {
        let fenced = matches!(status.state, Some(NodeState::Fenced | NodeState::Left));
        match status.incarnation {
            Some(present) if present > incarnation => true,
            Some(present) => present == incarnation && fenced,
            None => false,
        }
    });
    over || bench.committed.operations.values().any(|operation| {
        let status = operation.status.as_ref();
        operation.spec.node.as_str() == node
            && status.is_some_and(|status| {
                status.phase == Some(FencePhase::Succeeded)
                    && status
                        .evidence
                        .as_ref()
                        .is_some_and(|evidence| evidence.incarnation == incarnation)
            })
    })
}

fn forget(bench: &mut Bench, guest: &str, node: &str) {
    if let Some(holders) = bench.holders.get_mut(guest) {
        holders.remove(node);
    }
}

/// Whoever answered that it has released, or is surely off, holds nothing any more.
fn released(bench: &mut Bench) {
    let mut over = Vec::new();
    for (guest, holders) in &bench.holders {
        for (node, incarnation) in holders {
            let released = bench.committed.plans.values().any(|record| {
                record.spec.node.as_str() == node
                    && guest_of(record).is_some_and(|(name, runs)| name == *guest && !runs)
                    && is_released(record)
            });
            if released || surely_over(bench, node, *incarnation) {
                over.push((guest.clone(), node.clone()));
            }
        }
    }
    for (guest, node) in over {
        forget(bench, &guest, &node);
        // The same revision may have ordered it again, for a later boot.
        let again = bench.committed.plans.values().find(|record| {
            record.spec.node.as_str() == node
                && guest_of(record).is_some_and(|(name, runs)| name == guest && runs)
                && !surely_over(bench, &node, record.spec.incarnation)
        });
        if let Some(incarnation) = again.map(|record| record.spec.incarnation) {
            bench
                .holders
                .entry(guest)
                .or_default()
                .insert(node, incarnation);
        }
    }
}

/// R2: the log never lets two hosts execute the same guest.
fn one_holder(bench: &mut Bench) {
    bench.looked("R2");
    let doubled: Vec<String> = bench
        .holders
        .iter()
        .filter(|(_, holders)| holders.len() > 1)
        .map(|(guest, holders)| {
            let hosts: Vec<&str> = holders.keys().map(String::as_str).collect();
            format!("guest {guest} may execute on {}", hosts.join(" and "))
        })
        .collect();
    for what in doubled {
        bench.broken("R2", &what);
    }
}
