use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// The kernel answers in microseconds; this is for a machine that is nearly dead.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// How often a table is read again that changed meanwhile.
const AGAIN: usize = 5;

/// RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE.
const GROUPS: [u32; 5] = [1, 5, 7, 9, 11];

/// A request with its flags beside NLM_F_REQUEST and NLM_F_ACK.
pub(super) type Request = (RouteNetlinkMessage, u16);

/// Reads a table of the kernel's. What cannot be understood of it is left out.
pub(super) fn dump(request: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    for _ in 0..AGAIN {
        if let Some(found) = dump_once(request)? {
            return Ok(found);
        }
    }
    Err(io::Error::other("it changes faster than it can be read"))
}

fn dump_once(request: &RouteNetlinkMessage) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
    const INTERRUPTED: u16 = netlink_packet_core::NLM_F_DUMP_INTR;
    let socket = open()?;
    socket.send(&bytes(request.clone(), NLM_F_REQUEST | NLM_F_DUMP, 1), 0)?;
    let mut found = Vec::new();
    let mut whole = true;
    loop {
        for part in receive(&socket)? {
            match part {
                Ok(message) => {
                    whole &= message.header.flags & INTERRUPTED == 0;
                    match message.payload {
                        NetlinkPayload::Done(_) => return Ok(whole.then_some(found)),
                        NetlinkPayload::Error(error) => return Err(error.to_io()),
                        NetlinkPayload::InnerMessage(inner) => found.push(inner),
                        _ => {}
                    }
                }
                Err(words) => tracing::warn!(words, "an entry of the kernel's is not understood"),
            }
        }
    }
}

/// Sends all requests in one datagram. Says what came of each, in their order.
pub(super) fn together(requests: Vec<Request>) -> io::Result<Vec<io::Result<()>>> {
    let socket = open()?;
    let mut datagram = Vec::new();
    let asked = requests.len();
    for (number, (message, flags)) in (1_u32..).zip(requests) {
        let one = bytes(message, NLM_F_REQUEST | NLM_F_ACK | flags, number);
        datagram.extend_from_slice(&one);
        // Each begins at a multiple of four.
        datagram.resize(datagram.len().next_multiple_of(4), 0);
    }
    socket.send(&datagram, 0)?;
    let mut answers: Vec<io::Result<()>> = Vec::new();
    while answers.len() < asked {
        for part in receive(&socket)? {
            let message = part.map_err(io::Error::other)?;
            if let NetlinkPayload::Error(answer) = message.payload {
                answers.push(match answer.code {
                    None => Ok(()),
                    Some(_) => Err(answer.to_io()),
                });
            }
        }
    }
    Ok(answers)
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_cap_ack(true)?;
    Ok(socket)
}

fn bytes(message: RouteNetlinkMessage, flags: u16, number: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = number;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

type Part = Result<NetlinkMessage<RouteNetlinkMessage>, String>;

/// One datagram, cut into its messages.
fn receive(socket: &Socket) -> io::Result<Vec<Part>> {
    let mut ready = [PollFd::new(socket, PollFlags::IN)];
    if poll(&mut ready, Some(&PATIENCE))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let (datagram, _) = socket.recv_from_full()?;
    let mut rest = datagram.as_slice();
    let mut parts = Vec::new();
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let Some(one) = rest.get(..length).filter(|one| one.len() >= 16) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        parts.push(NetlinkMessage::deserialize(one).map_err(|error| error.to_string()));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(parts)
}

/// Says that something changed: links, addresses, routes.
#[derive(Debug)]
pub struct Watch(Socket);

impl Watch {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn begin() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Takes everything that was said. Which it was does not matter: one looks again.
    ///
    /// # Errors
    /// When the socket is broken. That some of it was lost is no error.
    pub fn drain(&self) -> io::Result<bool> {
        /// ENOBUFS: the kernel said more than fitted.
        const OVERRUN: i32 = 105;
        let mut any = false;
        loop {
            match self.0.recv_from_full() {
                Ok(_) => any = true,
                Err(error) if error.raw_os_error() == Some(OVERRUN) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
