//! Volumes fit into their pools beside what is promised already (R9, STO-11), unless both the volume and its pool accept
//! by name that more is promised than there is.

use std::collections::BTreeSet;

use quorate_crds::{PoolType, Provisioning, StoragePool, VirtualMachine, Volume};
use quorate_schema::ViolationReason;
use quorate_store::View;
use serde_json::Value;

use super::{
    Findings,
    amounts::bytes,
    one,
    pool_room::{Part, Pool, Wanted},
    read, read_all,
};
use crate::{admission::claims, error::Cause};

/// What the planner gives a volume that a disk brings along.
const REPLICAS_OF_DISKS: usize = 2;

/// A volume that is declared, or changed.
pub(super) fn volume(
    view: &View,
    name: &str,
    old: Option<&Value>,
    next: &Value,
    findings: &mut Findings,
) {
    let (Some(next), before) = (read::<Volume>(next), old.and_then(read::<Volume>)) else {
        return;
    };
    let pool_name = next.spec.pool.as_str();
    let Some(pool) = one(view, "storagepools", pool_name).and_then(|pool| read(&pool)) else {
        return;
    };
    if next.spec.over_provision && !may_promise_more(&pool) {
        let text = format!(
            "found true, allowed: false, because pool {pool_name} does not promise more than it has; it does with \
             provisioning: Thin and thin.allowOverProvisioning: true"
        );
        findings.causes.push(Cause::new(
            "spec.overProvision",
            ViolationReason::Invalid,
            text,
        ));
        return;
    }
    let asks = before.as_ref().is_none_or(|before| {
        size(&next) > size(before) || before.spec.over_provision && !next.spec.over_provision
    });
    if !asks {
        return;
    }
    let mut room = room(view, pool_name, &pool, Some(name));
    room.percent = percent(&pool, &next);
    let kept = kept_on(before.as_ref());
    let answer = match before.as_ref().filter(|_| !kept.is_empty()) {
        Some(before) => {
            // What it has is its own already.
            let on: BTreeSet<String> = on(&pool, kept);
            for part in room.parts.iter_mut().filter(|part| on.contains(&part.host)) {
                part.promised += size(before);
            }
            room.grow((size(before), size(&next)), &on)
        }
        None => room.promise(&wanted(&pool, &next)),
    };
    tell(view, "spec.size", answer, findings);
}

/// The volumes that the disks of a guest bring along, as far as they do not exist yet.
pub(super) fn disks(view: &View, guest: &str, next: &Value, findings: &mut Findings) {
    let Some(next) = read::<VirtualMachine>(next) else {
        return;
    };
    let new = next.spec.disks.iter().enumerate().filter_map(|(at, disk)| {
        let volume = format!("{guest}-{}", disk.name);
        let (size, pool) = (disk.size.as_ref()?, disk.pool.as_ref()?);
        let is_new = one(view, "volumes", &volume).is_none();
        is_new.then(|| (at, bytes(size), pool.as_str()))
    });
    let new: Vec<(usize, u64, &str)> = new.collect();
    let pools: BTreeSet<&str> = new.iter().map(|(.., pool)| *pool).collect();
    for pool_name in pools {
        let Some(pool) = one(view, "storagepools", pool_name).and_then(|pool| read(&pool)) else {
            continue;
        };
        let mut room = room(view, pool_name, &pool, None);
        for (at, size, _) in new.iter().filter(|(.., pool)| *pool == pool_name) {
            let wanted = Wanted {
                size: *size,
                replicas: replicas(&pool, REPLICAS_OF_DISKS),
                hosts: BTreeSet::new(),
            };
            let answer = room.promise(&wanted);
            tell(view, &format!("spec.disks[{at}].size"), answer, findings);
        }
    }
}

fn tell(view: &View, field: &str, answer: Result<(), String>, findings: &mut Findings) {
    match answer {
        // Of two volumes that fit only without each other, the second one is looked at again.
        Ok(()) => claims::in_turn(view, "capacity/pools", findings),
        Err(text) => findings
            .causes
            .push(Cause::new(field, ViolationReason::Invalid, text)),
    }
}

fn may_promise_more(pool: &StoragePool) -> bool {
    pool.spec.provisioning == Provisioning::Thin && pool.spec.thin.allow_over_provisioning
}

/// How much of what the pool has may be promised, this volume included.
fn percent(pool: &StoragePool, volume: &Volume) -> u64 {
    match volume.spec.over_provision && may_promise_more(pool) {
        true => u64::from(pool.spec.thin.max_percent),
        false => 100,
    }
}

/// The pool with what all volumes but one have of it; those that have no hosts yet get theirs first.
fn room(view: &View, name: &str, pool: &StoragePool, except: Option<&str>) -> Pool {
    let mut room = Pool {
        name: name.to_owned(),
        parts: parts(pool),
        reserve: bytes(&pool.spec.reserve),
        percent: 100,
    };
    let volumes = read_all::<Volume>(view, "volumes");
    let others = volumes.iter().filter(|(other, volume)| {
        except != Some(other.as_str()) && volume.spec.pool.as_str() == name
    });
    let (kept, waiting): (Vec<_>, Vec<_>) =
        others.partition(|(_, volume)| !kept_on(Some(volume)).is_empty());
    for (_, volume) in kept {
        let on = on(pool, kept_on(Some(volume)));
        for part in room.parts.iter_mut().filter(|part| on.contains(&part.host)) {
            part.promised += size(volume);
        }
    }
    for (_, volume) in waiting {
        room.percent = percent(pool, volume);
        // One that does not fit waits for room, and takes none.
        let _ = room.promise(&wanted(pool, volume));
    }
    room.percent = 100;
    room
}

/// Each host's part; the one part of a pool that all its hosts share.
fn parts(pool: &StoragePool) -> Vec<Part> {
    let status = pool.status.as_ref();
    if pool.spec.type_ == PoolType::Shared {
        return vec![Part {
            host: SHARED.to_owned(),
            capacity: status.and_then(|status| status.capacity.as_ref().map(bytes)),
            promised: 0,
        }];
    }
    let told = |host: &str| {
        let parts = status.map_or(&[][..], |status| &status.hosts);
        let part = parts.iter().find(|part| part.node.as_str() == host);
        part.and_then(|part| part.capacity.as_ref().map(bytes))
    };
    let hosts = pool.spec.hosts.iter();
    hosts
        .map(|part| Part {
            host: part.node.to_string(),
            capacity: told(part.node.as_str()),
            promised: 0,
        })
        .collect()
}

/// How the one part of a shared pool is called.
const SHARED: &str = "the pool";

fn kept_on(volume: Option<&Volume>) -> BTreeSet<String> {
    let status = volume.and_then(|volume| volume.status.as_ref());
    let replicas = status.map_or(&[][..], |status| &status.replicas);
    replicas.iter().map(|it| it.node.to_string()).collect()
}

/// The parts that these hosts have of the pool.
fn on(pool: &StoragePool, hosts: BTreeSet<String>) -> BTreeSet<String> {
    if pool.spec.type_ == PoolType::Shared {
        [SHARED.to_owned()].into()
    } else {
        hosts
    }
}

fn replicas(pool: &StoragePool, wanted: usize) -> usize {
    if pool.spec.type_ == PoolType::Shared {
        1
    } else {
        wanted
    }
}

fn wanted(pool: &StoragePool, volume: &Volume) -> Wanted {
    let hosts = volume.spec.nodes.iter().map(ToString::to_string).collect();
    Wanted {
        size: size(volume),
        replicas: replicas(pool, volume.spec.replicas as usize),
        hosts: if pool.spec.type_ == PoolType::Shared {
            BTreeSet::new()
        } else {
            hosts
        },
    }
}

/// What it is to have, or has already.
fn size(volume: &Volume) -> u64 {
    let given = volume.status.as_ref().and_then(|it| it.size.as_ref());
    bytes(&volume.spec.size).max(given.map_or(0, bytes))
}
