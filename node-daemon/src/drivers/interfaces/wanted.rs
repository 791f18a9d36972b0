//! A manifest, as `quorate-network` wants it.

use crate::drivers::{DriverError, NetworkTarget, Trouble};
use quorate_crds::scalar::{Duration, IpAddress};
use quorate_crds::{
    ArpMonitor, ArpValidate, Bond, BondMode, Bridge, FailOverMac, FirewallAssignment, HashPolicy,
    LacpRate, Nic, PortOpening, PrimaryReselect, Protocol,
};
use quorate_network::firewall::{Guard, Opening, Transport};
use quorate_network::model;
use quorate_network::{Card, Wanted};
use std::net::IpAddr;
use std::str::FromStr;

/// What the kernel allows for an interface's name.
const LONGEST: usize = 15;

pub(super) fn wanted(target: &NetworkTarget) -> Result<Wanted, DriverError> {
    let NetworkTarget {
        name,
        spec,
        assignment,
        cards,
    } = target;
    let top = &assignment.device;
    let bridge = match &spec.bridge {
        Some(bridge) => Some((top.clone(), options(bridge)?, bridge.path_cost)),
        None => None,
    };
    let vlan = match spec.vlan {
        Some(id) => {
            let id = u16::try_from(id).map_err(|_| wrong("vlan", &id.to_string()))?;
            let own = device(&format!("{name}.{id}"));
            Some((if bridge.is_some() { own } else { top.clone() }, id))
        }
        None => None,
    };
    let bond = match &spec.bond {
        Some(bond) => {
            let is_top = bridge.is_none() && vlan.is_none();
            let own = || match &bond.name {
                Some(own) => own.clone(),
                None => device(&format!("bond-{name}")),
            };
            Some((if is_top { top.clone() } else { own() }, bonded(bond)?))
        }
        None => None,
    };
    let known =
        |label: &&quorate_crds::scalar::Label| !cards.iter().any(|card| card.name == **label);
    if let Some(label) = assignment.nics.iter().find(known) {
        return Err(DriverError::lasting(
            Trouble::DeviceMissing,
            format!("the host has no card {label}: name it in its Node's spec.nics"),
        ));
    }
    Ok(Wanted {
        network: name.to_string(),
        cards: cards.iter().map(card).collect(),
        parent: spec.parent.as_ref().map(ToString::to_string),
        bond,
        vlan,
        bridge,
        mtu: spec.mtu,
        addresses: match &assignment.address {
            Some(address) => vec![parsed("address", address)?],
            None => Vec::new(),
        },
        gateway: match &spec.gateway {
            Some(gateway) => Some(ip(gateway)?),
            None => None,
        },
        guard: match &assignment.firewall {
            Some(firewall) => Some(guard(firewall)?),
            None => None,
        },
        rollback_after: u64::from(milliseconds("rollbackAfter", &spec.rollback_after)?),
    })
}

fn guard(firewall: &FirewallAssignment) -> Result<Guard, DriverError> {
    let openings: Result<Vec<Opening>, DriverError> =
        firewall.openings.iter().map(opening).collect();
    Ok(Guard {
        openings: openings?,
        closed_to_guests: firewall.closed_to_guests,
    })
}

fn opening(port: &PortOpening) -> Result<Opening, DriverError> {
    let number = |port: u32| u16::try_from(port).map_err(|_| wrong("port", &port.to_string()));
    let sources: Result<Vec<_>, _> = port
        .sources
        .iter()
        .map(|source| parsed("source", source.as_str()))
        .collect();
    Ok(Opening {
        protocol: match port.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        },
        first: number(port.first_port)?,
        last: number(port.last_port)?,
        sources: sources?,
    })
}

fn card(nic: &Nic) -> Card {
    Card {
        name: nic.name.to_string(),
        mac: nic.mac.as_ref().map(ToString::to_string),
        path: nic.path.clone(),
        device: nic.device.clone(),
    }
}

fn bonded(bond: &Bond) -> Result<model::BondOptions, DriverError> {
    let arp = match &bond.arp {
        Some(arp) => Some(watched(arp)?),
        None => None,
    };
    Ok(model::BondOptions {
        mode: match bond.mode {
            BondMode::ActiveBackup => model::BondMode::ActiveBackup,
            BondMode::BalanceRr => model::BondMode::BalanceRr,
            BondMode::BalanceXor => model::BondMode::BalanceXor,
            BondMode::Broadcast => model::BondMode::Broadcast,
            BondMode::Lacp => model::BondMode::Lacp,
            BondMode::BalanceTlb => model::BondMode::BalanceTlb,
            BondMode::BalanceAlb => model::BondMode::BalanceAlb,
        },
        primary: bond.primary.as_ref().map(ToString::to_string),
        primary_reselect: match bond.primary_reselect {
            PrimaryReselect::Always => model::PrimaryReselect::Always,
            PrimaryReselect::Better => model::PrimaryReselect::Better,
            PrimaryReselect::Failure => model::PrimaryReselect::Failure,
        },
        // Asking addresses takes the place of looking at links, with its delays.
        miimon: match arp {
            Some(_) => 0,
            None => milliseconds("bond.linkCheck", &bond.link_check)?,
        },
        use_carrier: bond.use_carrier,
        up_delay: match arp {
            Some(_) => 0,
            None => milliseconds("bond.upDelay", &bond.up_delay)?,
        },
        down_delay: match arp {
            Some(_) => 0,
            None => milliseconds("bond.downDelay", &bond.down_delay)?,
        },
        arp,
        fail_over_mac: match bond.fail_over_mac {
            FailOverMac::None => model::FailOverMac::None,
            FailOverMac::Active => model::FailOverMac::Active,
            FailOverMac::Follow => model::FailOverMac::Follow,
        },
        gratuitous_arps: u8::try_from(bond.gratuitous_arps)
            .map_err(|_| wrong("bond.gratuitousArps", &bond.gratuitous_arps.to_string()))?,
        hash_policy: match bond.hash_policy {
            HashPolicy::Layer2 => model::HashPolicy::Layer2,
            HashPolicy::Layer23 => model::HashPolicy::Layer23,
            HashPolicy::Layer34 => model::HashPolicy::Layer34,
        },
        lacp_rate: match (bond.mode, bond.lacp_rate) {
            (BondMode::Lacp, Some(LacpRate::Fast)) => Some(model::LacpRate::Fast),
            (BondMode::Lacp, _) => Some(model::LacpRate::Slow),
            _ => None,
        },
    })
}

fn watched(arp: &ArpMonitor) -> Result<model::ArpOptions, DriverError> {
    let targets: Result<Vec<_>, _> = arp
        .targets
        .iter()
        .map(|target| parsed("bond.arp.targets", target.as_str()))
        .collect();
    Ok(model::ArpOptions {
        interval: milliseconds("bond.arp.interval", &arp.interval)?,
        targets: targets?,
        validate: match arp.validate {
            ArpValidate::None => model::ArpValidate::None,
            ArpValidate::Active => model::ArpValidate::Active,
            ArpValidate::Backup => model::ArpValidate::Backup,
            ArpValidate::All => model::ArpValidate::All,
        },
    })
}

/// The kernel counts a bridge's times in hundredths of a second.
fn options(bridge: &Bridge) -> Result<model::BridgeOptions, DriverError> {
    let hundredths = |field, duration| Ok(milliseconds(field, duration)? / 10 * 10);
    Ok(model::BridgeOptions {
        stp: bridge.stp,
        forward_delay: hundredths("bridge.forwardDelay", &bridge.forward_delay)?,
        hello_time: hundredths("bridge.helloTime", &bridge.hello_time)?,
        max_age: hundredths("bridge.maxAge", &bridge.max_age)?,
    })
}

fn ip(address: &IpAddress) -> Result<IpAddr, DriverError> {
    parsed("gateway", address.as_str())
}

fn milliseconds(field: &str, duration: &Duration) -> Result<u32, DriverError> {
    let parsed = duration
        .parse()
        .map_err(|error| wrong(field, duration.as_str()).because(error))?;
    u32::try_from(parsed.as_millis()).map_err(|_| wrong(field, duration.as_str()))
}

fn parsed<T: FromStr>(field: &str, text: &str) -> Result<T, DriverError> {
    text.parse().map_err(|_| wrong(field, text))
}

fn wrong(field: &str, text: &str) -> DriverError {
    DriverError::lasting(
        Trouble::NotSupported,
        format!("{field} is {text}, which this host cannot set: correct it in the manifest"),
    )
}

/// A name that the kernel takes: shortened as the planner shortens the topmost one's.
fn device(plain: &str) -> String {
    if plain.len() <= LONGEST {
        return plain.to_owned();
    }
    let head: String = plain.chars().take(LONGEST - 5).collect();
    let sum = plain.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{head}-{:04x}", sum & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crds::{Name, NetworkAssignment, NetworkSpec};
    use std::sync::Arc;

    fn target(spec: NetworkSpec) -> NetworkTarget {
        let nic = |name: &str, device: &str| Nic {
            name: name.into(),
            mac: None,
            path: None,
            device: Some(device.to_owned()),
            board: None,
        };
        NetworkTarget {
            name: Name::from("ifn"),
            spec: Arc::new(spec),
            assignment: NetworkAssignment {
                device: "br0".to_owned(),
                address: Some("10.255.0.1/16".to_owned()),
                nics: vec!["ifn1".into(), "ifn2".into()],
                layout: None,
                firewall: None,
                peers: Vec::new(),
                changed_before: Vec::new(),
                names: Vec::new(),
            },
            cards: vec![nic("ifn1", "eth4"), nic("ifn2", "eth5")],
        }
    }

    #[test]
    fn a_manifest_with_everything_becomes_a_bond_a_vlan_and_a_bridge() {
        let spec = NetworkSpec {
            vlan: Some(100),
            bond: Some(Bond {
                primary: Some("ifn1".into()),
                ..Bond::default()
            }),
            bridge: Some(Bridge::default()),
            gateway: Some("10.255.255.254".into()),
            ..NetworkSpec::default()
        };
        let wanted = wanted(&target(spec)).expect("understood");
        let (bond, options) = wanted.bond.expect("a bond");
        assert_eq!(bond, "bond-ifn");
        assert_eq!(options.miimon, 100);
        assert_eq!(options.up_delay, 120_000);
        assert_eq!(options.primary.as_deref(), Some("ifn1"));
        assert_eq!(wanted.vlan, Some(("ifn.100".to_owned(), 100)));
        let (bridge, options, cost) = wanted.bridge.expect("a bridge");
        assert_eq!((bridge.as_str(), options.stp, cost), ("br0", false, 19));
        assert_eq!(wanted.rollback_after, 30_000);
        assert_eq!(wanted.addresses.len(), 1);
    }

    #[test]
    fn a_bond_that_the_host_has_already_keeps_its_name_below_a_bridge() {
        let spec = NetworkSpec {
            bond: Some(Bond {
                name: Some("bond0".to_owned()),
                ..Bond::default()
            }),
            bridge: Some(Bridge::default()),
            ..NetworkSpec::default()
        };
        let wanted = wanted(&target(spec)).expect("understood");
        assert_eq!(wanted.bond.expect("a bond").0, "bond0");
        assert_eq!(wanted.bridge.expect("a bridge").0, "br0");
    }

    #[test]
    fn a_card_that_the_host_does_not_have_is_named() {
        let mut target = target(NetworkSpec::default());
        target.cards.pop();
        let error = wanted(&target).expect_err("ifn2 is not there");
        assert_eq!(error.trouble(), Trouble::DeviceMissing);
        assert!(error.to_string().contains("ifn2"), "{error}");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert_eq!(device("bond-ifn"), "bond-ifn");
        assert_eq!(device("bond-a-very-long-network").len(), LONGEST);
    }
}
