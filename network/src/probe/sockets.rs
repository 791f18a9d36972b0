use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddr, SocketFlags, SocketType, bind, ipproto,
    recvfrom, sendto, socket_with,
};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Larger than any packet of a network.
const LARGEST: usize = 65_536;

/// What ICMP goes over, from one address of this host, in packets that nobody on the way may cut.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// It fails while the host does not have the address.
    pub(super) fn open(own: IpAddr) -> io::Result<Self> {
        let (family, protocol) = match own {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let file = socket_with(family, SocketType::RAW, flags, Some(protocol))?;
        match own {
            IpAddr::V4(_) => set_ip_mtu_discover(&file, Ipv4PathMtuDiscovery::PROBE)?,
            IpAddr::V6(_) => set_ipv6_mtu_discover(&file, Ipv6PathMtuDiscovery::PROBE)?,
        }
        bind(&file, &std::net::SocketAddr::new(own, 0))?;
        Ok(Self(file))
    }

    pub(super) fn send(&self, to: IpAddr, bytes: &[u8]) -> io::Result<()> {
        let to = std::net::SocketAddr::new(to, 0);
        sendto(&self.0, bytes, SendFlags::DONTWAIT, &to)?;
        Ok(())
    }

    /// What came, with its sender; none when there is nothing more.
    pub(super) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<Option<IpAddr>> {
        buffer.resize(LARGEST, 0);
        loop {
            match recvfrom(&self.0, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((_, length, from)) => {
                    buffer.truncate(length);
                    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                    return Ok(from.map(|from| from.ip()));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits until something came to one of them, or for so long.
pub(super) fn wait<'s>(
    sockets: impl Iterator<Item = &'s Socket>,
    longest: Duration,
) -> io::Result<()> {
    let mut ready: Vec<PollFd<'_>> = sockets
        .map(|socket| PollFd::new(&socket.0, PollFlags::IN))
        .collect();
    let longest = Timespec {
        tv_sec: i64::try_from(longest.as_secs()).unwrap_or(1),
        tv_nsec: i64::from(longest.subsec_nanos()),
    };
    match poll(&mut ready, Some(&longest)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
