//! Networks on every host that takes part: what the interface is called, its address, its cards.

mod aspects;
mod clocks;
mod leaving;
mod names;
mod openings;
mod reached;
mod turns;

use crate::outcome::Outcome;
use crate::records::checksum;
use crate::rights::{Answer, Host, answer, observed};
use crate::round::Round;
use crate::state::{ClusterState, Subject, SubjectKind};
use aspects::Aspects;
use names::Names;
use openings::Members;
use quorate_crds::scalar::IpAddress;
use quorate_crds::{
    Addressing, Assignment, FirewallAssignment, HostAlias, Name, Network, NetworkAssignment,
    NetworkHost, NetworkPeer, NetworkRole, NodeMode,
};
use serde_json::json;
use std::net::IpAddr;
use turns::{Turn, Wanted, Wish};

pub(crate) use reached::{Reached, cut_off, lacking, worse};

/// What the kernel allows for an interface's name.
const LONGEST_DEVICE: usize = 15;

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    clocks::plan(round, outcome);
    let members = Members::of(round);
    let names = Names::of(round);
    let mut all = wishes(round, &members, &names);
    let wanted = all.len();
    all.extend(leaving::wishes(round, &members, &all));
    let turns = turns::give(round, &all);
    let mut rest: Vec<(Wish<'_>, Turn)> = all.into_iter().zip(turns).collect();
    let leaving = rest.split_off(wanted);
    let mut rest = rest.into_iter().peekable();
    for one in &leaving {
        leaving::settle(round, outcome, one);
    }
    leaving::tell(round, outcome, &leaving);
    for (name, network) in round.state.networks.iter() {
        let subject = Subject::new(SubjectKind::Network, name);
        let old = network.status.clone().unwrap_or_default();
        let mut status = old.clone();
        // As long as there is no host there is nothing to be said of it.
        if round.hosts.names().next().is_some() {
            status.observed_generation = network.metadata.generation;
        }
        status.hosts.retain(|seen| {
            let host = seen.node.as_str();
            round.hosts.get(host).is_some() && round.state.record(&subject, host).is_some()
        });
        let mut aspects = Aspects::of(name, network);
        for host in round.hosts.values() {
            let record = round.state.record(&subject, host.name);
            let seen = record.and_then(|record| observed(&round.hosts, record));
            if let Some(seen) = seen.and_then(|seen| seen.network.clone()) {
                match status.hosts.iter_mut().find(|one| one.node == seen.node) {
                    Some(one) => *one = seen,
                    None => status.hosts.push(seen),
                }
            }
            aspects.look(host, record, seen);
        }
        while let Some((wish, turn)) = rest.next_if(|(wish, _)| wish.network == name) {
            let host = wish.host.name;
            let untouched = wish.is_left_alone();
            let Wanted::So(assignment) = wish.wanted else {
                continue;
            };
            let written = wish.record.filter(|it| it.spec.assignment.is_some());
            match written {
                Some(_) if untouched => outcome.keep(round.state, &subject, host),
                None if untouched => {}
                _ => {
                    aspects.turn(host, &turn);
                    match turn {
                        Turn::Waits(_) => outcome.keep(round.state, &subject, host),
                        Turn::Free | Turn::Next => {
                            outcome.assign(round.state, &subject, host, *assignment);
                        }
                    }
                }
            }
        }
        for (wish, turn) in leaving.iter().filter(|(wish, _)| wish.network == name) {
            if !wish.is_left_alone() {
                aspects.turn(wish.host.name, turn);
            }
        }
        status.hosts.sort_by(|a, b| a.node.cmp(&b.node));
        if names::carries(network) && names.any() {
            aspects.names(&names.clashes);
        }
        aspects.settle(round, outcome, &mut status);
        outcome.status("Network", name, &old, &status);
    }
}

/// What every network is to be on every host that takes part, network by network.
fn wishes<'r>(round: &'r Round<'_>, members: &Members, names: &Names) -> Vec<Wish<'r>> {
    let mut wishes = Vec::new();
    for (name, network) in round.state.networks.iter() {
        let subject = Subject::new(SubjectKind::Network, name);
        // What is open is the same on every host, and every volume is looked at for it.
        let firewall = openings::firewall(round, members, name, network);
        for host in round.hosts.values() {
            if network.spec.only_listed && listed(network, host.name).is_none() {
                // One that is left alone keeps what it has.
                let untouched = host.mode == NodeMode::Maintenance || !host.online();
                if !untouched || round.state.record(&subject, host.name).is_none() {
                    continue;
                }
            }
            wishes.push(Wish {
                network: name,
                depth: depth(round.state, network),
                host,
                record: round.state.record(&subject, host.name),
                wanted: Wanted::So(Box::new(assignment(
                    round,
                    (name, network),
                    host,
                    firewall.clone(),
                    names.on(round, name, host.name),
                ))),
            });
        }
    }
    wishes
}

fn depth(state: &ClusterState, network: &Network) -> usize {
    let mut parent = network.spec.parent.as_ref();
    // A circle is refused at admission; it must not hang the planner nevertheless.
    for depth in 0..state.networks.values().count() {
        let Some(below) = parent.and_then(|name| state.networks.get(name.as_str())) else {
            return depth;
        };
        parent = below.spec.parent.as_ref();
    }
    0
}

fn listed<'n>(network: &'n Network, host: &str) -> Option<&'n NetworkHost> {
    network
        .spec
        .hosts
        .iter()
        .find(|one| one.node.as_str() == host)
}

fn assignment(
    round: &Round<'_>,
    (name, network): (&str, &Network),
    host: &Host<'_>,
    firewall: Option<FirewallAssignment>,
    names: Vec<HostAlias>,
) -> Assignment {
    let own = listed(network, host.name);
    let nics = match own {
        Some(own) if !own.nics.is_empty() => own.nics.clone(),
        _ => network.spec.nics.clone(),
    };
    let after = network.spec.parent.iter();
    Assignment {
        object: Subject::new(SubjectKind::Network, name).reference(),
        object_generation: network.metadata.generation,
        epoch: 0,
        active: true,
        after: after
            .map(|parent| Subject::new(SubjectKind::Network, parent.as_str()).reference())
            .collect(),
        network: Some(NetworkAssignment {
            device: device(name, network, nics.first().map(|nic| nic.as_str())),
            address: address(network, host.name, host.node.spec.number)
                .map(|(address, prefix)| format!("{address}/{prefix}")),
            layout: Some(layout(network, host, &nics)),
            firewall,
            peers: peers(round, network, host.name),
            changed_before: changed_before(round, (name, network), host.name),
            names,
            nics,
        }),
        storage: None,
        replica: None,
        mount: None,
        guest: None,
        secrets: Vec::new(),
    }
}

/// A digest of everything whose change could cut the host off.
fn layout(network: &Network, host: &Host<'_>, nics: &[quorate_crds::scalar::Label]) -> String {
    let spec = &network.spec;
    let cards: Vec<_> = host
        .node
        .spec
        .nics
        .iter()
        .filter(|card| nics.contains(&card.name))
        .map(|card| (&card.name, &card.mac, &card.path, &card.device))
        .collect();
    let all = json!([
        [
            cards,
            spec.parent,
            spec.vlan,
            spec.mtu,
            spec.bond,
            spec.bridge
        ],
        [spec.subnet, spec.gateway],
        // What is open on it.
        [spec.firewall, spec.role, spec.heartbeat, spec.guest_access],
    ]);
    format!("{:016x}", checksum(&all.to_string()))
}

/// The other hosts that have an address on it.
fn peers(round: &Round<'_>, network: &Network, own: &str) -> Vec<NetworkPeer> {
    let others = round.hosts.values().filter(|host| {
        host.name != own && (!network.spec.only_listed || listed(network, host.name).is_some())
    });
    others
        .filter_map(|host| {
            let (address, _) = address(network, host.name, host.node.spec.number)?;
            Some(NetworkPeer {
                node: host.name.into(),
                address: address.to_string().as_str().into(),
            })
        })
        .take(128)
        .collect()
}

/// The other hosts that are through with this manifest's change. What was written when the host was told of it stays.
fn changed_before(round: &Round<'_>, (name, network): (&str, &Network), own: &str) -> Vec<Name> {
    let subject = Subject::new(SubjectKind::Network, name);
    let generation = network.metadata.generation;
    let written = |host: &str| {
        let record = round.state.record(&subject, host)?;
        let written = record.spec.assignment.as_ref()?;
        (written.active && written.object_generation == generation).then_some((record, written))
    };
    if let Some((_, written)) = written(own) {
        let network = written.network.as_ref();
        return network.map_or_else(Vec::new, |network| network.changed_before.clone());
    }
    let others = round.hosts.values().filter(|host| {
        let through = |(record, _)| answer(record) == Answer::Converged;
        host.name != own && host.online() && written(host.name).is_some_and(through)
    });
    others.map(|host| host.name.into()).take(128).collect()
}

/// The topmost interface: the bridge, or else the VLAN, the bond, the card.
fn device(name: &str, network: &Network, nic: Option<&str>) -> String {
    let spec = &network.spec;
    let plain = match (&spec.bridge, spec.vlan, &spec.bond) {
        (Some(bridge), ..) => bridge.name.clone().unwrap_or_else(|| format!("br-{name}")),
        (None, Some(vlan), _) => format!("{name}.{vlan}"),
        (None, None, Some(bond)) => bond.name.clone().unwrap_or_else(|| format!("bond-{name}")),
        (None, None, None) => nic.unwrap_or(name).to_owned(),
    };
    if plain.len() <= LONGEST_DEVICE {
        return plain;
    }
    let head: String = plain.chars().take(LONGEST_DEVICE - 5).collect();
    format!("{head}-{:04x}", checksum(&plain) & 0xffff)
}

/// A host's address on a network, with the length of the prefix.
fn address(network: &Network, host: &str, number: Option<u32>) -> Option<(IpAddr, u8)> {
    let own = listed(network, host).and_then(|own| own.address.as_ref());
    let (base, prefix) = network.spec.subnet.as_ref()?.as_str().split_once('/')?;
    let (base, prefix): (IpAddr, u8) = (base.parse().ok()?, prefix.parse().ok()?);
    let address = match network.spec.addressing {
        Addressing::None => return None,
        Addressing::Explicit => own?.as_str().parse().ok()?,
        Addressing::NodeNumber => match own {
            Some(own) => own.as_str().parse().ok()?,
            None => nth(base, number?)?,
        },
    };
    Some((address, prefix))
}

/// Node 3 of 10.20.0.0/16 is 10.20.0.3.
fn nth(base: IpAddr, number: u32) -> Option<IpAddr> {
    Some(match base {
        IpAddr::V4(base) => IpAddr::from(u32::from(base).checked_add(number)?.to_be_bytes()),
        IpAddr::V6(base) => IpAddr::from(
            u128::from(base)
                .checked_add(u128::from(number))?
                .to_be_bytes(),
        ),
    })
}

/// Where a host is reached on the network of that name, or else on those of these roles, in this
/// order.
pub(crate) fn addresses(
    round: &Round<'_>,
    host: &str,
    named: Option<&str>,
    roles: &[NetworkRole],
) -> Vec<IpAddress> {
    let reached = |name: &str, network: &Network| -> Option<IpAddress> {
        let seen = round
            .reached
            .seen(name, host)
            .and_then(|seen| Some(IpAddress::from(seen.address.as_deref()?.split('/').next()?)));
        let number = round.hosts.get(host).and_then(|host| host.node.spec.number);
        seen.or_else(|| {
            let (address, _) = address(network, host, number)?;
            Some(IpAddress::from(address.to_string().as_str()))
        })
    };
    if let Some(named) = named {
        let network = round.state.networks.get(named);
        return network
            .and_then(|it| reached(named, it))
            .into_iter()
            .collect();
    }
    for role in roles {
        let found: Vec<IpAddress> = round
            .state
            .networks
            .iter()
            .filter(|(_, network)| network.spec.role == *role)
            .filter_map(|(name, network)| reached(name, network))
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_from_the_beginning_of_the_subnet() {
        let base: IpAddr = "10.20.0.0".parse().expect("an address");
        assert_eq!(nth(base, 3).expect("inside").to_string(), "10.20.0.3");
        let base: IpAddr = "fd00::".parse().expect("an address");
        assert_eq!(nth(base, 300).expect("inside").to_string(), "fd00::12c");
    }

    #[test]
    fn a_device_is_never_longer_than_the_kernel_allows() {
        let network = Network::new(
            "a-network-with-a-long-name",
            quorate_crds::NetworkSpec {
                vlan: Some(100),
                ..Default::default()
            },
        );
        let device = device("a-network-with-a-long-name", &network, None);
        assert_eq!(device.len(), LONGEST_DEVICE, "{device}");
    }
}
