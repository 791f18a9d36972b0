use super::super::{Rings, heart::Wire};
use super::resolver::{Resolver, Table};
use super::{LeaseError, system};
use quorate_proto::heartbeat::MAX_LENGTH;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Datagrams to the members. Which ring one takes follows from the address that it is sent to.
#[derive(Debug)]
pub(super) struct UdpWire {
    four: Option<UdpSocket>,
    six: Option<UdpSocket>,
    resolver: Resolver,
    table: Table,
}

impl UdpWire {
    pub(super) fn open() -> Result<Self, LeaseError> {
        let four = bind((Ipv4Addr::UNSPECIFIED, 0).into());
        let six = bind((Ipv6Addr::UNSPECIFIED, 0).into());
        // A host may have either switched off.
        let (four, six) = match (four, six) {
            (Err(error), Err(_)) => {
                return Err(system("cannot open a socket for heartbeats")(error));
            }
            (four, six) => (four.ok(), six.ok()),
        };
        Ok(Self {
            four,
            six,
            resolver: Resolver::start()?,
            table: Table::new(),
        })
    }
}

fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

impl Wire for UdpWire {
    fn members_are(&mut self, members: &[Rings]) {
        self.table = self.resolver.members_are(members);
    }

    fn send(&mut self, member: usize, ring: usize, datagram: &[u8]) {
        let address = self.table.get(member).and_then(|rings| rings.get(ring));
        let Some(address) = address.copied().flatten() else {
            return;
        };
        let socket = if address.is_ipv4() {
            &self.four
        } else {
            &self.six
        };
        if let Some(socket) = socket {
            // A network that is down, or a full buffer, loses this beat; the next one is due soon.
            let _ = socket.try_send_to(datagram, address);
        }
    }

    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<usize> {
        if let Poll::Ready(Some(table)) = self.resolver.poll(context) {
            self.table = table;
            // Asked again, so that the next table wakes this task, too.
            context.waker().wake_by_ref();
        }
        for socket in [&self.four, &self.six].into_iter().flatten() {
            let mut read = ReadBuf::new(buffer);
            if let Poll::Ready(result) = socket.poll_recv(context, &mut read) {
                let length = read.filled().len();
                return Poll::Ready(if result.is_ok() { length } else { 0 });
            }
        }
        Poll::Pending
    }
}
