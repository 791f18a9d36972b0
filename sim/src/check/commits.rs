//! The rules that a change of the log alone, or beside the truth, can break.

use std::time::Duration;

use quorate_crds::{
    ConditionStatus, DesiredState, DeviceResult, DiskState, EvidenceKind, FenceAction, FencePhase,
    NodePlan, NodeState, PowerState, Volume,
};

use super::{
    committed::Changed,
    judge::{Bench, Leader, Milestone, lets_run, lets_write},
    late::was_silent,
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
            Changed::Plan(name, before) => {
                holds(bench, name, before.as_deref());
                opens(bench, name, before.as_deref());
            }
            Changed::Volume(name, before) => joins(bench, name, before.as_deref()),
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
    bench.looked("R4");
    let node_object = bench.committed.nodes.get(node);
    let levels = node_object.map(|n| n.spec.fencing.levels.clone());
    let levels = levels.unwrap_or_default();
    let of_level = levels
        .iter()
        .position(|level| Some(level.name.as_str()) == evidence.level.as_deref());
    let Some(of_level) = of_level else {
        return;
    };
    let untried = levels[..of_level].iter().find(|level| {
        let tried = |result: &DeviceResult| result.level.as_str() == level.name.as_str();
        !status.results.iter().any(tried)
    });
    if let Some(untried) = untried {
        let what = format!(
            "operation {name} succeeded by level {}, and {} was not tried before",
            levels[of_level].name, untried.name
        );
        bench.broken("R4", &what);
    }
    if evidence.kind != EvidenceKind::Devices {
        return;
    }
    let silent = levels[of_level].devices.iter().find(|target| {
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
    if was_silent(bench, node, &leader, DETECTION.saturating_sub(SLACK)) {
        // It was decided before it was heard again.
        return;
    }
    if silence + SLACK < DETECTION {
        let what = format!(
            "{node} is suspected after {} ms in which {} could have heard it",
            silence.as_millis(),
            leader.process
        );
        bench.broken("R7", &what);
    }
    alone_in_its_view(bench, node, &leader);
}

/// R7: when most hosts are silent together, what the other voters hear counts more than what the leader does not.
fn alone_in_its_view(bench: &mut Bench, node: &str, leader: &Leader) {
    let now = bench.now;
    let silent = |node: &str| {
        let heard = bench.heard.get(&(node.to_owned(), leader.process.clone()));
        now.saturating_sub(heard.copied().unwrap_or_default()) > DETECTION / 2
    };
    let expected = bench.committed.nodes.iter().filter(|(_, node)| {
        let state = node.status.as_ref().and_then(|status| status.state);
        use NodeState::{Fencing, Online, Suspect};
        matches!(state, Some(Online | Suspect | Fencing))
    });
    let expected: Vec<bool> = expected.map(|(name, _)| silent(name)).collect();
    let together = expected.iter().filter(|silent| **silent).count();
    if together < 2 || together * 2 <= expected.len() {
        return;
    }
    let elsewhere = bench.reached.iter().find(|(process, reached)| {
        // Questions take their time, and whoever has just begun to hear a host, or to answer, was asked too early.
        let long = |since: Duration| now.saturating_sub(since) > DETECTION * 2;
        let pair = (node.to_owned(), (*process).clone());
        let steadily = bench.steadily.get(&pair).is_some_and(|since| long(*since));
        let fresh = bench
            .heard
            .get(&pair)
            .is_some_and(|heard| now.saturating_sub(*heard) < DETECTION / 4);
        long(**reached) && steadily && fresh
    });
    if let Some((process, _)) = elsewhere {
        let what = format!(
            "{node} is suspected with most others, and {process} hears it; {} does not ask",
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

/// R10: only a replica that is called in sync is opened, and beside another one only when both have said that two may be.
fn opens(bench: &mut Bench, name: &str, before: Option<&NodePlan>) {
    let Some(record) = bench.committed.plans.get(name) else {
        return;
    };
    let Some((volume, true)) = replica_of(record) else {
        return;
    };
    let same_boot = before.filter(|before| before.spec.incarnation == record.spec.incarnation);
    if same_boot
        .and_then(replica_of)
        .is_some_and(|(_, writes)| writes)
    {
        return;
    }
    let node = record.spec.node.to_string();
    let status = bench
        .committed
        .volumes
        .get(&volume)
        .and_then(|volume| volume.status.clone());
    let in_sync = status.map(|status| status.in_sync).unwrap_or_default();
    let beside = bench.committed.plans.values().filter(|other| {
        other.spec.node != record.spec.node
            && replica_of(other).is_some_and(|(of, writes)| of == volume && writes)
            && !surely_over(bench, other.spec.node.as_str(), other.spec.incarnation)
    });
    let unasked = beside
        .chain(same_boot)
        .filter(|record| !says_two(record))
        .map(|record| record.spec.node.to_string())
        .next();
    let joins = bench
        .writers
        .get(&volume)
        .is_some_and(|writers| writers.keys().any(|writer| *writer != node));
    bench.looked("R10");
    if !in_sync.is_empty() && !in_sync.iter().any(|member| member.as_str() == node) {
        let what = format!("{node} is to open volume {volume}, and is not called in sync");
        bench.broken("R10", &what);
    }
    if let Some(unasked) = unasked.filter(|_| joins) {
        let what = format!(
            "{node} is to open volume {volume} beside another, and {unasked} has not said that two may"
        );
        bench.broken("R10", &what);
    }
}

/// Whether the host sees that two may have the volume open.
fn says_two(record: &NodePlan) -> bool {
    let status = record.status.as_ref();
    let status = status.filter(|status| status.incarnation == Some(record.spec.incarnation));
    let replica = status.and_then(|status| status.replica.as_ref());
    replica.is_some_and(|replica| replica.two_primaries_allowed == Some(true))
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
    let status = record.status.as_ref();
    answers(record) && status.is_some_and(|status| status.released == Some(true))
}

/// Whether what the host has said is about this generation of the record, or a newer one.
fn answers(record: &NodePlan) -> bool {
    record.status.as_ref().is_some_and(|status| {
        let seen = status.observed_plan_generation;
        seen.is_some_and(|seen| seen >= record.spec.plan_generation)
            && status.incarnation == Some(record.spec.incarnation)
    })
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

/// R10: a replica that comes back into the set holds every write.
fn joins(bench: &mut Bench, name: &str, before: Option<&Volume>) {
    let members = |volume: &Volume| volume.status.clone().unwrap_or_default().in_sync;
    let before = before.map(members).unwrap_or_default();
    let now = bench.committed.volumes.get(name).map(members);
    let mut joined = now.unwrap_or_default();
    joined.retain(|member| !before.contains(member));
    // Whoever begins the volume has nothing to catch up with.
    if before.is_empty() || joined.is_empty() {
        return;
    }
    bench.looked("R10");
    let truth = bench.room.lock().truth();
    let replicas = truth.volumes.get(name);
    for member in joined {
        let replica = replicas.and_then(|replicas| replicas.get(member.as_str()));
        if let Some(replica) = replica.filter(|replica| replica.disk != DiskState::UpToDate) {
            let what = format!(
                "{member} is called in sync for volume {name}, and its replica is {:?}",
                replica.disk
            );
            bench.broken("R10", &what);
        }
    }
}

/// R10: two may write one volume only where both are told so. Who was told to may write until it said that it no longer
/// does.
fn one_primary(bench: &mut Bench) {
    bench.looked("R10");
    let mut writers = std::mem::take(&mut bench.writers);
    for record in bench.committed.plans.values() {
        if let Some((volume, true)) = replica_of(record) {
            let node = record.spec.node.to_string();
            let of_volume = writers.entry(volume).or_default();
            of_volume.insert(node, record.spec.incarnation);
        }
    }
    for (volume, hosts) in &mut writers {
        hosts.retain(|node, incarnation| {
            let record = bench.committed.plans.values().find(|record| {
                record.spec.node.as_str() == node
                    && replica_of(record).is_some_and(|(name, _)| name == *volume)
            });
            // A record goes only when what it allowed is over.
            record.is_some_and(|record| !has_closed(record))
                && !surely_over(bench, node, *incarnation)
        });
    }
    writers.retain(|_, hosts| !hosts.is_empty());
    for (volume, hosts) in writers.iter().filter(|(_, hosts)| hosts.len() > 1) {
        let allowed = |node: &String| {
            bench.committed.plans.values().any(|record| {
                record.spec.node.as_str() == node
                    && replica_of(record).is_some_and(|(name, _)| name == *volume)
                    && allows_two(record)
            })
        };
        if !hosts.keys().all(allowed) {
            let hosts: Vec<&str> = hosts.keys().map(String::as_str).collect();
            let what = format!("volume {volume} may be primary on {}", hosts.join(" and "));
            bench.broken("R10", &what);
        }
    }
    bench.writers = writers;
}

/// The volume that a record is about, and whether the record lets its host write it.
fn replica_of(record: &NodePlan) -> Option<(String, bool)> {
    let assignment = record.spec.assignment.as_ref()?;
    let replica = assignment.replica.as_ref()?;
    let writes = assignment.active && lets_write(replica.role);
    Some((assignment.object.name.to_string(), writes))
}

fn allows_two(record: &NodePlan) -> bool {
    let assignment = record.spec.assignment.as_ref();
    let replica = assignment.and_then(|assignment| assignment.replica.as_ref());
    replica.is_some_and(|replica| replica.allow_two_primaries)
}

/// Whether the host has said of this generation of the record that it does not write.
fn has_closed(record: &NodePlan) -> bool {
    let writes = replica_of(record).is_some_and(|(_, writes)| writes);
    let converged = record.status.iter().flat_map(|status| &status.conditions);
    let mut converged = converged
        .filter(|condition| condition.type_ == "Converged")
        .map(|condition| condition.status == ConditionStatus::True);
    !writes && (is_released(record) || (answers(record) && converged.any(|converged| converged)))
}
