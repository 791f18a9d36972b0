//! Where the replicas of a new volume are kept, and under which numbers.

use crate::amounts::{bytes, words};
use crate::round::Round;
use crate::{Reason, Why};
use quorate_crds::scalar::IpAddress;
use quorate_crds::{Name, NetworkRole, NodeMode, PoolState, ReplicaStatus, Volume, VolumeStatus};
use std::collections::{BTreeMap, BTreeSet};

/// What volumes have taken so far.
pub(crate) struct Choice {
    minors: BTreeSet<u32>,
    ports: BTreeSet<u32>,
    promised: BTreeMap<(String, String), u64>,
}

impl Choice {
    pub(crate) fn of(round: &Round<'_>) -> Self {
        let mut choice = Self {
            minors: BTreeSet::new(),
            ports: BTreeSet::new(),
            promised: BTreeMap::new(),
        };
        for volume in round.state.volumes.values() {
            let Some(status) = &volume.status else {
                continue;
            };
            choice.minors.extend(status.minor);
            choice.ports.extend(status.port);
            for replica in &status.replicas {
                choice.promise(volume, &replica.node);
            }
        }
        choice
    }

    fn promise(&mut self, volume: &Volume, host: &Name) {
        let key = (volume.spec.pool.to_string(), host.to_string());
        *self.promised.entry(key).or_default() += bytes(&volume.spec.size);
    }

    /// Gives a new volume its hosts and numbers. What was given once stays.
    pub(crate) fn settle(
        &mut self,
        round: &Round<'_>,
        name: &str,
        volume: &Volume,
        status: &mut VolumeStatus,
    ) -> Result<(), Why> {
        if status.replicas.is_empty() {
            let hosts = self.hosts(round, name, volume)?;
            for (host, number) in hosts.into_iter().zip(0..) {
                self.promise(volume, &host);
                status.replicas.push(ReplicaStatus {
                    node_id: Some(number),
                    ..blank(host)
                });
            }
            // Nothing is written yet, so that one replica is as good as any; the others follow it.
            status.in_sync = status
                .replicas
                .first()
                .map(|first| first.node.clone())
                .into_iter()
                .collect();
            status.in_sync_generation = Some(1);
        }
        if status.minor.is_none() {
            status.minor = (0..).find(|minor| self.minors.insert(*minor));
        }
        if status.port.is_none() {
            let first = round.settings.replication.first_port;
            status.port = (first..=65535).find(|port| self.ports.insert(*port));
        }
        Ok(())
    }

    fn hosts(&self, round: &Round<'_>, name: &str, volume: &Volume) -> Result<Vec<Name>, Why> {
        let refuse = |message: String| Why {
            reason: Reason::NoRoom,
            message,
        };
        let pool_name = volume.spec.pool.as_str();
        let Some(pool) = round.state.pools.get(pool_name) else {
            return Err(refuse(format!("pool {pool_name} does not exist")));
        };
        let need = bytes(&volume.spec.size);
        let mut fit: Vec<(u64, &Name, Option<&str>)> = Vec::new();
        let mut obstacles = Vec::new();
        for part in &pool.spec.hosts {
            let listed = volume.spec.nodes.is_empty() || volume.spec.nodes.contains(&part.node);
            let host = round.hosts.get(part.node.as_str());
            let ready = host.filter(|host| host.online() && host.mode == NodeMode::Active);
            let seen = pool
                .status
                .as_ref()
                .and_then(|status| status.hosts.iter().find(|seen| seen.node == part.node));
            let capacity = seen
                .and_then(|seen| seen.capacity.as_ref())
                .map_or(0, bytes);
            let reserve = bytes(&pool.spec.reserve);
            let key = (pool_name.to_owned(), part.node.to_string());
            let promised = self.promised.get(&key).copied().unwrap_or(0);
            let free = capacity.saturating_sub(reserve).saturating_sub(promised);
            if !listed {
                obstacles.push(format!("{}: is not among spec.nodes", part.node));
            } else if let Some(host) = ready
                && seen.is_some_and(|seen| seen.state == Some(PoolState::Ready))
            {
                if free >= need {
                    fit.push((free, &part.node, host.node.spec.site.as_deref()));
                } else {
                    obstacles.push(format!(
                        "{}: needs {}; of {}, {} are reserved and {} promised, {} are left",
                        part.node,
                        words(need),
                        words(capacity),
                        words(reserve),
                        words(promised),
                        words(free)
                    ));
                }
            } else {
                obstacles.push(format!(
                    "{}: the host or its part of the pool is not ready",
                    part.node
                ));
            }
        }
        fit.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let mut chosen: Vec<(&Name, Option<&str>)> = Vec::new();
        while chosen.len() < volume.spec.replicas as usize && !fit.is_empty() {
            let apart = fit.iter().position(|(_, _, site)| {
                site.is_none() || chosen.iter().all(|(_, taken)| taken != site)
            });
            let (_, host, site) = fit.remove(apart.unwrap_or(0));
            chosen.push((host, site));
        }
        if chosen.len() < volume.spec.replicas as usize {
            return Err(refuse(format!(
                "volume {name} needs {} hosts, {} fit: {}",
                volume.spec.replicas,
                chosen.len(),
                obstacles.join("; ")
            )));
        }
        Ok(chosen.into_iter().map(|(host, _)| host.clone()).collect())
    }
}

pub(crate) fn backing_device(
    round: &Round<'_>,
    name: &str,
    volume: &Volume,
    host: &Name,
) -> String {
    let pool = volume.spec.pool.as_str();
    let spec = round.state.pools.get(pool).map(|pool| &pool.spec);
    let own = spec.and_then(|spec| {
        spec.hosts
            .iter()
            .find(|part| part.node == *host)?
            .volume_group
            .as_deref()
    });
    let group = own
        .or_else(|| spec?.volume_group.as_deref())
        .unwrap_or(pool);
    let logical = volume.spec.logical_volume.as_deref().unwrap_or(name);
    format!("/dev/{group}/{logical}")
}

/// Where a host is reached for replication, by what its networks report.
pub(crate) fn addresses(round: &Round<'_>, volume: &Volume, host: &Name) -> Vec<IpAddress> {
    let settings = &round.settings.replication;
    let named = volume
        .spec
        .replication
        .network
        .as_ref()
        .or(settings.network.as_ref());
    let carries = |name: &str, role: NetworkRole| match named {
        Some(named) => named.as_str() == name,
        None => role == NetworkRole::Storage,
    };
    round
        .state
        .networks
        .iter()
        .filter(|(name, network)| carries(name, network.spec.role))
        .filter_map(|(_, network)| {
            let hosts = &network.status.as_ref()?.hosts;
            let address = hosts
                .iter()
                .find(|seen| seen.node == *host)?
                .address
                .as_deref()?;
            address.split('/').next().map(IpAddress::from)
        })
        .collect()
}

/// A replica of which nothing is known yet.
pub(crate) fn blank(node: Name) -> ReplicaStatus {
    ReplicaStatus {
        node,
        node_id: None,
        role: None,
        disk: None,
        connection: None,
        peers: Vec::new(),
        size: None,
        two_primaries_allowed: None,
        asks_about: Vec::new(),
        device: None,
        backing_device: None,
        out_of_sync: None,
        sync: None,
        message: None,
    }
}
