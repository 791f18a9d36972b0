//! What hosts know by name without a name server, besides each other: the Cluster's `hostAliases`, hosts by their full names in the
//! Cluster's `domain`, and their management boards as `an-a01n01.ipmi`. The names lie with those of the cluster's own network.
//!
//! Where a board is, the parameters of the device in a fence level say. A device that switches just this one host, driven
//! by an agent for such boards, is its board.

use super::{listed, openings};
use crate::round::Round;
use quorate_crds::{FenceTarget, HostAlias, Name, Network, NetworkRole};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What comes behind a host's name for its board.
const BOARD: &str = "ipmi";
/// The agents that speak to a board inside of a host. `fence_ilo` are all that begin so.
const AGENTS: [&str; 9] = [
    "fence_ipmilan",
    "fence_redfish",
    "fence_ilo",
    "fence_idrac",
    "fence_drac",
    "fence_imm",
    "fence_rsa",
    "fence_rsb",
    "fence_amt",
];
/// What the agents call it, and what they called it before.
const ADDRESS: [&str; 2] = ["ip", "ipaddr"];
const PLUG: [&str; 2] = ["plug", "port"];
/// As many as a record has room for.
const MOST: usize = 384;
const MOST_OF_ONE: usize = 16;

/// All these names.
#[derive(Default)]
pub(super) struct Names {
    known: Vec<HostAlias>,
    /// Which are not written, and why.
    pub(super) clashes: Vec<String>,
}

impl Names {
    pub(super) fn of(round: &Round<'_>) -> Self {
        let taken = openings::names(round);
        // Whoever comes first has the name.
        let told = [
            ("an alias of the Cluster", aliases(round)),
            ("a host's full name", full(round, &taken)),
            ("a host's board", boards(round)),
        ];
        let all = told.iter().flat_map(|(kind, names)| {
            let names = names.iter();
            names.map(move |(name, addresses)| (*kind, name.as_str(), addresses))
        });
        let mut known: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
        let mut clashes = Vec::new();
        let mut given: BTreeMap<&str, (&str, &BTreeSet<IpAddr>)> = BTreeMap::new();
        for (kind, name, addresses) in all {
            let first = addresses.first().copied();
            let (holder, held) = *given.entry(name).or_insert((kind, addresses));
            let other = taken
                .get(name)
                .filter(|own| Some(**own) != first)
                .map(|own| format!("a host's name on a network, {own}"))
                .or_else(|| (held != addresses).then(|| format!("{holder}, {}", words(held))));
            match (first, other) {
                (_, Some(other)) => {
                    let own = words(addresses);
                    clashes.push(format!("{name} is {other}, and is not written for {own}"));
                }
                (Some(_), None) if addresses.len() > 1 => {
                    let own = words(addresses);
                    clashes.push(format!("{name} stands for {own}, and is not written"));
                }
                (Some(address), None) if !taken.contains_key(name) => {
                    known.entry(address).or_default().insert(name);
                }
                _ => {}
            }
        }
        let known = known.into_iter().flat_map(|(address, names)| {
            let names: Vec<Name> = names.into_iter().map(Name::from).collect();
            let parts = names.chunks(MOST_OF_ONE);
            let parts = parts.map(|part| HostAlias {
                address: address.to_string().as_str().into(),
                names: part.to_vec(),
            });
            parts.collect::<Vec<_>>()
        });
        Self {
            known: known.take(MOST).collect(),
            clashes,
        }
    }

    /// Whether there is anything to be said of them.
    pub(super) fn any(&self) -> bool {
        !self.known.is_empty() || !self.clashes.is_empty()
    }

    /// The names that the host is to know by that network.
    pub(super) fn on(&self, round: &Round<'_>, network: &str, host: &str) -> Vec<HostAlias> {
        let mut own = round.state.networks.iter().filter(|(_, network)| {
            let part = !network.spec.only_listed || listed(network, host).is_some();
            part && carries(network)
        });
        match own.next() {
            Some((first, _)) if first == network => self.known.clone(),
            _ => Vec::new(),
        }
    }
}

/// Whether such names lie with this network's.
pub(super) fn carries(network: &Network) -> bool {
    network.spec.role == NetworkRole::BackChannel
}

fn words(addresses: &BTreeSet<IpAddr>) -> String {
    let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    words.join(" and ")
}

/// The Cluster's own.
fn aliases(round: &Round<'_>) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut aliases: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for alias in &round.settings.host_aliases {
        let Ok(address) = alias.address.as_str().parse() else {
            continue;
        };
        for name in &alias.names {
            aliases.entry(name.to_string()).or_default().insert(address);
        }
    }
    aliases
}

/// The hosts by their names in the domain, if there is one: for the addresses that their plain names stand for.
fn full(round: &Round<'_>, taken: &BTreeMap<String, IpAddr>) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let Some(domain) = &round.settings.domain else {
        return BTreeMap::new();
    };
    let hosts = round.hosts.values();
    let known = hosts.filter_map(|host| {
        let address = *taken.get(host.name)?;
        Some((format!("{}.{domain}", host.name), [address].into()))
    });
    known.collect()
}

/// Where the boards are, as far as that is said in numbers.
fn boards(round: &Round<'_>) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut boards: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for host in round.hosts.values() {
        let levels = &host.node.spec.fencing.levels;
        let targets = levels.iter().flat_map(|level| &level.devices);
        for address in targets.filter_map(|target| board(round, target)) {
            let name = format!("{}.{BOARD}", host.name);
            boards.entry(name).or_default().insert(address);
        }
    }
    boards
}

fn board(round: &Round<'_>, target: &FenceTarget) -> Option<IpAddr> {
    let spec = &round.state.devices.get(target.device.as_str())?.spec;
    let agent = spec.agent.as_deref()?;
    let told = |names: [&str; 2]| {
        let mut told = [&target.parameters, &spec.parameters].into_iter();
        told.find_map(|told| names.iter().find_map(|name| told.get(*name)))
    };
    // One with plugs is a frame of blades, or a row of outlets.
    let has_plugs = !target.plug.is_empty() || told(PLUG).is_some();
    if has_plugs || !AGENTS.iter().any(|board| agent.starts_with(board)) {
        return None;
    }
    told(ADDRESS)?.parse().ok()
}
