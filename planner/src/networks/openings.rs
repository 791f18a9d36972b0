//! What is open on a network: the ports that its role and its settings use, and to whom.

use super::address;
use crate::round::Round;
use quorate_crds::scalar::Cidr;
use quorate_crds::{
    FirewallAssignment, FirewallService, Network, NetworkRole, PortOpening, Protocol,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Where members are reached unless they say otherwise.
const MEMBERS_PORT: u16 = 7443;
/// At least so many volumes find their ports open.
const VOLUMES: u32 = 1_000;
const DLM: u16 = 21_064;
const SSH: u16 = 22;
/// libvirt's own over TLS, and the one on which QEMU receives.
const MIGRATION: [(u16, u16); 2] = [(16_514, 16_514), (49_152, 49_215)];
const DISPLAY: (u16, u16) = (5_900, 6_155);

/// Where the members are.
#[derive(Default)]
pub(super) struct Members {
    ports: BTreeSet<u16>,
    addresses: BTreeSet<IpAddr>,
    /// Some are known by names that only a name server can tell.
    unknown: bool,
}

impl Members {
    pub(super) fn of(round: &Round<'_>) -> Self {
        let names = names(round);
        let mut all = Self::default();
        let cluster = round.state.cluster.as_ref();
        let status = cluster.and_then(|cluster| cluster.status.as_ref());
        let members = status.into_iter().flat_map(|status| &status.members);
        for address in members.flat_map(|member| &member.addresses) {
            let Some((host, port)) = address.rsplit_once(':') else {
                all.unknown = true;
                continue;
            };
            all.ports.extend(port.parse::<u16>());
            let plain = host.trim_start_matches('[').trim_end_matches(']');
            let known = plain.parse().ok().or_else(|| names.get(plain).copied());
            all.unknown |= known.is_none();
            all.addresses.extend(known);
        }
        if all.ports.is_empty() {
            all.ports.insert(MEMBERS_PORT);
        }
        all
    }

    /// Whether one of them has an address in that subnet; none when that is not known of all of them.
    pub(super) fn within(&self, subnet: &Cidr) -> Option<bool> {
        let known = !self.unknown && !self.addresses.is_empty();
        known.then(|| {
            self.addresses
                .iter()
                .any(|member| contains(subnet, *member))
        })
    }
}

/// The names that hosts know without a name server, and where they lead.
pub(super) fn names(round: &Round<'_>) -> BTreeMap<String, IpAddr> {
    let mut names = BTreeMap::new();
    for (_, network) in round.state.networks.iter() {
        for host in round.hosts.values() {
            let Some((ip, _)) = address(network, host.name, host.node.spec.number) else {
                continue;
            };
            if let Some(suffix) = &network.spec.host_suffix {
                names.insert(format!("{}.{suffix}", host.name), ip);
            }
            if network.spec.role == NetworkRole::BackChannel {
                names.entry(host.name.to_owned()).or_insert(ip);
            }
        }
    }
    names
}

/// What is open on the network; none where the host's firewall is to leave it alone.
pub(super) fn firewall(
    round: &Round<'_>,
    members: &Members,
    name: &str,
    network: &Network,
) -> Option<FirewallAssignment> {
    let spec = &network.spec;
    if !spec.firewall.enabled {
        return None;
    }
    let own: Vec<Cidr> = match spec.firewall.sources.as_slice() {
        [] => spec.subnet.iter().cloned().collect(),
        named => named.to_vec(),
    };
    let mut openings = Vec::new();
    for service in services(round, members, name, network) {
        let of_members = matches!(service, FirewallService::Api | FirewallService::Heartbeat);
        let sources = match of_members {
            // Whoever is not known must not be kept out.
            // Of people, who come from where the manifest says.
            true if spec.role == NetworkRole::InternetFacing && !spec.heartbeat => own.clone(),
            true if members.unknown => Vec::new(),
            true => with_members(&own, members, spec.subnet.as_ref()),
            false => own.clone(),
        };
        // No source is everybody, and that is only meant where members are not known.
        let everybody = of_members
            && members.unknown
            && (spec.role != NetworkRole::InternetFacing || spec.heartbeat);
        if sources.is_empty() && !everybody {
            continue;
        }
        for (protocol, first, last) in ports(round, members, service) {
            openings.push(PortOpening {
                protocol,
                first_port: first.into(),
                last_port: last.into(),
                sources: sources.clone(),
            });
        }
    }
    for port in &spec.firewall.ports {
        openings.push(PortOpening {
            protocol: port.protocol,
            first_port: port.port,
            last_port: port.port,
            sources: spec.firewall.sources.clone(),
        });
    }
    let of_the_cluster = matches!(
        spec.role,
        NetworkRole::BackChannel | NetworkRole::Storage | NetworkRole::Migration
    );
    Some(FirewallAssignment {
        openings,
        closed_to_guests: of_the_cluster && !spec.guest_access,
    })
}

/// What is spoken over the network.
fn services(
    round: &Round<'_>,
    members: &Members,
    name: &str,
    network: &Network,
) -> BTreeSet<FirewallService> {
    use FirewallService::{Api, Dlm, Heartbeat, Migration, Replication, Ssh};
    let spec = &network.spec;
    let mut services: BTreeSet<FirewallService> = spec.firewall.open.iter().copied().collect();
    services.extend::<&[FirewallService]>(match spec.role {
        NetworkRole::BackChannel => &[Api, Heartbeat, Dlm, Migration, Ssh],
        NetworkRole::Storage => &[Replication, Dlm],
        NetworkRole::Migration => &[Migration],
        NetworkRole::InternetFacing => &[],
        NetworkRole::Other => &[Ssh],
    });
    let subnet = spec.subnet.as_ref();
    let has_members = members
        .addresses
        .iter()
        .any(|member| subnet.is_some_and(|subnet| contains(subnet, *member)));
    let may_have = members.unknown && spec.role != NetworkRole::InternetFacing;
    if spec.heartbeat || has_members || may_have {
        services.extend([Api, Heartbeat]);
    }
    let is_named =
        |named: Option<&quorate_crds::Name>| named.is_some_and(|one| one.as_str() == name);
    let settings = &round.settings;
    let by_volume = round
        .state
        .volumes
        .values()
        .any(|volume| is_named(volume.spec.replication.network.as_ref()));
    let falls_back = settings.replication.allow_fallback && spec.role == NetworkRole::BackChannel;
    if by_volume || falls_back || is_named(settings.replication.network.as_ref()) {
        services.insert(Replication);
    }
    if is_named(settings.migration.network.as_ref()) {
        services.insert(Migration);
    }
    services
}

fn ports(
    round: &Round<'_>,
    members: &Members,
    service: FirewallService,
) -> Vec<(Protocol, u16, u16)> {
    let tcp = |first: u16, last: u16| (Protocol::Tcp, first, last);
    let of_members = |protocol| {
        members
            .ports
            .iter()
            .map(move |port| (protocol, *port, *port))
    };
    match service {
        FirewallService::Api => of_members(Protocol::Tcp).collect(),
        FirewallService::Heartbeat => of_members(Protocol::Udp).collect(),
        FirewallService::Replication => {
            let first = round.settings.replication.first_port;
            let taken = round.state.volumes.values();
            let taken = taken.filter_map(|volume| volume.status.as_ref()?.port);
            let last = taken.max().unwrap_or(0).max(first + VOLUMES - 1);
            let port = |port| u16::try_from(port).unwrap_or(u16::MAX);
            vec![tcp(port(first), port(last))]
        }
        FirewallService::Dlm => vec![tcp(DLM, DLM)],
        FirewallService::Migration => MIGRATION.map(|(first, last)| tcp(first, last)).to_vec(),
        FirewallService::Display => vec![tcp(DISPLAY.0, DISPLAY.1)],
        FirewallService::Ssh => vec![tcp(SSH, SSH)],
    }
}

/// Members outside of the subnet, a witness for example, come through a router.
fn with_members(own: &[Cidr], members: &Members, subnet: Option<&Cidr>) -> Vec<Cidr> {
    let mut sources = own.to_vec();
    for member in &members.addresses {
        if subnet.is_some_and(|subnet| contains(subnet, *member)) {
            continue;
        }
        let prefix = if member.is_ipv4() { 32 } else { 128 };
        sources.push(Cidr::from(format!("{member}/{prefix}").as_str()));
    }
    sources
}

fn contains(subnet: &Cidr, address: IpAddr) -> bool {
    let Some((base, prefix)) = subnet.as_str().split_once('/') else {
        return false;
    };
    match (base.parse(), address, prefix.parse::<u32>()) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address), Ok(prefix @ 1..=32)) => {
            (base.to_bits() ^ address.to_bits()) >> (32 - prefix) == 0
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address), Ok(prefix @ 1..=128)) => {
            (base.to_bits() ^ address.to_bits()) >> (128 - prefix) == 0
        }
        (Ok(base), address, Ok(0)) => base.is_ipv4() == address.is_ipv4(),
        _ => false,
    }
}
