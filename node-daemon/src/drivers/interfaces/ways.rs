//! The ways to other hosts: which are asked about, and how they are reported.

use crate::drivers::NetworkTarget;
use quorate_crds::scalar::{Duration, MacAddress};
use quorate_crds::{LinkState, PeerLink};
use quorate_network::probe::{Found, Probed, Reach};
use std::net::IpAddr;

/// Every packet of such a size passes.
const SMALL: u32 = 64;

/// This host's address on the network.
fn probed_from(target: &NetworkTarget) -> Option<IpAddr> {
    let address = target.assignment.address.as_deref()?;
    address.split('/').next()?.parse().ok()
}

/// What is to be asked about; none where this host has no address, or nobody else has one.
pub(super) fn probed(target: &NetworkTarget) -> Option<Probed> {
    let own = probed_from(target)?;
    let peers = target.assignment.peers.iter().filter_map(|peer| {
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

/// Whether that host is through with the change that this one begins.
pub(super) fn has_it_already(target: &NetworkTarget, peer: &str) -> bool {
    let done = &target.assignment.changed_before;
    done.iter().any(|host| host.as_str() == peer)
}

/// Why a change is taken back after which large packets do not pass any more.
pub(super) fn too_large(mtu: Option<u32>, peer: &str) -> String {
    let size = mtu.map_or_else(
        || "the largest size".to_owned(),
        |mtu| format!("{mtu} bytes"),
    );
    format!("packets of {size} do not pass to {peer}, which has this change already; small ones do")
}

/// The addresses outside that must answer; none where the manifest names none that this host can ask from there.
pub(super) fn outside(target: &NetworkTarget) -> Option<Probed> {
    let own = probed_from(target)?;
    let targets = target.spec.ping_targets.iter().filter_map(|target| {
        let address: IpAddr = target.as_str().parse().ok()?;
        (address.is_ipv4() == own.is_ipv4()).then(|| (target.to_string(), address))
    });
    let probed = Probed {
        own,
        // Whether large packets pass outside is nobody's promise.
        mtu: SMALL,
        peers: targets.collect(),
    };
    (!probed.peers.is_empty()).then_some(probed)
}

/// What they are asked about under, beside the network's own hosts: no Network has such a name.
pub(super) fn outside_of(network: &str) -> String {
    format!("{network} outside")
}

/// Why the host is cut off, when none of the addresses outside answers.
pub(super) fn cut_off(found: &[Found]) -> Option<String> {
    let silent = |found: &Found| found.reach == Some(Reach::Broken);
    if found.is_empty() || !found.iter().all(silent) {
        return None;
    }
    let targets: Vec<&str> = found.iter().map(|found| found.peer.as_str()).collect();
    Some(format!(
        "none of its ping targets answers: {}",
        targets.join(", ")
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_cut_off_when_all_outside_are_surely_silent() {
        let found = |peer: &str, reach| Found {
            peer: peer.to_owned(),
            reach,
            loss: 0,
            round_trip: None,
            passes: None,
            mac: None,
            ahead: None,
        };
        let (works, broken) = (Some(Reach::Works), Some(Reach::Broken));
        assert_eq!(cut_off(&[]), None, "none is named");
        assert_eq!(
            cut_off(&[found("10.0.0.1", broken), found("10.0.0.2", works)]),
            None
        );
        assert_eq!(
            cut_off(&[found("10.0.0.1", broken), found("10.0.0.2", None)]),
            None,
            "nobody knows yet"
        );
        let why = cut_off(&[found("10.0.0.1", broken), found("10.0.0.2", broken)]);
        assert_eq!(
            why.as_deref(),
            Some("none of its ping targets answers: 10.0.0.1, 10.0.0.2")
        );
    }
}
