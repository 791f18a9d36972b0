//! A guest's memory and processors fit, on the survivors of a loss too (R9), as far as all hosts have told theirs.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::{
    Cluster, DesiredState, FailoverDomain, Node, StoragePool, VirtualMachine, Volume,
};
use quorate_schema::ViolationReason;
use quorate_store::View;
use serde_json::Value;

use super::{
    Findings,
    amounts::bytes,
    guest_room::{Demand, Host, Room},
    read, read_all,
};
use crate::{admission::claims, error::Cause};

pub(super) fn check(
    view: &View,
    name: &str,
    old: Option<&Value>,
    next: &Value,
    findings: &mut Findings,
) {
    let Some(guest) = read::<VirtualMachine>(next) else {
        return;
    };
    let before = old.and_then(read::<VirtualMachine>);
    if !asks_for_more(before.as_ref(), &guest) {
        return;
    }
    let placing = Placing::of(view);
    let Some(hosts) = placing.hosts() else {
        // A host that has not told may be large enough.
        return;
    };
    let settings = read_all::<Cluster>(view, "clusters");
    let settings = settings.into_values().next();
    let settings = settings.map(|cluster| cluster.spec.capacity);
    let settings = settings.unwrap_or_default();
    let others = read_all::<VirtualMachine>(view, "virtualmachines")
        .into_iter()
        .filter(|(other, guest)| other != name && runs(guest))
        .map(|(_, guest)| placing.demand(&guest))
        .collect();
    let room = Room {
        hosts,
        others,
        cpu_overcommit: u64::from(settings.cpu_overcommit),
        losses: settings.survive_node_losses as usize,
    };
    let demand = placing.demand(&guest);
    if let Some((field, text)) = room.shortage(&demand) {
        findings
            .causes
            .push(Cause::new(field, ViolationReason::Invalid, text));
        return;
    }
    // Of two guests that fit only without each other, the second one is looked at again.
    claims::in_turn(view, "capacity/guests", findings);
}

fn runs(guest: &VirtualMachine) -> bool {
    guest.spec.desired_state != DesiredState::Stopped && guest.metadata.deletion_timestamp.is_none()
}

/// Only who asks for more is asked whether it is there: what is promised already stays promised.
fn asks_for_more(before: Option<&VirtualMachine>, next: &VirtualMachine) -> bool {
    let Some(before) = before.filter(|before| runs(before)) else {
        return runs(next);
    };
    let (old, new) = (&before.spec, &next.spec);
    runs(next)
        && (bytes(&new.memory) > bytes(&old.memory)
            || new.cpus > old.cpus
            || new.protected && !old.protected
            || !new.without_reserve && old.without_reserve
            || new.placement.failover_domain != old.placement.failover_domain
            || new.placement.node_selector != old.placement.node_selector)
}

/// What decides where a guest may run.
struct Placing {
    nodes: BTreeMap<String, Node>,
    domains: BTreeMap<String, FailoverDomain>,
    volumes: BTreeMap<String, Volume>,
    pools: BTreeMap<String, StoragePool>,
}

impl Placing {
    fn of(view: &View) -> Self {
        Self {
            nodes: read_all(view, "nodes"),
            domains: read_all(view, "failoverdomains"),
            volumes: read_all(view, "volumes"),
            pools: read_all(view, "storagepools"),
        }
    }

    /// What the hosts have; none when one of them has not told.
    fn hosts(&self) -> Option<Vec<Host>> {
        let told = self.nodes.iter().map(|(name, node)| {
            let status = node.status.as_ref()?;
            let there = status.allocatable.as_ref().or(status.capacity.as_ref())?;
            Some(Host {
                name: name.clone(),
                memory: bytes(there.memory.as_ref()?),
                cpus: u64::from(there.cpus?),
            })
        });
        let told: Option<Vec<Host>> = told.collect();
        told.filter(|hosts| !hosts.is_empty())
    }

    fn demand(&self, guest: &VirtualMachine) -> Demand {
        Demand {
            memory: bytes(&guest.spec.memory),
            cpus: u64::from(guest.spec.cpus),
            // One that gave its own place in the reserve up takes none from the others.
            protected: guest.spec.protected && !guest.spec.without_reserve,
            hosts: self
                .nodes
                .iter()
                .filter(|(name, node)| self.may_run(guest, name, node))
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }

    fn may_run(&self, guest: &VirtualMachine, name: &str, node: &Node) -> bool {
        let placement = &guest.spec.placement;
        let domain = placement.failover_domain.as_ref();
        let domain = domain.and_then(|domain| self.domains.get(domain.as_str()));
        let barred = domain.is_some_and(|domain| {
            domain.spec.restricted
                && domain
                    .spec
                    .nodes
                    .iter()
                    .all(|one| one.node.as_str() != name)
        });
        let labels = node.metadata.labels.as_ref();
        let selected = placement
            .node_selector
            .iter()
            .all(|(label, value)| labels.and_then(|labels| labels.get(label)) == Some(value));
        let disks = guest.spec.disks.iter();
        let mut kept = disks.filter_map(|disk| match (&disk.volume, &disk.pool) {
            (Some(volume), _) => self.keepers(self.volumes.get(volume.as_str())?),
            (None, Some(pool)) => self.members(pool.as_str()),
            (None, None) => None,
        });
        !barred && selected && kept.all(|hosts| hosts.contains(name))
    }

    /// The hosts that keep a volume, or could; none when it may be anywhere.
    fn keepers<'a>(&'a self, volume: &'a Volume) -> Option<BTreeSet<&'a str>> {
        let status = volume.status.as_ref();
        let replicas = status.map_or(&[][..], |status| &status.replicas);
        if !replicas.is_empty() {
            let names = replicas.iter().map(|replica| replica.node.as_str());
            return Some(names.collect());
        }
        if !volume.spec.nodes.is_empty() {
            let names = volume.spec.nodes.iter().map(|node| node.as_str());
            return Some(names.collect());
        }
        self.members(volume.spec.pool.as_str())
    }

    fn members(&self, pool: &str) -> Option<BTreeSet<&str>> {
        let hosts = &self.pools.get(pool)?.spec.hosts;
        let names = hosts.iter().map(|part| part.node.as_str());
        (!hosts.is_empty()).then(|| names.collect())
    }
}
