use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use quorate_proto::heartbeat::MAX_LENGTH;
use tokio::{io::ReadBuf, net::UdpSocket};

/// Where a datagram came from, and so where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The socket on which it came.
    pub socket: u16,
    /// The sender.
    pub address: SocketAddr,
}

/// Carries heartbeats: UDP in the product, memory in a simulation.
pub trait Datagrams: Send {
    /// The next datagram: its length in `buffer`, and where it came from. An error is about one datagram only.
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<io::Result<(usize, Origin)>>;

    /// Sends one, or drops it: it is worth nothing a moment later.
    fn send(&mut self, datagram: &[u8], to: Origin);
}

/// UDP sockets, one for each address that the member listens on.
pub struct UdpDatagrams {
    sockets: Vec<UdpSocket>,
    /// The socket that is asked first, so that none starves.
    first: usize,
}

impl UdpDatagrams {
    /// Takes over sockets that are bound and do not block. To be called in the runtime that will use them.
    ///
    /// # Errors
    /// When the system does not let them be watched.
    pub fn new(sockets: Vec<std::net::UdpSocket>) -> io::Result<Self> {
        Ok(Self {
            sockets: sockets
                .into_iter()
                .map(UdpSocket::from_std)
                .collect::<io::Result<_>>()?,
            first: 0,
        })
    }
}

impl Datagrams for UdpDatagrams {
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<io::Result<(usize, Origin)>> {
        let count = self.sockets.len();
        for offset in 0..count {
            let at = (self.first + offset) % count;
            let mut read = ReadBuf::new(buffer);
            if let Poll::Ready(received) = self.sockets[at].poll_recv_from(context, &mut read) {
                self.first = at + 1;
                let length = read.filled().len();
                return Poll::Ready(received.map(|address| {
                    let socket = u16::try_from(at).unwrap_or(u16::MAX);
                    (length, Origin { socket, address })
                }));
            }
        }
        Poll::Pending
    }

    fn send(&mut self, datagram: &[u8], to: Origin) {
        if let Some(socket) = self.sockets.get(usize::from(to.socket))
            && let Err(error) = socket.try_send_to(datagram, to.address)
        {
            tracing::debug!(%error, to = %to.address, "a heartbeat was not answered");
        }
    }
}
