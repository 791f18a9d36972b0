//! Which host a guest gets: first those that cannot take it are struck out, each with its reason,
//! then the best of the rest is taken.

use crate::amounts::{bytes, words};
use crate::round::Round;
use crate::volumes;
use quorate_crds::{NodeMode, VirtualMachine};
use std::collections::BTreeMap;

/// What is promised on every host so far.
#[derive(Default)]
pub(crate) struct Ledger<'a> {
    guests: BTreeMap<&'a str, BTreeMap<&'a str, &'a VirtualMachine>>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn promise(&mut self, host: &'a str, name: &'a str, guest: &'a VirtualMachine) {
        self.guests.entry(host).or_default().insert(name, guest);
    }

    fn on(&self, host: &str) -> impl Iterator<Item = (&'a str, &'a VirtualMachine)> {
        self.guests
            .get(host)
            .into_iter()
            .flatten()
            .map(|(name, guest)| (*name, *guest))
    }

    fn memory(&self, host: &str) -> u64 {
        self.on(host)
            .map(|(_, guest)| bytes(&guest.spec.memory))
            .sum()
    }

    fn cpus(&self, host: &str) -> u64 {
        self.on(host)
            .map(|(_, guest)| u64::from(guest.spec.cpus))
            .sum()
    }
}

/// The best host, or for every host why it is not.
pub(crate) fn choose<'a>(
    round: &Round<'a>,
    ledger: &Ledger<'a>,
    (name, guest): (&'a str, &'a VirtualMachine),
    keep_reserve: bool,
    refused: &BTreeMap<&str, String>,
) -> Result<&'a str, Vec<String>> {
    let mut best = None;
    let mut obstacles = Vec::new();
    for host in round.hosts.keys() {
        let obstacle = refused.get(host).cloned().or_else(|| {
            obstacle(round, ledger, name, guest, host)
                .or_else(|| keep_reserve.then(|| reserve(round, ledger, name, guest, host))?)
        });
        match obstacle {
            Some(obstacle) => obstacles.push(format!("{host}: {obstacle}")),
            None => {
                let rank = rank(round, ledger, guest, host);
                if best.as_ref().is_none_or(|(first, _)| rank < *first) {
                    best = Some((rank, *host));
                }
            }
        }
    }
    best.map(|(_, host)| host).ok_or(obstacles)
}

fn obstacle(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    name: &str,
    guest: &VirtualMachine,
    host: &str,
) -> Option<String> {
    let placement = &guest.spec.placement;
    let seen = &round.hosts[host];
    if !seen.online() {
        return Some("is not online".to_owned());
    }
    if seen.mode != NodeMode::Active {
        return Some(format!("is {:?}", seen.mode));
    }
    if let Some(domain) = &placement.failover_domain {
        let Some(known) = round.state.domains.get(domain.as_str()) else {
            return Some(format!("its failover domain {domain} does not exist"));
        };
        if known.spec.restricted && known.spec.nodes.iter().all(|one| one.node.as_str() != host) {
            return Some(format!("is not in the restricted failover domain {domain}"));
        }
    }
    let labels = seen.node.metadata.labels.as_ref();
    for (label, value) in &placement.node_selector {
        if labels.and_then(|labels| labels.get(label)) != Some(value) {
            return Some(format!("has no label {label}={value}"));
        }
    }
    let there = |other: &str| ledger.on(host).any(|(name, _)| name == other);
    let anywhere = |other: &str| {
        round
            .hosts
            .keys()
            .any(|host| ledger.on(host).any(|(one, _)| one == other))
    };
    for term in placement.apart_from.iter().filter(|term| term.required) {
        if there(term.guest.as_str()) {
            return Some(format!(
                "carries {}, from which it is kept apart",
                term.guest
            ));
        }
    }
    for (other, carried) in ledger.on(host) {
        let mut kept = carried
            .spec
            .placement
            .apart_from
            .iter()
            .filter(|term| term.required);
        if kept.any(|term| term.guest.as_str() == name) {
            return Some(format!("carries {other}, which is kept apart from it"));
        }
    }
    for term in placement.together_with.iter().filter(|term| term.required) {
        if anywhere(term.guest.as_str()) && !there(term.guest.as_str()) {
            return Some(format!(
                "does not carry {}, with which it is kept",
                term.guest
            ));
        }
    }
    if let Some(obstacle) = volumes::obstacle(round, name, guest, host) {
        return Some(obstacle);
    }
    let (need, used) = (bytes(&guest.spec.memory), ledger.memory(host));
    let free = seen.memory.saturating_sub(used);
    if need > free {
        return Some(format!(
            "needs {} of memory; {} of {} are promised, {} are left: {} too little",
            words(need),
            words(used),
            words(seen.memory),
            words(free),
            words(need - free)
        ));
    }
    let limit = seen.cpus * u64::from(round.settings.capacity.cpu_overcommit);
    let cpus = ledger.cpus(host) + u64::from(guest.spec.cpus);
    (cpus > limit).then(|| {
        format!(
            "would have {cpus} virtual processors; {} real ones shared by {} carry {limit}",
            seen.cpus, round.settings.capacity.cpu_overcommit
        )
    })
}

/// Whether every protected guest still fits when any one host is lost and this guest is here. All
/// hosts count, also those that are lost at present: what is kept free is kept for them.
fn reserve(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    name: &str,
    guest: &VirtualMachine,
    host: &str,
) -> Option<String> {
    let losses = round.settings.capacity.survive_node_losses as usize;
    if losses == 0 || guest.spec.without_reserve || !guest.spec.protected {
        return None;
    }
    let more = |one: &str| {
        if one == host {
            bytes(&guest.spec.memory)
        } else {
            0
        }
    };
    let names: Vec<&str> = round.hosts.keys().copied().collect();
    for (index, lost) in names.iter().enumerate() {
        let others = names.iter().cycle().skip(index + 1).take(names.len() - 1);
        let gone: Vec<&str> = std::iter::once(lost)
            .chain(others.take(losses - 1))
            .copied()
            .collect();
        let mut room: BTreeMap<&str, u64> = names
            .iter()
            .filter(|one| !gone.contains(one))
            .map(|one| {
                let used = ledger.memory(one) + more(one);
                (*one, round.hosts[one].memory.saturating_sub(used))
            })
            .collect();
        let mut moved: Vec<(u64, &str, &VirtualMachine)> = gone
            .iter()
            .flat_map(|one| ledger.on(one))
            .chain(gone.contains(&host).then_some((name, guest)))
            .filter(|(_, guest)| guest.spec.protected)
            .map(|(name, guest)| (bytes(&guest.spec.memory), name, guest))
            .collect();
        moved.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let (total, free) = (
            moved.iter().map(|(need, ..)| need).sum::<u64>(),
            room.values().sum::<u64>(),
        );
        for (need, name, _) in moved {
            let Some(most) = room.values_mut().max().filter(|most| **most >= need) else {
                return Some(format!(
                    "if {} is lost, its protected guests need {} and the other hosts have {} \
                     left: {name} ({}) would find no room",
                    gone.join(" and "),
                    words(total),
                    words(free),
                    words(need)
                ));
            };
            *most -= need;
        }
    }
    None
}

/// The lower, the better: the domain's order, then where it was, affinity, load, name.
fn rank<'a>(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    guest: &VirtualMachine,
    host: &'a str,
) -> (u32, bool, i64, u64, &'a str) {
    let placement = &guest.spec.placement;
    let domain = placement
        .failover_domain
        .as_ref()
        .and_then(|domain| round.state.domains.get(domain.as_str()))
        .and_then(|domain| {
            domain
                .spec
                .nodes
                .iter()
                .find(|one| one.node.as_str() == host)
        })
        .map_or(u32::MAX, |one| one.priority);
    let before = guest
        .status
        .as_ref()
        .and_then(|status| status.placement.as_ref()?.node.as_ref());
    let weight = |terms: &[quorate_crds::AffinityTerm]| -> i64 {
        let there = |term: &&quorate_crds::AffinityTerm| {
            ledger.on(host).any(|(name, _)| name == term.guest.as_str())
        };
        terms
            .iter()
            .filter(there)
            .map(|term| i64::from(term.weight))
            .sum()
    };
    let affinity = weight(&placement.apart_from) - weight(&placement.together_with);
    let memory = round.hosts[host].memory.max(1);
    let load = ledger.memory(host).saturating_mul(1000) / memory;
    (
        domain,
        before.is_none_or(|before| before.as_str() != host),
        affinity,
        load,
        host,
    )
}
