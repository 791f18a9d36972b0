//! The BMC's network port: passes datagrams on, tells the timeline who asks for a session and gets one, and can fall silent.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;

use super::Bmc;
use crate::error::{LabError, OnFile};
use crate::request::BmcMood;

/// A peer beyond this many is a flood; the oldest are forgotten all at once.
const PEERS: usize = 256;

pub(super) async fn serve(bmc: Arc<Bmc>) -> Result<(), LabError> {
    let address = format!("{}:623", bmc.address());
    let socket = Arc::new(UdpSocket::bind(&address).await.on("bind", &address)?);
    tokio::spawn(async move {
        let mut peers: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut buffer = vec![0; 4096];
        loop {
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            if bmc.mood() == BmcMood::Unreachable {
                continue;
            }
            let datagram = &buffer[..length];
            note(&bmc, peer.ip(), datagram);
            if peers.len() > PEERS {
                peers.clear();
            }
            let inner = match peers.get(&peer) {
                Some(inner) => Arc::clone(inner),
                None => match open(&bmc, &socket, peer).await {
                    Ok(inner) => Arc::clone(peers.entry(peer).or_insert(inner)),
                    Err(_) => continue,
                },
            };
            // A BMC without power refuses; its peer hears nothing.
            let _ = inner.send(datagram).await;
        }
    });
    Ok(())
}

async fn open(
    bmc: &Arc<Bmc>,
    outer: &Arc<UdpSocket>,
    peer: SocketAddr,
) -> std::io::Result<Arc<UdpSocket>> {
    let inner = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    inner.connect(("127.0.0.1", bmc.lan_port())).await?;
    let (bmc, outer, answers) = (Arc::clone(bmc), Arc::clone(outer), Arc::downgrade(&inner));
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Some(inner) = answers.upgrade() {
            let received =
                tokio::time::timeout(std::time::Duration::from_secs(60), inner.recv(&mut buffer))
                    .await;
            if let Ok(Ok(length)) = received
                && bmc.mood() != BmcMood::Unreachable
            {
                note(&bmc, peer.ip(), &buffer[..length]);
                let _ = outer.send_to(&buffer[..length], peer).await;
            }
        }
    });
    Ok(inner)
}

/// What passes by in clear: who asks for a session, and whether it is granted. What is said in one is encrypted.
fn note(bmc: &Arc<Bmc>, peer: IpAddr, datagram: &[u8]) {
    match Passing::read(datagram) {
        Some(Passing::Asks(user)) => bmc.asked(peer, user),
        Some(Passing::Granted) => bmc.granted(peer),
        Some(Passing::Refused(status)) => {
            bmc.log(format!("{peer} is refused over IPMI: status {status:#04x}"));
        }
        Some(Passing::InSession) => bmc.heard(peer),
        None => {}
    }
}

/// A datagram of RMCP+, as far as it is in clear.
#[derive(Debug, PartialEq)]
enum Passing {
    /// The first message of the key exchange, which has the user's name.
    Asks(String),
    /// The last one, from the BMC.
    Granted,
    /// An answer of the BMC that is none.
    Refused(u8),
    /// Something in a session.
    InSession,
}

impl Passing {
    fn read(datagram: &[u8]) -> Option<Passing> {
        const RMCP_IPMI: [u8; 4] = [6, 0, 0xff, 7];
        const RMCP_PLUS: u8 = 6;
        // RMCP, format and payload type, session id, sequence number, length: 16 bytes; then the message, whose second byte is a status.
        let (head, message) = datagram.split_at_checked(16)?;
        if !head.starts_with(&RMCP_IPMI) || head[4] != RMCP_PLUS {
            return None;
        }
        let status = || message.get(1).copied();
        Some(match (head[5] & 0x3f, status()) {
            (0, _) if head[5] & 0xc0 == 0xc0 => Passing::InSession,
            (0x12, _) => {
                let length = usize::from(*message.get(27)?);
                let name = message.get(28..28 + length)?;
                Passing::Asks(String::from_utf8_lossy(name).into_owned())
            }
            (0x15, Some(0)) => Passing::Granted,
            (0x11 | 0x13 | 0x15, Some(status)) if status != 0 => Passing::Refused(status),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_from_the_first_message_of_the_key_exchange() {
        let mut datagram = vec![6, 0, 0xff, 7, 6, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 33, 0];
        datagram.extend([0; 24]);
        datagram.extend([0x14, 0, 0, 5]);
        datagram.extend(b"admin");
        let asks = Passing::Asks("admin".to_owned());
        assert_eq!(Passing::read(&datagram), Some(asks));
        for length in 0..datagram.len() {
            assert_eq!(Passing::read(&datagram[..length]), None);
        }
    }

    #[test]
    fn the_outcome_of_the_key_exchange_is_read_from_both_sides() {
        let message = |kind, status| {
            let mut datagram = vec![6, 0, 0xff, 7, 6, kind, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
            datagram.extend([0, status, 0, 0, 1, 2, 3, 4]);
            Passing::read(&datagram)
        };
        assert_eq!(message(0x15, 0), Some(Passing::Granted));
        assert_eq!(message(0x13, 0x0d), Some(Passing::Refused(0x0d)));
        assert_eq!(message(0x13, 0), None);
        assert_eq!(message(0xc0, 0), Some(Passing::InSession));
    }

    #[test]
    fn other_datagrams_are_not_logins() {
        assert_eq!(
            Passing::read(&[6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
            None
        );
        assert_eq!(
            Passing::read(b"GET / HTTP/1.1\r\nHost: node1.ipmi\r\n\r\n-------------"),
            None
        );
    }
}
