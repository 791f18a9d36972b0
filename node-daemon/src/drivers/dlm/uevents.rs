//! What the kernel tells of lockspaces and of cluster filesystems: that a mount waits to be let in, an unmount to be let
//! out, a filesystem has shut itself down.

use std::io;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// The group of the kernel's own events; udev's are in another.
const OF_THE_KERNEL: u32 = 1;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uevent {
    pub(crate) action: String,
    pub(crate) subsystem: String,
    /// Below /sys.
    pub(crate) path: String,
}

impl Uevent {
    /// The last part of its path: the lockspace, or the lock table.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Reads one: `action@path`, and then fields. What is not one is left out.
pub(crate) fn read(bytes: &[u8]) -> Option<Uevent> {
    let mut parts = bytes.split(|byte| *byte == 0);
    let head = std::str::from_utf8(parts.next()?).ok()?;
    let (action, path) = head.split_once('@')?;
    let subsystem = parts.find_map(|part| {
        let text = std::str::from_utf8(part).ok()?;
        text.strip_prefix("SUBSYSTEM=")
    })?;
    Some(Uevent {
        action: action.to_owned(),
        subsystem: subsystem.to_owned(),
        path: path.to_owned(),
    })
}

/// Listens to them. No pipe, but read like one: each read is one event.
pub(crate) struct Uevents(Receiver);

impl Uevents {
    pub(crate) fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            flags,
            Some(KOBJECT_UEVENT),
        )?;
        bind(&socket, &SocketAddrNetlink::new(0, OF_THE_KERNEL))?;
        Ok(Self(Receiver::from_owned_fd_unchecked(socket)?))
    }

    /// The next one of these subsystems. An error also says that some were lost.
    pub(crate) async fn next(&mut self, subsystems: &[&str]) -> io::Result<Uevent> {
        loop {
            let mut bytes = [0; 8192];
            let received = self.0.read(&mut bytes).await?;
            if let Some(event) = read(&bytes[..received])
                && subsystems.contains(&event.subsystem.as_str())
            {
                return Ok(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_words_are_read() {
        let online = b"online@/kernel/dlm/fs1\0ACTION=online\0DEVPATH=/kernel/dlm/fs1\0SUBSYSTEM=dlm\0LOCKSPACE=fs1\0SEQNUM=875\0";
        let event = read(online).expect("one");
        assert_eq!((event.action.as_str(), event.name()), ("online", "fs1"));
        assert_eq!(event.subsystem, "dlm");
        let gone = b"remove@/fs/gfs2/lab:fs1\0ACTION=remove\0SUBSYSTEM=gfs2\0LOCKTABLE=lab:fs1\0";
        assert_eq!(read(gone).expect("one").name(), "lab:fs1");
        for nothing in [&b""[..], b"libudev\0\xfe\xed", b"add@/x\0ACTION=add\0"] {
            assert_eq!(read(nothing), None);
        }
    }

    #[tokio::test]
    async fn a_machine_can_be_listened_to() {
        Uevents::listen().expect("every process may");
    }
}
