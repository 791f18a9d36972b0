//! The kernel's interfaces, as they are reported.

use super::errors::Counted;
use super::mark::Unseen;
use crate::drivers::{NetworkSeen, Owner};
use quorate_crds::scalar::MacAddress;
use quorate_crds::{BondLinkStatus, LinkState, Name, NetworkHostStatus};
use quorate_network::Wanted;
use quorate_network::firewall::Table;
use quorate_network::keeper::Records;
use quorate_network::model::{Host, Kind, Link};
use quorate_network::plan::next;
use std::collections::BTreeSet;

/// Every network, and every interface that belongs to none.
pub(super) fn networks(host: &Host, records: &Records) -> Vec<NetworkSeen> {
    let trial = records.trial.iter().map(|trial| &trial.network);
    let marked = host.links.values().filter_map(|link| link.mark.network());
    let names: BTreeSet<&str> = records
        .kept
        .keys()
        .chain(trial)
        .map(String::as_str)
        .chain(marked)
        .collect();
    let ours = names.into_iter().map(|name| network(host, records, name));
    let foreign = host.links.iter().filter(|(_, link)| {
        link.mark.network().is_none() && matches!(link.kind, Kind::Bond(_) | Kind::Bridge(_))
    });
    let foreign = foreign.map(|(device, link)| NetworkSeen {
        owner: Owner::Foreign,
        status: NetworkHostStatus {
            state: Some(state(link)),
            device: Some(device.clone()),
            ..nothing()
        },
        as_applied: true,
        on_trial: false,
        links: Vec::new(),
        unheard: false,
        unfit: None,
        going: false,
    });
    ours.chain(foreign).collect()
}

/// Whose host this is, the reconciler adds.
fn nothing() -> NetworkHostStatus {
    NetworkHostStatus {
        node: Name::from(""),
        state: None,
        device: None,
        address: None,
        mtu: None,
        active_nic: None,
        links: Vec::new(),
        macs: Vec::new(),
        firewall: None,
        message: None,
    }
}

fn network(host: &Host, records: &Records, name: &str) -> NetworkSeen {
    let owner = Owner::Ours(Name::from(name));
    let trial = records.trial.as_ref().filter(|trial| trial.network == name);
    let tried = trial.filter(|trial| trial.taken_back.is_none());
    let wanted = tried
        .map(|trial| &trial.wanted)
        .or_else(|| records.kept.get(name));
    let Some(wanted) = wanted else {
        return NetworkSeen {
            owner,
            status: NetworkHostStatus {
                message: Some(
                    "interfaces are marked as its, and nothing else is known of it".into(),
                ),
                ..nothing()
            },
            as_applied: false,
            on_trial: false,
            links: Vec::new(),
            unheard: false,
            unfit: None,
            going: false,
        };
    };
    let layout = wanted.layout(host, &records.given(name));
    let going = tried.is_some_and(|trial| trial.gone);
    let mut words: Vec<String> = Vec::new();
    if going {
        words.push("it was taken away, on trial".to_owned());
    }
    if let Some(rejected) = records.rejected.get(name) {
        let what = match rejected.gone {
            true => "it was taken away and put back",
            false => "a change was taken back",
        };
        words.push(format!("{what}: {}", rejected.why));
    }
    // What is kept is not what was wanted last: whoever wants it still is told so by the one that keeps it.
    let rejected = records.rejected.get(name);
    let rejected = tried.is_none() && rejected.is_some_and(|rejected| !rejected.gone);
    let as_applied = match &layout {
        Ok(layout) => {
            let without = layout.without.iter();
            words.extend(without.map(|(card, why)| format!("without {card}: {why}")));
            next(host, &layout.desired).is_none()
        }
        Err(refusal) => {
            words.push(refusal.to_string());
            false
        }
    };
    let status = status(host, wanted);
    words.extend(status.message.clone());
    NetworkSeen {
        owner,
        status: NetworkHostStatus {
            message: (!words.is_empty()).then(|| words.join("; ")),
            ..status
        },
        as_applied: as_applied
            && !going
            && !rejected
            && trial.is_none_or(|trial| trial.taken_back.is_none()),
        on_trial: tried.is_some(),
        links: Vec::new(),
        unheard: false,
        unfit: None,
        going,
    }
}

fn status(host: &Host, wanted: &Wanted) -> NetworkHostStatus {
    let card = wanted.cards.first().and_then(|card| card.find(host));
    let device = wanted.top().or(card);
    let top = device.and_then(|device| host.links.get(device));
    let links: Vec<BondLinkStatus> = wanted
        .cards
        .iter()
        .map(|card| {
            let link = card.find(host).and_then(|device| host.links.get(device));
            BondLinkStatus {
                nic: card.name.as_str().into(),
                state: Some(link.map_or(LinkState::Down, state)),
                failures: link.and_then(|link| link.seen.failures.or(link.seen.downs)),
                flapping: None,
                speed: link.and_then(|link| link.seen.speed),
                half_duplex: link
                    .and_then(|link| link.seen.half_duplex)
                    .filter(|half| *half),
                errors: None,
            }
        })
        .collect();
    let whole = links.iter().all(|link| link.state == Some(LinkState::Up));
    let bond = wanted
        .bond
        .as_ref()
        .and_then(|(bond, _)| host.links.get(bond));
    let active = bond.and_then(|bond| bond.seen.active.as_ref());
    let doubled = top.and_then(|top| {
        let mut own = wanted.addresses.iter();
        own.find(|own| top.seen.doubled.contains(own))
    });
    NetworkHostStatus {
        state: Some(match top.map_or(LinkState::Down, state) {
            _ if doubled.is_some() => LinkState::Down,
            LinkState::Up if !whole => LinkState::Degraded,
            state => state,
        }),
        message: doubled.map(|address| format!("another machine has {address}")),
        device: device.cloned(),
        address: top.and_then(|top| {
            let there = wanted
                .addresses
                .iter()
                .find(|own| top.addresses.contains(own));
            there.map(ToString::to_string)
        }),
        mtu: top.map(|top| top.mtu),
        active_nic: wanted
            .cards
            .iter()
            .find(|card| active.is_some() && card.find(host) == active)
            .map(|card| card.name.clone()),
        links,
        macs: device.map(|device| macs(host, device)).unwrap_or_default(),
        ..nothing()
    }
}

/// Whatever may answer for the network's address: a bond may take the address of any of its cards.
fn macs(host: &Host, device: &str) -> Vec<MacAddress> {
    let mut macs = BTreeSet::new();
    let mut below = vec![device];
    let mut known = BTreeSet::new();
    while let Some(device) = below.pop() {
        let Some(link) = host.links.get(device).filter(|_| known.insert(device)) else {
            continue;
        };
        let own = [&link.seen.mac, &link.seen.answers];
        macs.extend(own.into_iter().filter_map(Option::as_deref));
        if let Kind::Vlan { parent, .. } = &link.kind {
            below.push(parent);
        }
        // A guest is no card of the host.
        let guest = Kind::Other("tun".to_owned());
        let members = host.members(device).filter(|(_, link)| link.kind != guest);
        below.extend(members.map(|(member, _)| member.as_str()));
    }
    macs.into_iter().take(16).map(MacAddress::from).collect()
}

/// Adds to what is wrong.
pub(super) fn add(status: &mut NetworkHostStatus, words: &str) {
    status.message = Some(match status.message.take() {
        Some(message) => format!("{message}; {words}"),
        None => words.to_owned(),
    });
}

/// Says whether the host's firewall is the one that is wanted. One that is not is to be set again; one that cannot be seen
/// is not tried for ever.
pub(super) fn firewall(
    all: &mut [NetworkSeen],
    records: &Records,
    wanted: &Table,
    mark: Result<Option<String>, Unseen>,
) {
    let guarded: BTreeSet<&str> = records
        .present()
        .filter(|wanted| wanted.guard.is_some())
        .map(|wanted| wanted.network.as_str())
        .collect();
    let ours = all.iter_mut().filter(|seen| {
        let name = seen.owner.object();
        name.is_some_and(|name| guarded.contains(name.as_str()))
    });
    for seen in ours {
        let status = &mut seen.status;
        status.firewall = Some(mark.as_ref() == Ok(&wanted.mark));
        match &mark {
            Ok(mark) if *mark == wanted.mark => {}
            Ok(_) => {
                add(status, "the firewall is another one than was set");
                seen.as_applied = false;
            }
            Err(unseen) => add(status, &unseen.words),
        }
    }
}

/// Says of each card of a network whether it goes up and down, as `count` makes of how often it lost its signal.
pub(super) fn flapping(
    host: &Host,
    records: &Records,
    network: &str,
    status: &mut NetworkHostStatus,
    mut count: impl FnMut(&str, u32) -> bool,
) {
    let Some(wanted) = records.kept.get(network) else {
        return;
    };
    for (card, link) in wanted.cards.iter().zip(&mut status.links) {
        let seen = card.find(host).and_then(|device| host.links.get(device));
        if let Some(downs) = seen.and_then(|seen| seen.seen.downs) {
            link.flapping = count(&card.name, downs).then_some(true);
        }
    }
}

/// Says of each card of a network how many packets it has damaged lately, as `count` makes of what the kernel has counted.
pub(super) fn damaged(
    host: &Host,
    records: &Records,
    network: &str,
    status: &mut NetworkHostStatus,
    mut count: impl FnMut(&str, Counted) -> Option<u32>,
) {
    let Some(wanted) = records.kept.get(network) else {
        return;
    };
    for (card, link) in wanted.cards.iter().zip(&mut status.links) {
        let Some(device) = card.find(host) else {
            continue;
        };
        let seen = host.links.get(device).map(|seen| &seen.seen);
        let seen = seen.and_then(|seen| Some((seen.packets?, seen.errors?)));
        if let Some((packets, errors)) = seen {
            link.errors = count(device, Counted { packets, errors });
        }
    }
}

/// A card works when it has a signal and its bond, if any, uses it or would.
fn state(link: &Link) -> LinkState {
    if !link.up || !link.seen.carrier {
        LinkState::Down
    } else if link.seen.usable == Some(false) {
        // Up again, and not trusted yet: the bond waits out its upDelay.
        LinkState::Degraded
    } else {
        LinkState::Up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_network::Card;
    use quorate_network::model::{BondOptions, Mark, Seen};
    use quorate_network::plan::steps;

    fn host() -> Host {
        let mut host = Host::default();
        for device in ["eth0", "eth1"] {
            let link = Link {
                kind: Kind::Physical,
                mark: Mark::None,
                up: false,
                mtu: 1500,
                master: None,
                path_cost: None,
                addresses: Vec::new(),
                seen: Seen {
                    carrier: true,
                    ..Seen::default()
                },
            };
            host.links.insert(device.to_owned(), link);
        }
        host
    }

    fn bonded() -> Wanted {
        let card = |name: &str, device: &str| Card {
            name: name.to_owned(),
            mac: None,
            path: None,
            device: Some(device.to_owned()),
        };
        Wanted {
            network: "bcn".to_owned(),
            cards: vec![card("bcn1", "eth0"), card("bcn2", "eth1")],
            parent: None,
            bond: Some(("bond-bcn".to_owned(), BondOptions::default())),
            vlan: None,
            bridge: None,
            mtu: 1500,
            addresses: vec!["10.20.0.1/16".parse().expect("an address")],
            gateway: None,
            guard: None,
            rollback_after: 30_000,
        }
    }

    #[test]
    fn a_firewall_that_is_another_one_is_set_again_and_one_that_cannot_be_seen_is_not() {
        let mut records = Records::default();
        let guarded = Wanted {
            guard: Some(quorate_network::firewall::Guard::default()),
            ..bonded()
        };
        records.kept.insert("bcn".to_owned(), guarded);
        let host = host();
        let table = records.firewall(&host);
        assert!(table.mark.is_some());
        let look = |mark: Result<Option<String>, Unseen>| {
            let mut all = networks(&host, &records);
            all[0].as_applied = true;
            firewall(&mut all, &records, &table, mark);
            all.remove(0)
        };
        let well = look(Ok(table.mark.clone()));
        assert_eq!((well.as_applied, well.status.firewall), (true, Some(true)));
        let flushed = look(Ok(None));
        let seen = (flushed.as_applied, flushed.status.firewall);
        assert_eq!(seen, (false, Some(false)));
        let unseen = look(Err(Unseen {
            words: "nft is not installed".to_owned(),
        }));
        assert_eq!(
            (unseen.as_applied, unseen.status.firewall),
            (true, Some(false))
        );
        let message = unseen.status.message.expect("it is said");
        assert!(message.contains("nft is not installed"), "{message}");
    }

    fn with_a_bond() -> (Host, Records) {
        let mut host = host();
        let layout = bonded().layout(&host, &[]).expect("possible");
        for step in steps(&host, &layout.desired).expect("possible") {
            for change in &step.changes {
                host.change(change).expect("possible");
            }
        }
        let mut records = Records::default();
        records.kept.insert("bcn".to_owned(), bonded());
        (host, records)
    }

    #[test]
    fn a_bond_without_one_cable_is_degraded_and_without_both_down() {
        let (mut host, records) = with_a_bond();
        let carrier = |host: &mut Host, device: &str, carrier| {
            host.links.get_mut(device).expect("there").seen.carrier = carrier;
        };
        carrier(&mut host, "bond-bcn", true);
        host.links.get_mut("bond-bcn").expect("there").seen.active = Some("eth0".to_owned());

        let seen = |host: &Host| networks(host, &records).remove(0);
        let well = seen(&host);
        assert!(well.as_applied && !well.on_trial);
        assert_eq!(well.status.state, Some(LinkState::Up));
        assert_eq!(well.status.active_nic.as_deref(), Some("bcn1"));
        assert_eq!(well.status.address.as_deref(), Some("10.20.0.1/16"));

        carrier(&mut host, "eth1", false);
        assert_eq!(seen(&host).status.state, Some(LinkState::Degraded));
        carrier(&mut host, "bond-bcn", false);
        assert_eq!(seen(&host).status.state, Some(LinkState::Down));

        carrier(&mut host, "bond-bcn", true);
        let own = bonded().addresses;
        host.links.get_mut("bond-bcn").expect("there").seen.doubled = own;
        let doubled = seen(&host).status;
        assert_eq!(doubled.state, Some(LinkState::Down));
        let message = doubled.message.expect("it is said");
        assert_eq!(message, "another machine has 10.20.0.1/16");

        host.links.get_mut("bond-bcn").expect("there").mtu = 1400;
        assert!(!seen(&host).as_applied, "somebody changed it by hand");
    }

    #[test]
    fn what_was_taken_back_is_not_as_it_was_wanted_although_all_is_as_it_was_before() {
        let (host, mut records) = with_a_bond();
        assert!(networks(&host, &records)[0].as_applied);
        let rejected = serde_json::from_value(serde_json::json!({
            "wanted": bonded(), "why": "the cluster was not reached", "gone": false,
        }));
        let rejected = rejected.expect("a rejected change");
        records.rejected.insert("bcn".to_owned(), rejected);
        assert!(!networks(&host, &records)[0].as_applied);
    }
}
