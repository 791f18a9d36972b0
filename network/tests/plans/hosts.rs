//! Hosts and networks as they may be, to choose from.

use crate::cables::Cables;
use proptest::prelude::*;
use quorate_network::model::{
    Address, BondMode, BondOptions, BridgeOptions, Change, Host, Kind, Link, Mark, Seen,
};
use quorate_network::{Card, Wanted};
use std::net::IpAddr;

pub(crate) const CARDS: usize = 6;
pub(crate) const NETWORKS: usize = 3;

/// A host with nothing but its cards.
pub(crate) fn bare() -> Host {
    let mut host = Host::default();
    for number in 0..CARDS {
        host.links.insert(format!("eth{number}"), card());
    }
    host
}

pub(crate) fn card() -> Link {
    Link {
        kind: Kind::Physical,
        mark: Mark::None,
        up: false,
        mtu: 1500,
        master: None,
        path_cost: None,
        addresses: Vec::new(),
        seen: Seen::default(),
    }
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// One network, before the cards are dealt.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    bond: Option<BondMode>,
    vlan: Option<u16>,
    bridge: bool,
    stp: bool,
    mtu: u32,
    host: u8,
    gateway: bool,
    on_first: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let modes = prop_oneof![
        Just(BondMode::ActiveBackup),
        Just(BondMode::BalanceXor),
        Just(BondMode::Lacp)
    ];
    (
        proptest::option::weighted(0.7, modes),
        proptest::option::weighted(0.4, prop_oneof![Just(100_u16), Just(101)]),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(1500_u32), Just(9000)],
        1..4_u8,
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.3),
    )
        .prop_map(
            |(bond, vlan, bridge, stp, mtu, host, gateway, on_first)| Shape {
                bond,
                vlan,
                bridge,
                stp,
                mtu,
                host,
                gateway,
                on_first,
            },
        )
}

/// The networks of a host: which, and who has which card.
pub(crate) fn networks() -> impl Strategy<Value = Vec<Wanted>> {
    let shapes = proptest::collection::vec(proptest::option::weighted(0.8, shape()), NETWORKS);
    let deal = proptest::collection::vec(0..NETWORKS + 1, CARDS);
    (shapes, deal).prop_map(|(shapes, deal)| wanted(&shapes, &deal))
}

fn wanted(shapes: &[Option<Shape>], deal: &[usize]) -> Vec<Wanted> {
    let mut networks = Vec::new();
    let mut first_has_cards = false;
    for (number, shape) in shapes.iter().enumerate() {
        let Some(shape) = shape else { continue };
        let mut cards: Vec<Card> = (0..CARDS)
            .filter(|card| deal.get(*card) == Some(&number))
            .map(|card| Card {
                name: format!("nic{card}"),
                mac: None,
                path: None,
                device: Some(format!("eth{card}")),
            })
            .collect();
        if shape.bond.is_none() {
            cards.truncate(1);
        }
        let on_first = number > 0 && first_has_cards && shape.on_first && shape.vlan.is_some();
        if on_first {
            cards.clear();
        }
        if cards.is_empty() && !on_first {
            continue;
        }
        first_has_cards |= number == 0;
        let name = format!("net{number}");
        let bond = shape.bond.filter(|_| !on_first).map(|mode| {
            let options = BondOptions {
                mode,
                primary: cards.last().map(|card| card.name.clone()),
                ..BondOptions::default()
            };
            (format!("bond-{name}"), options)
        });
        let bridge = shape.bridge.then(|| {
            let options = BridgeOptions {
                stp: shape.stp,
                ..BridgeOptions::default()
            };
            (format!("br-{name}"), options, 19)
        });
        let own = address(&format!("10.{number}.0.{}/16", shape.host));
        let gateway: IpAddr = format!("10.{number}.255.1").parse().expect("an address");
        networks.push(Wanted {
            cards,
            parent: on_first.then(|| "net0".to_owned()),
            bond,
            vlan: shape.vlan.map(|id| (format!("{name}.{id}"), id)),
            bridge,
            mtu: shape.mtu,
            addresses: vec![own],
            gateway: (shape.gateway && number == 0).then_some(gateway),
            guard: None,
            rollback_after: 30_000,
            network: name,
        });
    }
    networks
}

/// What is plugged in where.
pub(crate) fn cables() -> impl Strategy<Value = Cables> {
    let answering = proptest::collection::btree_set(
        (
            prop_oneof![Just(None), Just(Some(100_u16)), Just(Some(101))],
            (0..NETWORKS).prop_map(|number| -> IpAddr {
                format!("10.{number}.0.200").parse().expect("an address")
            }),
        ),
        0..5,
    );
    proptest::collection::vec(answering, CARDS).prop_map(|cards| {
        let cards = cards.into_iter().enumerate();
        Cables(
            cards
                .map(|(number, set)| (format!("eth{number}"), set))
                .collect(),
        )
    })
}

/// What somebody, or a plan that was interrupted, did to the host.
pub(crate) fn mischief() -> impl Strategy<Value = Vec<Change>> {
    let name = prop_oneof![
        (0..CARDS).prop_map(|card| format!("eth{card}")),
        (0..NETWORKS).prop_map(|number| format!("bond-net{number}")),
        (0..NETWORKS).prop_map(|number| format!("br-net{number}")),
        (0..NETWORKS).prop_map(|number| format!("net{number}.100")),
    ];
    let one = (name, 0..7_u8).prop_map(|(name, what)| match what {
        0 => Change::Up(name),
        1 => Change::Down(name),
        2 => Change::Release(name),
        3 => Change::Mtu(name, 1400),
        4 => Change::RemoveAddress(name, address("10.0.0.1/16")),
        5 => Change::Bond(name, BondOptions::default()),
        _ => Change::Delete(name),
    });
    proptest::collection::vec(one, 0..6)
}
