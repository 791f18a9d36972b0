//! R10, as far as the log can break it: who may open a volume, and who is called in sync.

use quorate_crds::{ConditionStatus, DiskState, NodePlan, Volume};

use super::{
    commits::{answers, is_released, surely_over},
    judge::{Bench, lets_write},
};

/// R10: a replica that comes back into the set holds every write.
pub(super) fn joins(bench: &mut Bench, name: &str, before: Option<&Volume>) {
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

/// R10: only a replica that is called in sync is opened, and beside another one only when both have said that two may be.
pub(super) fn opens(bench: &mut Bench, name: &str, before: Option<&NodePlan>) {
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
    // One that many may write is made so before it is opened.
    let many = bench.committed.is_for_many(&volume);
    if let Some(unasked) = unasked.filter(|_| joins && !many) {
        let what = format!(
            "{node} is to open volume {volume} beside another, and {unasked} has not said that two may"
        );
        bench.broken("R10", &what);
    }
}

/// R10: two may write one volume only where both are told so. Who was told to may write until it said that it no longer
/// does.
pub(super) fn one_primary(bench: &mut Bench) {
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

/// Whether the host sees that two may have the volume open.
fn says_two(record: &NodePlan) -> bool {
    let status = record.status.as_ref();
    let status = status.filter(|status| status.incarnation == Some(record.spec.incarnation));
    let replica = status.and_then(|status| status.replica.as_ref());
    replica.is_some_and(|replica| replica.two_primaries_allowed == Some(true))
}
