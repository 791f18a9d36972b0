use super::observe::mac;
use super::socket::dump;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

/// The hardware addresses that the kernel sends to for addresses nearby.
///
/// # Errors
/// When the kernel does not say.
pub fn neighbours() -> io::Result<BTreeMap<IpAddr, String>> {
    let table = dump(&RouteNetlinkMessage::GetNeighbour(
        NeighbourMessage::default(),
    ))?;
    let known = table.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewNeighbour(message) => known(&message),
        _ => None,
    });
    Ok(known.collect())
}

fn known(message: &NeighbourMessage) -> Option<(IpAddr, String)> {
    let silent = [
        NeighbourState::None,
        NeighbourState::Incomplete,
        NeighbourState::Failed,
        NeighbourState::Noarp,
    ];
    if silent.contains(&message.header.state) {
        return None;
    }
    let (mut address, mut answers) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some(IpAddr::V4(*ip));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some(IpAddr::V6(*ip));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => answers = mac(bytes),
            _ => {}
        }
    }
    Some((address?, answers?))
}
