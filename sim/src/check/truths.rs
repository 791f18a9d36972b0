//! The rules that the truth in the room can break.

use std::time::Duration;

use quorate_crds::{DiskState, GuestStep, ReplicaRole};
use quorate_node_daemon::simulated::room::Truth;

use super::{
    endings,
    judge::Bench,
    lockspaces,
    starts::{self, ACT},
};

/// A migration that has ended leaves a volume open for two for no longer than this, where everybody can close it.
const CLOSE: Duration = Duration::from_secs(60);

pub(super) fn check(bench: &mut Bench, truth: &Truth) {
    one_copy(bench, truth);
    nothing_lost(bench, truth);
    alone_only_when_committed(bench, truth);
    opened_by_right(bench, truth);
    closed_again(bench, truth);
    once_per_epoch(bench, truth);
    memory_fits(bench, truth);
    starts::check(bench, truth);
    lockspaces::check(bench, truth);
    endings::check(bench, truth);
}

/// R1: one copy of a guest executes, one host writes a volume.
fn one_copy(bench: &mut Bench, truth: &Truth) {
    bench.looked("R1");
    for guest in truth.doubled_guests() {
        bench.broken("R1", &format!("guest {guest} executes more than once"));
    }
    arrives_still(bench, truth);
    for (volume, writers) in &truth.writers {
        if writers.len() > 1 && !bench.committed.is_for_many(volume) {
            bench.broken("R1", &format!("volume {volume} is written by {writers:?}"));
        }
    }
}

/// R1: what arrives in a migration stands still until the log says that its source has let go.
fn arrives_still(bench: &mut Bench, truth: &Truth) {
    let copies = truth
        .guests
        .iter()
        .flat_map(|(guest, copies)| copies.iter().map(move |copy| (guest, copy)));
    let early = copies
        .filter(|(_, copy)| copy.executes)
        .find(|(guest, copy)| {
            bench.committed.plans.values().any(|record| {
                let assignment = record.spec.assignment.as_ref();
                record.spec.node.as_str() == copy.host
                    && assignment.is_some_and(|assignment| {
                        assignment.object.name.as_str() == guest.as_str()
                            && assignment.active
                            && assignment
                                .guest
                                .as_ref()
                                .is_some_and(|guest| guest.step == GuestStep::Receive)
                    })
            })
        });
    if let Some((guest, copy)) = early {
        let what = format!(
            "guest {guest} runs on {}, where it is only to arrive",
            copy.host
        );
        bench.broken("R1", &what);
    }
}

/// R2: the right to run a guest is for one start. Who starts it again under the same epoch has not asked.
fn once_per_epoch(bench: &mut Bench, truth: &Truth) {
    for (guest, copies) in &truth.guests {
        for copy in copies.iter().filter(|copy| copy.executes) {
            let boots = truth.machines.get(&copy.host).map_or(0, |it| it.boots);
            let right = (guest.clone(), copy.host.clone(), copy.epoch, boots);
            let first = *bench.started.entry(right).or_insert(copy.run);
            if first != copy.run {
                let what = format!(
                    "guest {guest} was started again on {} under epoch {}",
                    copy.host, copy.epoch
                );
                bench.broken("R2", &what);
            }
        }
    }
}

/// R10, R11: nothing that a guest was told is written is ever missed.
fn nothing_lost(bench: &mut Bench, truth: &Truth) {
    bench.looked("R11");
    if let Some(lost) = truth.lost_writes.first() {
        let what = format!(
            "a write to {} that was acknowledged is missing on {}",
            lost.volume, lost.host
        );
        bench.broken("R11", &what);
    }
}

/// R10: who writes without a replica has had it taken out of the set before.
fn alone_only_when_committed(bench: &mut Bench, truth: &Truth) {
    for (volume, replicas) in &truth.volumes {
        let writes = truth.writers.get(volume);
        let in_sync: Vec<String> = bench
            .committed
            .volumes
            .get(volume)
            .and_then(|volume| volume.status.as_ref())
            .map(|status| status.in_sync.iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        for host in writes.into_iter().flatten() {
            let Some(replica) = replicas.get(host) else {
                continue;
            };
            if replica.frozen || replica.role != ReplicaRole::Primary {
                continue;
            }
            bench.looked("R10");
            let missing = in_sync.iter().filter(|peer| *peer != host).find(|peer| {
                // One that is catching up gets every new write, and is opened nowhere before it has.
                let receives = |disk| matches!(disk, DiskState::UpToDate | DiskState::Inconsistent);
                !replica.connected.contains(*peer)
                    || replicas.get(*peer).is_none_or(|peer| !receives(peer.disk))
            });
            if let Some(peer) = missing {
                let what = format!(
                    "{host} writes volume {volume} without {peer}, which the log still calls in sync"
                );
                bench.broken("R10", &what);
            }
        }
    }
}

/// R10: a volume is open only where the log has let it be opened, and has not heard since that it is closed.
fn opened_by_right(bench: &mut Bench, truth: &Truth) {
    for (volume, replicas) in &truth.volumes {
        for (host, _) in replicas
            .iter()
            .filter(|(_, it)| it.role == ReplicaRole::Primary)
        {
            bench.looked("R10");
            let writers = bench.writers.get(volume);
            if !writers.is_some_and(|writers| writers.contains_key(host)) {
                let what = format!("volume {volume} is open on {host}, which has no right to it");
                bench.broken("R10", &what);
            }
        }
    }
}

/// R10: once no guest moves, a volume is open for one host alone again.
fn closed_again(bench: &mut Bench, truth: &Truth) {
    let now = bench.now;
    for (volume, replicas) in &truth.volumes {
        let two = replicas.values().any(|replica| replica.allow_two_primaries);
        let leased = |host: &String| {
            let leased = bench.leased.get(host);
            leased.is_some_and(|leased| now.saturating_sub(*leased) <= ACT)
        };
        let meant = bench.committed.is_for_many(volume);
        if !two || meant || !replicas.keys().all(leased) || any_moves(bench) {
            bench.open_for_two.remove(volume);
            continue;
        }
        bench.looked("R10");
        let since = *bench.open_for_two.entry(volume.clone()).or_insert(now);
        if now.saturating_sub(since) > CLOSE {
            let what = format!("volume {volume} is left open for two though no guest moves");
            bench.broken("R10", &what);
        }
    }
}

fn any_moves(bench: &Bench) -> bool {
    bench.committed.plans.values().any(|record| {
        let assignment = record.spec.assignment.as_ref();
        let guest = assignment.and_then(|assignment| assignment.guest.as_ref());
        guest.is_some_and(|guest| matches!(guest.step, GuestStep::Send | GuestStep::Receive))
    })
}

/// R9: guests have the memory that they were promised.
fn memory_fits(bench: &mut Bench, truth: &Truth) {
    bench.looked("R9");
    for (name, machine) in &truth.machines {
        if machine.memory_taken > machine.memory {
            let what = format!(
                "the guests of {name} take {} bytes of {}",
                machine.memory_taken, machine.memory
            );
            bench.broken("R9", &what);
        }
    }
}
