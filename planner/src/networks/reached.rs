//! How well networks are there on each host: what decides where guests may go, and where they had better go.

use crate::amounts::percent;
use crate::rights::observed;
use crate::round::Round;
use crate::state::{ClusterState, Index, Subject, SubjectKind};
use quorate_crds::{LinkState, NetworkHostStatus, VirtualMachine};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// What every host has said of every network.
pub(crate) struct Reached<'a> {
    seen: Index<&'a str, Index<&'a str, &'a NetworkHostStatus>>,
    /// Worked out when somebody asks, which in most rounds nobody does.
    lacks: OnceCell<Index<&'a str, Index<&'a str, Lack>>>,
}

impl<'a> Reached<'a> {
    pub(crate) fn of(state: &'a ClusterState) -> Self {
        let networks = state.networks.iter().map(|(name, network)| {
            let hosts = network.status.iter().flat_map(|status| &status.hosts);
            // Should a host be there twice, the first one counts.
            let hosts = hosts.rev().map(|seen| (seen.node.as_str(), seen));
            (name, hosts.collect())
        });
        Self {
            seen: networks.collect(),
            lacks: OnceCell::new(),
        }
    }

    pub(super) fn seen(&self, network: &str, host: &str) -> Option<&'a NetworkHostStatus> {
        self.seen.get(network)?.get(host).copied()
    }
}

/// What a host lacks of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lack {
    cards: u64,
    /// Cards that do not work, or that go up and down.
    cards_out: u64,
    /// It says so itself, and not of which card.
    degraded: bool,
    /// How much is lost on the ways to and from the others that are there, in permille.
    lost: u64,
}

impl Lack {
    /// In permille; a network that has lost everything in either way counts as 1000.
    fn permille(self) -> u64 {
        let cards = match self.cards_out {
            0 if self.degraded => 500,
            out => out * 1000 / self.cards.max(1),
        };
        cards.max(self.lost)
    }

    fn words(self, network: &str, host: &str) -> String {
        let mut words = Vec::new();
        if self.cards_out > 0 {
            let (out, all) = (self.cards_out, self.cards);
            words.push(format!(
                "{out} of {all} cards of {network} cannot be relied on there"
            ));
        } else if self.degraded {
            words.push(format!("{network} is degraded there"));
        }
        if self.lost > 0 {
            let lost = percent(self.lost);
            words.push(format!(
                "{lost} is lost on its ways to others over {network}"
            ));
        }
        format!("{host} is reached worse: {}", words.join(", "))
    }
}

/// What that host lacks of the networks of the guest's cards, in permille of each.
pub(crate) fn lacking(round: &Round<'_>, guest: &VirtualMachine, host: &str) -> u64 {
    let needed = needed(round, guest).into_iter();
    needed
        .filter_map(|network| lack(round, network, host))
        .map(Lack::permille)
        .sum()
}

/// What another host lacks of them that this one has.
pub(crate) fn worse(
    round: &Round<'_>,
    guest: &VirtualMachine,
    host: &str,
    other: &str,
) -> Option<String> {
    let needed = needed(round, guest).into_iter();
    let lacks = needed.filter_map(|network| {
        let there = lack(round, network, other)?;
        let here = lack(round, network, host).unwrap_or_default();
        let more = there.permille().checked_sub(here.permille())?;
        Some((more, network, there))
    });
    let (_, network, there) = lacks.max_by_key(|(more, ..)| *more)?;
    Some(there.words(network, other))
}

/// The networks of the guest's cards, and what they lie on.
fn needed<'r>(round: &'r Round<'_>, guest: &'r VirtualMachine) -> BTreeSet<&'r str> {
    let mut needed = BTreeSet::new();
    for nic in &guest.spec.nics {
        let mut next = Some(nic.network.as_str());
        // A circle is refused at admission; it must not hang the planner nevertheless.
        while let Some(name) = next.filter(|name| needed.insert(*name)) {
            let network = round.state.networks.get(name);
            let parent = network.and_then(|network| network.spec.parent.as_ref());
            next = parent.map(|parent| parent.as_str());
        }
    }
    needed
}

fn lack(round: &Round<'_>, network: &str, host: &str) -> Option<Lack> {
    let lacks = round.reached.lacks.get_or_init(|| lacks(round));
    lacks.get(network)?.get(host).copied()
}

fn lacks<'a>(round: &Round<'a>) -> Index<&'a str, Index<&'a str, Lack>> {
    let state = round.state;
    let networks = state.networks.iter().map(|(name, _)| {
        let lost = lost(round, name);
        let hosts = round.hosts.names().map(|host| {
            let seen = round.reached.seen(name, host);
            let lack = Lack {
                lost: lost.get(host).copied().unwrap_or(0),
                ..seen.map(cards).unwrap_or_default()
            };
            (host, lack)
        });
        (name, hosts.collect())
    });
    networks.collect()
}

fn cards(seen: &NetworkHostStatus) -> Lack {
    let out = seen.links.iter().filter(|link| {
        let works = link.state.is_none_or(|state| state == LinkState::Up);
        !works || link.flapping == Some(true)
    });
    Lack {
        cards: count(seen.links.len()),
        cards_out: count(out.count()),
        degraded: seen.state == Some(LinkState::Degraded),
        lost: 0,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// How much each host that is there loses on its ways to the others that are there, whichever of the two says so, in
/// permille of all its ways.
fn lost<'a>(round: &Round<'a>, network: &str) -> BTreeMap<&'a str, u64> {
    let subject = Subject::new(SubjectKind::Network, network);
    let mut ways: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for host in round.hosts.values().filter(|host| host.online()) {
        let record = round.state.record(&subject, host.name);
        let seen = record.and_then(|record| observed(&round.hosts, record));
        for link in seen.into_iter().flat_map(|seen| &seen.links) {
            let lost = match link.state {
                Some(LinkState::Up) => 0,
                Some(LinkState::Degraded) => u64::from(link.loss.unwrap_or(0)) * 10,
                Some(LinkState::Down) => 1000,
                None => continue,
            };
            let peer = round.hosts.get(link.node.as_str());
            if let Some(peer) = peer.filter(|peer| peer.online()) {
                for way in [(host.name, peer.name), (peer.name, host.name)] {
                    let known = ways.entry(way).or_default();
                    *known = lost.max(*known);
                }
            }
        }
    }
    let mut all: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for ((host, _), lost) in ways {
        let (sum, number) = all.entry(host).or_default();
        *sum += lost;
        *number += 1;
    }
    let all = all.into_iter();
    all.map(|(host, (sum, number))| (host, sum / number))
        .collect()
}

/// The network of the guest that does not work on that host, if any: its cards would be cut off.
pub(crate) fn cut_off<'r>(
    round: &'r Round<'_>,
    guest: &'r VirtualMachine,
    host: &str,
) -> Option<&'r str> {
    guest.spec.nics.iter().find_map(|nic| {
        let name = nic.network.as_str();
        let seen = round.reached.seen(name, host)?;
        (seen.state == Some(LinkState::Down)).then_some(name)
    })
}
