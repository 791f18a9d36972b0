//! Heartbeats over the simulated wire: the lease process' end and the members' end.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use quorate_controller::detector::{Datagrams, Origin};
use quorate_node_daemon::lease;
use quorate_proto::heartbeat::MAX_LENGTH;

use crate::{
    check::Judge,
    digest,
    executor::{MachineId, ProcessId, Ring, Wire},
    registry::Registry,
};

/// The sockets of the processes that listen.
pub(crate) type Inboxes = Registry<Inbox>;

/// What has arrived at a process, with the machine that sent it and the ring on which it came.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Mutex<Arrived>>);

#[derive(Default)]
struct Arrived {
    datagrams: VecDeque<(Vec<u8>, MachineId, Ring)>,
    reader: Option<Waker>,
    /// A packet filter lets no heartbeat through.
    deaf: bool,
}

/// A socket keeps no more than this; the rest is lost.
const BUFFERED: usize = 256;

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a packet filter keep all heartbeats from the process, or no more.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.lock().deaf = deaf;
    }

    fn is_deaf(&self) -> bool {
        self.lock().deaf
    }

    fn put(&self, datagram: Vec<u8>, from: MachineId, ring: Ring) {
        let mut arrived = self.lock();
        if arrived.datagrams.len() < BUFFERED {
            arrived.datagrams.push_back((datagram, from, ring));
        }
        if let Some(reader) = arrived.reader.take() {
            reader.wake();
        }
    }

    fn poll(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<(usize, MachineId, Ring)> {
        let mut arrived = self.lock();
        let Some((datagram, from, ring)) = arrived.datagrams.pop_front() else {
            arrived.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let length = datagram.len().min(MAX_LENGTH);
        buffer[..length].copy_from_slice(&datagram[..length]);
        Poll::Ready((length, from, ring))
    }
}

/// A process' socket on every ring.
pub(crate) struct Socket {
    pub(crate) wire: Wire,
    pub(crate) inboxes: Inboxes,
    pub(crate) inbox: Inbox,
    pub(crate) machine: MachineId,
    /// All machines, by their numbers.
    pub(crate) machines: Vec<String>,
    /// The processes of the members that the host was told of.
    pub(crate) members: Vec<ProcessId>,
    pub(crate) judge: Judge,
}

impl Socket {
    /// A socket under the name of a process; what came for a former one is gone.
    pub(crate) fn bind(
        process: &str,
        machine: MachineId,
        machines: Vec<String>,
        wire: Wire,
        inboxes: Inboxes,
        judge: Judge,
    ) -> Self {
        let inbox = Inbox::default();
        inboxes.set(process, inbox.clone());
        Self {
            wire,
            inboxes,
            inbox,
            machine,
            machines,
            members: Vec::new(),
            judge,
        }
    }

    fn cast(&self, to: &str, ring: Ring, datagram: &[u8]) {
        let (inboxes, target, from) = (self.inboxes.clone(), to.to_owned(), self.machine);
        let bytes = datagram.to_vec();
        let sender = self.machines.get(from).cloned().unwrap_or_default();
        let label = format!("{sender} > {to}: beat on ring {ring}");
        let (judge, wire) = (self.judge.clone(), self.wire.clone());
        self.wire
            .cast(from, to, ring, &label, digest(datagram), move || {
                if let Some(inbox) = inboxes.get(&target).filter(|inbox| !inbox.is_deaf()) {
                    judge.hears(&target, &sender, wire.now());
                    inbox.put(bytes.clone(), from, ring);
                }
            });
    }
}

impl lease::Wire for Socket {
    fn members_are(&mut self, members: &[lease::Rings]) {
        self.members = members
            .iter()
            .map(|rings| rings.first().map(|a| process_at(a)).unwrap_or_default())
            .collect();
    }

    fn send(&mut self, member: usize, ring: usize, datagram: &[u8]) {
        if let (Some(process), Ok(ring)) = (self.members.get(member), Ring::try_from(ring)) {
            self.cast(process, ring, datagram);
        }
    }

    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<usize> {
        self.inbox.poll(context, buffer).map(|(length, ..)| length)
    }
}

impl Datagrams for Socket {
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<io::Result<(usize, Origin)>> {
        self.inbox
            .poll(context, buffer)
            .map(|(length, from, ring)| Ok((length, origin(from, ring))))
    }

    fn send(&mut self, datagram: &[u8], to: Origin) {
        let IpAddr::V4(address) = to.address.ip() else {
            return;
        };
        let [.., machine] = address.octets();
        if let (Some(machine), Ok(ring)) = (
            self.machines.get(usize::from(machine)),
            Ring::try_from(to.socket),
        ) {
            self.cast(&format!("quorate-lease@{machine}"), ring, datagram);
        }
    }
}

fn origin(machine: MachineId, ring: Ring) -> Origin {
    let number = u8::try_from(machine).unwrap_or(u8::MAX);
    Origin {
        socket: u16::from(ring),
        address: SocketAddr::from((Ipv4Addr::new(10, ring, 0, number), 7443)),
    }
}

/// The process of the member that listens at an address.
pub(crate) fn process_at(address: &str) -> ProcessId {
    let machine = address.split(['.', ':']).next().unwrap_or(address);
    format!("quorated@{machine}")
}
