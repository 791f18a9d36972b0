use super::observe::{Numbers, PROTOCOL};
use super::socket::Request;
use super::words;
use crate::model::{Address, BondOptions, Change, Kind, Mark, Route};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVlan, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// The requests that a change is. New interfaces get numbers of our choice, so that what follows in the same datagram
/// can name them.
pub(super) fn requests(change: &Change, numbers: &mut Numbers) -> io::Result<Vec<Request>> {
    let set = |message| vec![(RouteNetlinkMessage::SetLink(message), 0)];
    Ok(match change {
        Change::Create(name, kind, mark) => {
            let number = numbers.values().max().copied().unwrap_or(0) + 1;
            let create = create(name, number, kind, numbers)?;
            numbers.insert(name.clone(), number);
            let mut requests = vec![(
                RouteNetlinkMessage::NewLink(create),
                NLM_F_CREATE | NLM_F_EXCL,
            )];
            requests.extend(set(alias(number, mark)));
            requests
        }
        Change::Delete(name) => {
            let message = link(number(numbers, name)?);
            numbers.remove(name);
            vec![(RouteNetlinkMessage::DelLink(message), 0)]
        }
        Change::Mark(name, mark) => set(alias(number(numbers, name)?, mark)),
        Change::Up(name) => set(flag(number(numbers, name)?, LinkFlags::Up)),
        Change::Down(name) => set(flag(number(numbers, name)?, LinkFlags::empty())),
        Change::Mtu(name, mtu) => set(with(number(numbers, name)?, vec![LinkAttribute::Mtu(*mtu)])),
        Change::Join(name, master) => {
            let master = number(numbers, master)?;
            set(with(
                number(numbers, name)?,
                vec![LinkAttribute::Controller(master)],
            ))
        }
        Change::Release(name) => set(with(
            number(numbers, name)?,
            vec![LinkAttribute::Controller(0)],
        )),
        Change::Bond(name, options) => {
            let infos = vec![
                LinkInfo::Kind(InfoKind::Bond),
                bond(options, numbers, false),
            ];
            new_link(number(numbers, name)?, infos)
        }
        Change::Refit(name, options) => {
            let infos = vec![LinkInfo::Kind(InfoKind::Bond), bond(options, numbers, true)];
            new_link(number(numbers, name)?, infos)
        }
        Change::Bridge(name, options) => {
            let data = InfoData::Bridge(words::bridge_data(options));
            let infos = vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(data)];
            new_link(number(numbers, name)?, infos)
        }
        Change::PathCost(name, cost) => {
            let data = InfoPortData::BridgePort(vec![InfoBridgePort::Cost(*cost)]);
            let infos = vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(data),
            ];
            new_link(number(numbers, name)?, infos)
        }
        Change::AddAddress(name, own) => {
            let message = address(number(numbers, name)?, *own);
            vec![(
                RouteNetlinkMessage::NewAddress(message),
                NLM_F_CREATE | NLM_F_REPLACE,
            )]
        }
        Change::RemoveAddress(name, own) => {
            let message = address(number(numbers, name)?, *own);
            vec![(RouteNetlinkMessage::DelAddress(message), 0)]
        }
        Change::SetRoute(way) => {
            let message = route(number(numbers, &way.link)?, way);
            vec![(
                RouteNetlinkMessage::NewRoute(message),
                NLM_F_CREATE | NLM_F_REPLACE,
            )]
        }
        Change::RemoveRoute(way) => {
            let message = route(number(numbers, &way.link)?, way);
            vec![(RouteNetlinkMessage::DelRoute(message), 0)]
        }
    })
}

fn number(numbers: &Numbers, name: &str) -> io::Result<u32> {
    numbers.get(name).copied().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no interface {name}"),
        )
    })
}

fn link(number: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = number;
    message
}

fn with(number: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = link(number);
    message.attributes = attributes;
    message
}

fn alias(number: u32, mark: &Mark) -> LinkMessage {
    with(number, vec![LinkAttribute::IfAlias(mark.to_alias())])
}

fn flag(number: u32, flags: LinkFlags) -> LinkMessage {
    let mut message = link(number);
    message.header.flags = flags;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn new_link(number: u32, infos: Vec<LinkInfo>) -> Vec<Request> {
    let message = with(number, vec![LinkAttribute::LinkInfo(infos)]);
    vec![(RouteNetlinkMessage::NewLink(message), 0)]
}

fn bond(options: &BondOptions, numbers: &Numbers, making: bool) -> LinkInfo {
    let primary = options.primary.as_ref();
    let primary = primary.and_then(|primary| numbers.get(primary)).copied();
    LinkInfo::Data(InfoData::Bond(words::bond_data(options, primary, making)))
}

fn create(name: &str, new: u32, kind: &Kind, numbers: &Numbers) -> io::Result<LinkMessage> {
    let mut attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let infos = match kind {
        Kind::Bond(options) => vec![LinkInfo::Kind(InfoKind::Bond), bond(options, numbers, true)],
        Kind::Bridge(options) => vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(words::bridge_data(options))),
        ],
        Kind::Vlan { parent, id } => {
            attributes.push(LinkAttribute::Link(number(numbers, parent)?));
            vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(*id)])),
            ]
        }
        Kind::Physical | Kind::Other(_) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cards are plugged in, not made",
            ));
        }
    };
    attributes.push(LinkAttribute::LinkInfo(infos));
    Ok(with(new, attributes))
}

fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn address(number: u32, own: Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(own.ip);
    message.header.prefix_len = own.prefix;
    message.header.index = number;
    message.attributes = vec![
        AddressAttribute::Local(own.ip),
        AddressAttribute::Address(own.ip),
    ];
    if let IpAddr::V4(ip) = own.ip
        && own.prefix < 31
    {
        let hosts = u32::MAX.checked_shr(u32::from(own.prefix)).unwrap_or(0);
        let broadcast = Ipv4Addr::from(u32::from(ip) | hosts);
        message
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    message
}

fn route(number: u32, way: &Route) -> RouteMessage {
    let wire = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    };
    let mut message = RouteMessage::default();
    message.header.address_family = family(way.via);
    message.header.destination_prefix_length = way.to.prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    // Somebody else's that is put back after its interface was down is the administrator's still.
    message.header.protocol = if way.ours {
        RouteProtocol::Other(PROTOCOL)
    } else {
        RouteProtocol::Static
    };
    message.attributes = vec![
        RouteAttribute::Gateway(wire(way.via)),
        RouteAttribute::Oif(number),
    ];
    if way.to.prefix > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(wire(way.to.ip)));
    }
    if way.metric > 0 {
        message
            .attributes
            .push(RouteAttribute::Priority(way.metric));
    }
    message
}
