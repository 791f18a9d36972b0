use super::request::requests;
use super::socket::{dump, together};
use super::words;
use crate::firewall::{Nft, NftError, Table};
use crate::kernel::{Kernel, KernelError};
use crate::model::{Address, Host, Kind, Link, LinkName, Mark, Route, Seen};
use crate::plan::Step;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoBond, InfoBondPort, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVlan,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MiiStatus,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The mark of our routes: their protocol.
pub(super) const PROTOCOL: u8 = 81;

/// This machine's kernel, in the network namespace of whoever asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

/// Interfaces by number.
pub(super) type Numbers = BTreeMap<LinkName, u32>;

impl Kernel for Machine {
    fn observe(&self) -> Result<Host, KernelError> {
        read().map(|(host, _)| host).map_err(|source| KernelError {
            what: "say which interfaces there are".to_owned(),
            source,
        })
    }

    fn carry_out(&self, step: &Step) -> Result<(), KernelError> {
        let refused = |what: String| move |source: io::Error| KernelError { what, source };
        let (_, mut numbers) = read().map_err(refused(step.to_string()))?;
        let mut asked = Vec::new();
        let mut words = Vec::new();
        for change in &step.changes {
            for request in requests(change, &mut numbers).map_err(refused(change.to_string()))? {
                asked.push(request);
                words.push(change.to_string());
            }
        }
        let answers = together(asked).map_err(refused(step.to_string()))?;
        for (answer, what) in answers.into_iter().zip(words) {
            answer.map_err(refused(what))?;
        }
        Ok(())
    }

    fn firewall(&self) -> Result<Option<String>, NftError> {
        Nft::default().mark()
    }

    fn guard(&self, table: &Table) -> Result<(), NftError> {
        Nft::default().set(table)
    }
}

fn read() -> io::Result<(Host, Numbers)> {
    let mut host = Host::default();
    let mut names: BTreeMap<u32, LinkName> = BTreeMap::new();
    let mut found = Vec::new();
    for message in dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(message) = message
            && let Some(name) = name(&message)
        {
            names.insert(message.header.index, name.clone());
            found.push((name, message));
        }
    }
    for (name, message) in found {
        let link = link(&name, &message, &names);
        host.links.insert(name, link);
    }
    for message in dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(address) = address(&message)
            && let Some(name) = names.get(&message.header.index)
            && let Some(link) = host.links.get_mut(name)
        {
            link.addresses.push(address);
            if is_doubled(&message) {
                link.seen.doubled.push(address);
            }
        }
    }
    for message in dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()))? {
        if let RouteNetlinkMessage::NewRoute(message) = message
            && let Some(route) = route(&message, &names)
        {
            host.routes.insert(route);
        }
    }
    let numbers = names.into_iter().map(|(number, name)| (name, number));
    Ok((host, numbers.collect()))
}

fn name(message: &LinkMessage) -> Option<LinkName> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })
}

fn link(name: &str, message: &LinkMessage, names: &BTreeMap<u32, LinkName>) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        kind: Kind::Physical,
        mark: Mark::None,
        up: flags.contains(LinkFlags::Up),
        mtu: 0,
        master: None,
        path_cost: None,
        addresses: Vec::new(),
        seen: Seen {
            carrier: flags.contains(LinkFlags::LowerUp),
            path: path(name),
            ..Seen::default()
        },
    };
    if flags.contains(LinkFlags::Loopback) {
        link.kind = Kind::Other("loopback".to_owned());
    }
    let mut present = None;
    let mut below = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::IfAlias(alias) => link.mark = Mark::from_alias(alias),
            LinkAttribute::Controller(master) => link.master = names.get(master).cloned(),
            LinkAttribute::Link(number) => below = names.get(number).cloned(),
            LinkAttribute::Address(bytes) => present = mac(bytes),
            LinkAttribute::PermAddress(bytes) => link.seen.mac = mac(bytes),
            LinkAttribute::CarrierDownCount(count) => link.seen.downs = Some(*count),
            LinkAttribute::Stats64(count) => {
                link.seen.packets = Some(count.rx_packets.saturating_add(count.tx_packets));
                link.seen.errors = Some(count.rx_errors.saturating_add(count.tx_errors));
            }
            LinkAttribute::LinkInfo(infos) => info(&mut link, infos, names),
            _ => {}
        }
    }
    if let (Kind::Vlan { parent, .. }, Some(below)) = (&mut link.kind, below) {
        *parent = below;
    }
    if is_plugged_in(&link) {
        link.seen.speed = speed(name);
        link.seen.half_duplex = half_duplex(name);
    }
    link.seen.answers.clone_from(&present);
    link.seen.mac = link.seen.mac.or(present);
    link
}

fn info(link: &mut Link, infos: &[LinkInfo], names: &BTreeMap<u32, LinkName>) {
    for info in infos {
        match info {
            LinkInfo::Kind(InfoKind::Bond | InfoKind::Bridge | InfoKind::Vlan) => {}
            LinkInfo::Kind(kind) => link.kind = Kind::Other(kind.to_string()),
            LinkInfo::Data(InfoData::Bond(data)) => {
                let (mut options, primary) = words::bond(data);
                options.primary = primary.and_then(|primary| names.get(&primary).cloned());
                link.kind = Kind::Bond(options);
                link.seen.active = data.iter().find_map(|one| match one {
                    InfoBond::ActivePort(number) => names.get(number).cloned(),
                    _ => None,
                });
            }
            LinkInfo::Data(InfoData::Bridge(data)) => link.kind = Kind::Bridge(words::bridge(data)),
            LinkInfo::Data(InfoData::Vlan(data)) => {
                let id = data.iter().find_map(|one| match one {
                    InfoVlan::Id(id) => Some(*id),
                    _ => None,
                });
                link.kind = Kind::Vlan {
                    parent: LinkName::new(),
                    id: id.unwrap_or(0),
                };
            }
            LinkInfo::PortData(InfoPortData::BondPort(data)) => {
                for one in data {
                    match one {
                        InfoBondPort::LinkFailureCount(count) => link.seen.failures = Some(*count),
                        InfoBondPort::MiiStatus(status) => {
                            link.seen.usable = Some(*status == MiiStatus::Up);
                        }
                        InfoBondPort::PermHwaddr(bytes) => {
                            link.seen.mac = mac(bytes).or(link.seen.mac.take());
                        }
                        _ => {}
                    }
                }
            }
            LinkInfo::PortData(InfoPortData::BridgePort(data)) => {
                link.path_cost = data.iter().find_map(|one| match one {
                    InfoBridgePort::Cost(cost) => Some(*cost),
                    _ => None,
                });
            }
            _ => {}
        }
    }
}

pub(super) fn mac(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() || bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(words.join(":"))
}

/// Where a card is plugged in, as the kernel's tree of devices says.
fn path(name: &str) -> Option<String> {
    let device = std::fs::read_link(format!("/sys/class/net/{name}/device")).ok()?;
    let subsystem = std::fs::read_link(format!("/sys/class/net/{name}/device/subsystem")).ok()?;
    let place = device.file_name()?.to_str()?;
    Some(format!("{}-{place}", subsystem.file_name()?.to_str()?))
}

/// Whether it has a far end that it agrees with on a speed. A guest's TAP has none.
fn is_plugged_in(link: &Link) -> bool {
    let made_up = match &link.kind {
        Kind::Other(kind) => kind == "tun" || kind == "loopback",
        kind => kind.is_made(),
    };
    link.seen.carrier && !made_up
}

/// In Mbit/s; the kernel's tree of devices has -1 for one that has none.
fn speed(name: &str) -> Option<u32> {
    let speed = std::fs::read_to_string(format!("/sys/class/net/{name}/speed")).ok()?;
    speed.trim().parse().ok().filter(|speed| *speed > 0)
}

fn half_duplex(name: &str) -> Option<bool> {
    let duplex = std::fs::read_to_string(format!("/sys/class/net/{name}/duplex")).ok()?;
    match duplex.trim() {
        "half" => Some(true),
        "full" => Some(false),
        _ => None,
    }
}

fn address(message: &AddressMessage) -> Option<Address> {
    if !matches!(
        message.header.scope,
        AddressScope::Universe | AddressScope::Site
    ) {
        return None;
    }
    let mut plain = None;
    let mut local = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => plain = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            _ => {}
        }
    }
    Some(Address {
        ip: local.or(plain)?,
        prefix: message.header.prefix_len,
    })
}

fn is_doubled(message: &AddressMessage) -> bool {
    let header = &message.header.flags;
    let mut flags = message
        .attributes
        .iter()
        .filter_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(flags),
            _ => None,
        });
    header.contains(AddressHeaderFlags::Dadfailed)
        || flags.any(|flags| flags.contains(AddressFlags::Dadfailed))
}

fn route(message: &RouteMessage, names: &BTreeMap<u32, LinkName>) -> Option<Route> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let mut to = None;
    let mut via = None;
    let mut link = None;
    let mut metric = 0;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(number) => link = names.get(number).cloned(),
            RouteAttribute::Priority(value) => metric = *value,
            _ => {}
        }
    }
    let via = via?;
    let nowhere = match via {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Some(Route {
        to: Address {
            ip: to.unwrap_or(nowhere),
            prefix: header.destination_prefix_length,
        },
        via,
        link: link?,
        metric,
        ours: header.protocol == RouteProtocol::Other(PROTOCOL),
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}
