//! The rules that a change of the log alone, or beside the truth, can break.

use std::time::Duration;

use quorate_crds::{
    DesiredState, EvidenceKind, FenceAction, FencePhase, NodePlan, NodeState, PowerState,
};

use super::{
    committed::Changed,
    judge::{Bench, Milestone, lets_run, lets_write},
};

/// `Cluster.spec.detection.timeout` of every simulated cluster.
const DETECTION: Duration = Duration::from_secs(2);
/// Clocks drift, and what is on its way takes its time.
const SLACK: Duration = Duration::from_millis(150);

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
            Changed::Plan(name, before) => holds(bench, name, before.as_deref()),
            Changed::Operation(name, before) => {
                let phase =
                    |o: &quorate_crds::FenceOperation| o.status.as_ref().and_then(|s| s.phase);
                let now = bench.committed.operations.get(name).and_then(phase);
                if now == Some(FencePhase::Succeeded) && before.as_deref().and_then(phase) != now {
                    succeeded(bench, name);
                }
            }
        }
    }
    released(bench);
    one_holder(bench);
    one_primary(bench);
}

fn became(bench: &mut Bench, node: &str, state: NodeState) {
    match state {
        NodeState::Fenced => fenced(bench, node),
        NodeState::Suspect => suspected(bench, node),
        _ => {}
    }
}

/// R3: what is called fenced is off, or has booted since.
fn fenced(bench: &mut Bench, node: &str) {
    bench.looked("R3");
    let status = bench
        .committed
        .nodes
        .get(node)
        .and_then(|n| n.status.clone());
    let boot = status.and_then(|status| status.boot_id);
    let truth = bench.room.lock().truth();
    let Some(machine) = truth.machines.get(node) else {
        return;
    };
    if machine.kernel.executes() && boot.as_deref() == Some(machine.boot_id.as_str()) {
        let what = format!("{node} is called fenced, and the boot that is meant still executes");
        bench.broken("R3", &what);
    }
}

/// R3, R4: an operation has succeeded only with evidence of its own incarnation, and of every device of the level.
fn succeeded(bench: &mut Bench, name: &str) {
    let Some(operation) = bench.committed.operations.get(name).cloned() else {
        return;
    };
    let node = operation.spec.node.as_str();
    let status = operation.status.clone().unwrap_or_default();
    let about = operation.spec.incarnation.or(status.incarnation);
    let Some(evidence) = &status.evidence else {
        if !matches!(
            operation.spec.action,
            FenceAction::TestLevel | FenceAction::TestDevice
        ) {
            let what = format!("operation {name} succeeded without evidence");
            bench.broken("R3", &what);
        }
        return;
    };
    bench.looked("R3");
    if about.is_some_and(|about| about != evidence.incarnation) {
        let what = format!(
            "operation {name} is about incarnation {about:?}, its evidence about {}",
            evidence.incarnation
        );
        bench.broken("R3", &what);
    }
    if evidence.kind != EvidenceKind::Devices {
        return;
    }
    bench.looked("R4");
    let node_object = bench.committed.nodes.get(node);
    let levels = node_object.map(|n| n.spec.fencing.levels.clone());
    let level = levels
        .into_iter()
        .flatten()
        .find(|level| Some(level.name.as_str()) == evidence.level.as_deref());
    let silent = level
        .into_iter()
        .flat_map(|level| level.devices)
        .find(|target| {
            !status.results.iter().any(|result| {
                result.device == target.device
                    && result.plug == target.plug
                    && result.power == Some(PowerState::PoweredOff)
            })
        });
    if let Some(target) = silent {
        let what = format!(
            "operation {name} succeeded, and {} has not said that {node} is off",
            target.device
        );
        bench.broken("R4", &what);
    }
}

/// R7: a host that its leader has heard, or would have heard had it listened, is not suspected.
fn suspected(bench: &mut Bench, node: &str) {
    bench.looked("R7");
    let Some(leader) = bench.leader.clone() else {
        return;
    };
    let heard = bench.heard.get(&(node.to_owned(), leader.process.clone()));
    let heard = heard.copied().unwrap_or_default();
    let at = bench.now;
    let suspected = Milestone::Suspected(node.to_owned(), heard);
    bench.milestones.push((at, suspected));
    let since = heard.max(leader.since);
    let silence = bench.now.saturating_sub(since);
    if silence + SLACK < DETECTION {
        let what = format!(
            "{node} is suspected after {} ms in which {} could have heard it",
            silence.as_millis(),
            leader.process
        );
        bench.broken("R7", &what);
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
            bench.milestones.push((at, Milestone::Ordered(guest, node)));
        }
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

fn is_released(record: &NodePlan) -> bool {
    let Some(status) = &record.status else {
        return false;
    };
    status.released == Some(true)
        && status
            .observed_plan_generation
            .is_some_and(|seen| seen >= record.spec.plan_generation)
        && status.incarnation == Some(record.spec.incarnation)
}

/// Whether the boot of a host that is meant can execute nothing any more, by what the log says.
fn surely_over(bench: &Bench, node: &str, incarnation: u64) -> bool {
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

/// R10: two may write one volume only where both are told so.
fn one_primary(bench: &mut Bench) {
    bench.looked("R10");
    let mut writers: std::collections::BTreeMap<String, Vec<(String, bool)>> = Default::default();
    for record in bench.committed.plans.values() {
        if let Some(assignment) = &record.spec.assignment
            && let Some(replica) = &assignment.replica
            && assignment.active
            && lets_write(replica.role)
            && !surely_over(bench, record.spec.node.as_str(), record.spec.incarnation)
        {
            writers
                .entry(assignment.object.name.to_string())
                .or_default()
                .push((record.spec.node.to_string(), replica.allow_two_primaries));
        }
    }
    for (volume, hosts) in writers {
        if hosts.len() > 1 && hosts.iter().any(|(_, allowed)| !allowed) {
            let what = format!("volume {volume} is to be primary on {hosts:?}");
            bench.broken("R10", &what);
        }
    }
}
