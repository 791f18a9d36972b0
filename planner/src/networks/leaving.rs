//! Networks that are to be taken away from a host: they are deleted, or the host is not listed any more.
//!
//! A host that loses its last way to the members is lost, and is fenced: so the last way stays, and so does what something
//! else lies on. All else goes on one host after the other, as every change does ([`super::turns`]). What waits is said
//! on the host's Node: the Network is mostly gone by then.

use super::openings::Members;
use super::turns::{Turn, Wanted, Wish};
use crate::outcome::{Outcome, condition};
use crate::rights::{Host, held, observed};
use crate::round::Round;
use crate::state::{Record, Subject, SubjectKind};
use crate::{Reason, Why};
use quorate_crds::scalar::Cidr;
use quorate_crds::{LinkState, NetworkAssignment, ObjectReference};
use std::collections::{BTreeMap, BTreeSet};

/// What a Node is said to have.
const TYPE: &str = "NetworkLeaving";
/// The longest message of a condition.
const LONGEST: usize = 1000;

/// What is to be taken away: whatever hosts have and `wishes` do not name.
pub(super) fn wishes<'r>(
    round: &'r Round<'_>,
    members: &Members,
    wishes: &[Wish<'r>],
) -> Vec<Wish<'r>> {
    let wanted: BTreeSet<(&str, &str)> = wishes
        .iter()
        .map(|wish| (wish.network, wish.host.name))
        .collect();
    let mut leaving = Vec::new();
    for (subject, records) in round.state.records.of_kind(SubjectKind::Network) {
        let network = subject.name.as_str();
        for (host, record) in records {
            let Some(host) = round.hosts.get(host) else {
                continue;
            };
            let there = record.active || held(&round.hosts, record);
            if !there || wanted.contains(&(network, host.name)) {
                continue;
            }
            leaving.push(Wish {
                network,
                depth: 0,
                host,
                record: Some(record),
                wanted: Wanted::Gone(kept_by(round, members, network, host)),
            });
        }
    }
    leaving
}

/// What keeps the network on the host, if anything does.
fn kept_by(round: &Round<'_>, members: &Members, network: &str, host: &Host<'_>) -> Option<String> {
    let name = host.name;
    let mut others = on(round, host).filter(|(other, _)| *other != network);
    let above = others.find(|(_, record)| {
        let assigned = record.spec.assignment.as_ref();
        let mut below = assigned.into_iter().flat_map(|assigned| &assigned.after);
        below.any(|below| below.kind == "Network" && below.name.as_str() == network)
    });
    if let Some((above, _)) = above {
        return Some(format!("{above} lies on {network}: take that away before"));
    }
    let mut guests = round.state.records.of_kind(SubjectKind::Guest);
    let guest = guests.find(|(subject, records)| {
        let here = records.get(name);
        let here = here.is_some_and(|record| held(&round.hosts, record));
        let guest = round.state.guests.get(&subject.name);
        let nics = guest.into_iter().flat_map(|guest| &guest.spec.nics);
        here && nics.into_iter().any(|nic| nic.network.as_str() == network)
    });
    if let Some((guest, _)) = guest {
        let guest = &guest.name;
        return Some(format!(
            "{guest} has a card on {network} and is on {name}: move it, or take the card away"
        ));
    }
    match other_ways(round, members, network, host) {
        Others::Work => None,
        Others::Unknown => Some(format!(
            "{name} has not said yet how its other networks are"
        )),
        Others::None => Some(format!(
            "{network} is the last way from {name} to the members: give it another one before"
        )),
    }
}

/// The networks that the host has, or may have.
fn on<'r>(round: &'r Round<'_>, host: &'r Host<'_>) -> impl Iterator<Item = (&'r str, &'r Record)> {
    let records = round.state.records.of_kind(SubjectKind::Network);
    records.filter_map(|(subject, records)| {
        let record = records.get(host.name)?;
        let there = record.active || held(&round.hosts, record);
        there.then_some((subject.name.as_str(), record))
    })
}

/// The ways to the members besides one.
enum Others {
    /// There is one, or none is needed.
    Work,
    /// The host has not said it yet.
    Unknown,
    /// There is none.
    None,
}

fn other_ways(round: &Round<'_>, members: &Members, network: &str, host: &Host<'_>) -> Others {
    let state = |record: &Record| {
        let seen = observed(&round.hosts, record)?;
        seen.network.as_ref()?.state
    };
    let ways: Vec<(&str, Option<LinkState>, Option<bool>)> = on(round, host)
        .filter(|(_, record)| record.active)
        .filter_map(|(name, record)| {
            let subnet = subnet(record.spec.assignment.as_ref()?.network.as_ref()?)?;
            Some((name, state(record), members.within(&subnet)))
        })
        .collect();
    // Members that are nowhere near are reached through one of them, or through none of ours: nobody knows.
    let near = ways.iter().any(|(.., within)| *within == Some(true));
    let leading = ways
        .iter()
        .filter(|(.., within)| !near || *within == Some(true));
    let own = leading.clone().find(|(name, ..)| *name == network);
    // Over one that does not work nothing is reached now.
    if own.is_none_or(|(_, state, _)| *state == Some(LinkState::Down)) {
        return Others::Work;
    }
    let others = leading.filter(|(name, ..)| *name != network);
    let others: Vec<Option<LinkState>> = others.map(|(_, state, _)| *state).collect();
    let works = |state: &Option<LinkState>| state.is_some_and(|state| state != LinkState::Down);
    if others.iter().any(works) {
        Others::Work
    } else if others.contains(&None) {
        Others::Unknown
    } else {
        Others::None
    }
}

/// The subnet that the host's address is in.
fn subnet(network: &NetworkAssignment) -> Option<Cidr> {
    Some(Cidr::from(network.address.as_deref()?))
}

/// Says on every host's Node what is to be taken away there, and what that waits for.
pub(super) fn tell(round: &Round<'_>, outcome: &mut Outcome, leaving: &[(Wish<'_>, Turn)]) {
    let mut of_host: BTreeMap<&str, Vec<&(Wish<'_>, Turn)>> = BTreeMap::new();
    for one in leaving {
        of_host.entry(one.0.host.name).or_default().push(one);
    }
    for host in round.hosts.values() {
        let old = host.node.status.as_ref();
        let old = old.and_then(|status| status.conditions.iter().find(|one| one.type_ == TYPE));
        let said = of_host
            .get(host.name)
            .map(|leaving| words(leaving.as_slice()));
        if said.is_none() && old.is_none() {
            continue;
        }
        let status = outcome
            .nodes
            .entry(host.name.to_owned())
            .or_insert_with(|| host.node.status.clone().unwrap_or_default());
        let Some(why) = said else {
            status.conditions.retain(|one| one.type_ != TYPE);
            continue;
        };
        condition(&mut status.conditions, TYPE, true, &why, round.now);
        outcome.why("Node", host.name, why.reason, &why.message);
        // Of whose turn it is nobody has to hear every time.
        let held = of_host.get(host.name).into_iter().flatten();
        let mut held = held.filter_map(|(wish, _)| wish.held().cloned().or_else(|| wish.refusal()));
        let news = match old {
            None => why.reason == Reason::NetworkChangeWaits,
            Some(old) => {
                old.message != why.message && held.any(|held| !old.message.contains(held.as_str()))
            }
        };
        if news {
            let regarding = ObjectReference {
                kind: "Node".to_owned(),
                name: host.name.into(),
                uid: None,
            };
            outcome.event(round.now, regarding, &why);
        }
    }
}

fn words(leaving: &[&(Wish<'_>, Turn)]) -> Why {
    let mut waits = true;
    let words: Vec<String> = leaving
        .iter()
        .map(|(wish, turn)| match turn {
            Turn::Waits(before) => format!("{} is to be taken away: {before}", wish.network),
            Turn::Free | Turn::Next if !wish.is_left_alone() => match wish.refusal() {
                Some(why) => format!("{} is not taken away: {why}", wish.network),
                None => {
                    waits = false;
                    format!("{} is being taken away", wish.network)
                }
            },
            Turn::Free | Turn::Next => {
                let network = wish.network;
                let until = match wish.host.online() {
                    true => "is not in maintenance any more",
                    false => "is back",
                };
                format!("{network} is to be taken away once the host {until}")
            }
        })
        .collect();
    let message = words.join("; ");
    Why {
        reason: if waits {
            Reason::NetworkChangeWaits
        } else {
            Reason::NetworkChanging
        },
        message: message.chars().take(LONGEST).collect(),
    }
}

/// Keeps what has to wait. All else is withdrawn, since nothing keeps it.
pub(super) fn settle(round: &Round<'_>, outcome: &mut Outcome, (wish, turn): &(Wish<'_>, Turn)) {
    let untouched = wish.is_left_alone();
    let active = wish.record.is_some_and(|record| record.active);
    if active && (untouched || matches!(turn, Turn::Waits(_))) {
        let subject = Subject::new(SubjectKind::Network, wish.network);
        outcome.keep(round.state, &subject, wish.host.name);
    }
}
