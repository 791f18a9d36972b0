//! Each host's part of a pool, and how much space the pool has.

use crate::amounts::{bytes, words};
use crate::outcome::{Outcome, condition};
use crate::rights::{Presence, observed};
use crate::round::Round;
use crate::state::{ClusterState, Index, Subject, SubjectKind};
use crate::{Reason, Why, above};
use quorate_crds::{
    Assignment, NodeMode, PoolState, PoolType, ReplicaData, StorageAssignment, StoragePool,
};

/// The volume groups of all pools' parts.
pub(crate) struct Groups<'a>(Index<&'a str, Group<'a>>);

struct Group<'a> {
    common: &'a str,
    own: Index<&'a str, &'a str>,
}

impl<'a> Groups<'a> {
    pub(crate) fn of_all(state: &'a ClusterState) -> Self {
        let groups = state.pools.iter().map(|(name, pool)| {
            let parts = pool.spec.hosts.iter();
            let own = parts
                .filter_map(|part| Some((part.node.as_str(), part.volume_group.as_deref()?)))
                .collect();
            let common = pool.spec.volume_group.as_deref().unwrap_or(name);
            (name, Group { common, own })
        });
        Self(groups.collect())
    }

    /// What the volume group of that pool is called on that host.
    pub(crate) fn of<'g>(&'g self, pool: &'g str, host: &str) -> &'g str {
        self.0.get(pool).map_or(pool, |group| {
            group.own.get(host).copied().unwrap_or(group.common)
        })
    }
}

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    for (name, pool) in round.state.pools.iter() {
        let subject = Subject::new(SubjectKind::Pool, name);
        let old = pool.status.clone().unwrap_or_default();
        let mut status = old.clone();
        status.observed_generation = pool.metadata.generation;
        if pool.spec.type_ == PoolType::Shared {
            // One that lies on a volume is decided together with what lies in it.
            if pool.spec.volume.is_none() {
                let why = above::not_on_disks(name);
                outcome.why("StoragePool", name, why.reason, &why.message);
                condition(&mut status.conditions, "Ready", false, &why, round.now);
                outcome.status("StoragePool", name, &old, &status);
            }
            continue;
        }
        for part in &pool.spec.hosts {
            let host = part.node.as_str();
            let Some(known) = round.hosts.get(host) else {
                continue;
            };
            let record = round.state.record(&subject, host);
            let written = record.and_then(|record| record.spec.assignment.as_ref());
            if let Some(seen) = record
                .and_then(|record| observed(&round.hosts, record))
                .and_then(|status| status.pool.clone())
            {
                match status.hosts.iter_mut().find(|one| one.node == seen.node) {
                    Some(one) => *one = seen,
                    None => status.hosts.push(seen),
                }
            }
            let untouched =
                known.mode == NodeMode::Maintenance || known.presence != Presence::Online;
            match written {
                Some(_) if untouched => outcome.keep(round.state, &subject, host),
                _ if untouched => {}
                _ => outcome.assign(
                    round.state,
                    &subject,
                    host,
                    assignment(round, name, pool, host),
                ),
            }
        }
        status.hosts.sort_by(|a, b| a.node.cmp(&b.node));
        summarise(round, outcome, name, &mut status);
        outcome.status("StoragePool", name, &old, &status);
    }
}

fn summarise(
    round: &Round<'_>,
    outcome: &mut Outcome,
    name: &str,
    status: &mut quorate_crds::StoragePoolStatus,
) {
    if status.hosts.is_empty() {
        return;
    }
    let missing: Vec<String> = status
        .hosts
        .iter()
        .filter(|seen| seen.state != Some(PoolState::Ready))
        .map(|seen| match &seen.message {
            Some(message) => format!("{}: {message}", seen.node),
            None => seen.node.to_string(),
        })
        .collect();
    let whole = status
        .hosts
        .iter()
        .filter_map(|seen| seen.capacity.as_ref());
    let whole = whole.map(bytes).sum::<u64>();
    let why = if missing.is_empty() {
        Why {
            reason: Reason::PoolReady,
            message: format!("{} on {} hosts", words(whole), status.hosts.len()),
        }
    } else {
        Why {
            reason: Reason::PoolIncomplete,
            message: format!("its part is not sound on {}", missing.join("; ")),
        }
    };
    outcome.why("StoragePool", name, why.reason, &why.message);
    let ready = missing.is_empty();
    condition(&mut status.conditions, "Ready", ready, &why, round.now);
}

fn assignment(round: &Round<'_>, name: &str, pool: &StoragePool, host: &str) -> Assignment {
    Assignment {
        object: Subject::new(SubjectKind::Pool, name).reference(),
        object_generation: pool.metadata.generation,
        epoch: 0,
        active: true,
        after: Vec::new(),
        network: None,
        storage: Some(StorageAssignment {
            volume_group: round.groups.of(name, host).to_owned(),
            logical_volume: None,
            size: None,
            device: None,
            snapshot_of: None,
            make: false,
            data: ReplicaData::Keep,
        }),
        replica: None,
        mount: None,
        guest: None,
        secrets: Vec::new(),
    }
}
