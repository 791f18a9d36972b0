//! The ways to other hosts: which are asked about, and how they are reported.

use crate::drivers::NetworkTarget;
use quorate_crds::scalar::{Duration, MacAddress};
use quorate_crds::{LinkState, PeerLink};
use quorate_network::probe::{Found, Probed, Reach};
use std::net::IpAddr;

/// What is to be asked about; none where this host has no address, or nobody else has one.
pub(super) fn probed(target: &NetworkTarget) -> Option<Probed> {
    let assigned = &target.assignment;
    let own: IpAddr = assigned
        .address
        .as_deref()?
        .split('/')
        .next()?
        .parse()
        .ok()?;
    let peers = assigned.peers.iter().filter_map(|peer| {
        let address: IpAddr = peer.address.as_str().parse().ok()?;
        (address.is_ipv4() == own.is_ipv4()).then(|| (peer.node.to_string(), address))
    });
    let probed = Probed {
        own,
        mtu: target.spec.mtu,
        peers: peers.collect(),
    };
    (!probed.peers.is_empty()).then_some(probed)
}

pub(super) fn link(found: Found) -> PeerLink {
    PeerLink {
        node: found.peer.as_str().into(),
        state: found.reach.map(|reach| match reach {
            Reach::Works => LinkState::Up,
            Reach::Lossy => LinkState::Degraded,
            Reach::Broken => LinkState::Down,
        }),
        loss: Some(found.loss).filter(|loss| *loss > 0),
        round_trip: found
            .round_trip
            .map(|milliseconds| Duration(format!("{milliseconds}ms"))),
        mtu: found.passes,
        mac: found.mac.as_deref().map(MacAddress::from),
        clock_ahead: found.ahead,
    }
}
