//! Where a host is reached, as the cluster knows it.

use std::{collections::BTreeSet, net::IpAddr};

use quorate_crds::{Network, NodePlan};
use quorate_store::View;
use serde::de::DeserializeOwned;

use crate::entries::entries;

/// The host's addresses on all networks: those that it was given, and those that were seen on it, unless another host was given,
/// or shows, the same.
pub(crate) fn addresses_of(view: &View, node: &str) -> Vec<IpAddr> {
    let mut own = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut others = BTreeSet::new();
    for record in each::<NodePlan>(view, "nodeplans") {
        let network = record.spec.assignment.and_then(|it| it.network);
        let address = network.and_then(|network| address(network.address.as_deref()));
        let whose = if record.spec.node.as_str() == node {
            &mut own
        } else {
            &mut others
        };
        whose.extend(address);
    }
    for network in each::<Network>(view, "networks") {
        for host in network
            .status
            .map(|status| status.hosts)
            .unwrap_or_default()
        {
            let whose = if host.node.as_str() == node {
                &mut seen
            } else {
                &mut others
            };
            whose.extend(address(host.address.as_deref()));
        }
    }
    own.extend(seen.difference(&others));
    own.into_iter().collect()
}

/// Without its prefix.
fn address(written: Option<&str>) -> Option<IpAddr> {
    written?.split('/').next()?.parse().ok()
}

/// What cannot be read says nothing about addresses.
fn each<T: DeserializeOwned>(view: &View, bucket: &str) -> impl Iterator<Item = T> {
    entries(view, bucket).filter_map(|(_, stored)| serde_json::from_slice(&stored.value).ok())
}
