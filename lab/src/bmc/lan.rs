//! The BMC's network port: passes datagrams on, tells the timeline who logs in, and can fall silent.

use std::collections::HashMap;
use std::net::SocketAddr;
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
            if let Some(user) = login(datagram) {
                bmc.log(format!("{} logs in as {user:?}", peer.ip()));
            }
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
                let _ = outer.send_to(&buffer[..length], peer).await;
            }
        }
    });
    Ok(inner)
}

/// The user who asks for a session: RMCP+ says the name in clear, in the first message of its key exchange.
fn login(datagram: &[u8]) -> Option<String> {
    const RMCP_IPMI: [u8; 4] = [6, 0, 0xff, 7];
    const RMCP_PLUS: u8 = 6;
    const RAKP_MESSAGE_1: u8 = 0x12;
    // RMCP, format and payload type, session id, sequence number, length: 16 bytes; then 24 fixed bytes of the message.
    let (head, message) = datagram.split_at_checked(16)?;
    if !head.starts_with(&RMCP_IPMI) || head[4] != RMCP_PLUS || head[5] & 0x3f != RAKP_MESSAGE_1 {
        return None;
    }
    let length = usize::from(*message.get(27)?);
    let name = message.get(28..28 + length)?;
    Some(String::from_utf8_lossy(name).into_owned())
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
        assert_eq!(login(&datagram).as_deref(), Some("admin"));
        for length in 0..datagram.len() {
            assert_eq!(login(&datagram[..length]), None);
        }
    }

    #[test]
    fn other_datagrams_are_not_logins() {
        assert_eq!(login(&[6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), None);
        assert_eq!(
            login(b"GET / HTTP/1.1\r\nHost: node1.ipmi\r\n\r\n-------------"),
            None
        );
    }
}
