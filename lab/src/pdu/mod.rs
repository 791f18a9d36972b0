//! The two network PDUs: what the stock `fence_apc_snmp` talks to. Their SNMP also serves tests that need a PDU of their
//! own.

mod ber;
mod outlets;
mod snmp;

use std::cell::RefCell;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

use crate::description::Feed;
use crate::error::{LabError, OnFile};
use crate::supervisor::Supervisor;
pub use ber::Oid;
use outlets::Outlets;
pub use snmp::{Held, Objects, Reply, answer};

/// The community that may read and switch.
pub const COMMUNITY: &str = "private";

/// Opens the PDU's port and answers until the room ends.
pub(crate) async fn serve(room: Supervisor, feed: Feed) -> Result<(), LabError> {
    let address = format!("{}:161", feed.address());
    let socket = UdpSocket::bind(&address).await.on("bind", &address)?;
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        loop {
            // An error belongs to one peer that has gone; the next datagram may be another's.
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            if let Some(reply) = handle(&room, feed, &buffer[..length], peer).await {
                let _ = socket.send_to(&reply, peer).await;
            }
        }
    });
    Ok(())
}

async fn handle(
    room: &Supervisor,
    feed: Feed,
    datagram: &[u8],
    peer: SocketAddr,
) -> Option<Vec<u8>> {
    let (reply, switched, asked) = room.with_power(|power| {
        if !power.answers(feed) {
            let silence = Reply::Silence("unreachable".to_owned());
            return (silence, Vec::new(), Vec::new());
        }
        let mut outlets = Outlets {
            feed,
            power,
            switched: Vec::new(),
            asked: RefCell::default(),
        };
        let reply = answer(datagram, COMMUNITY.as_bytes(), &mut outlets);
        (reply, outlets.switched, outlets.asked.into_inner())
    });
    let state = |on: bool| if on { "on" } else { "off" };
    // An agent walks over all outlets before it turns to one; only the questions for one tell something.
    if let [(outlet, on)] = asked.as_slice() {
        room.log(
            feed.pdu_name(),
            format!("{} asks for outlet {outlet}: {}", peer.ip(), state(*on)),
        );
    }
    for (outlet, on) in &switched {
        let state = state(*on);
        room.log(
            feed.pdu_name(),
            format!("{} switches outlet {outlet} {state}", peer.ip()),
        );
    }
    if !switched.is_empty() {
        room.power_changed().await;
    }
    match reply {
        Reply::Answer(bytes) => Some(bytes),
        Reply::Silence(reason) => {
            room.log(
                feed.pdu_name(),
                format!("{} is not answered: {reason}", peer.ip()),
            );
            None
        }
    }
}
