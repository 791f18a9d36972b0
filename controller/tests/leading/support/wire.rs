//! Heartbeats and the members' questions, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use quorate_controller::{
    brain::Brain,
    detector::{Datagrams, Origin},
    members::{CallError, MemberCalls},
};
use quorate_proto::{
    heartbeat::{Beat, MAX_LENGTH},
    member::v1::{HeardReply, HeardRequest, RunAgentReply, RunAgentRequest},
};
use quorate_store::MemberId;
use tokio::sync::mpsc;

type Packet = (Vec<u8>, u16);

/// Who is where, and who does not hear whom.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    members: BTreeMap<MemberId, mpsc::UnboundedSender<Packet>>,
    brains: BTreeMap<MemberId, Brain>,
    hosts: BTreeMap<u16, mpsc::UnboundedSender<Vec<u8>>>,
    /// This member does not hear that host.
    deaf: BTreeSet<(MemberId, u16)>,
    /// What this host says on that ring is lost.
    silent: BTreeSet<(u16, u8)>,
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().expect("not poisoned")
    }

    /// The socket of a member that starts.
    pub(crate) fn member(&self, id: MemberId) -> Socket {
        let (sender, inbox) = mpsc::unbounded_channel();
        self.lock().members.insert(id, sender);
        Socket {
            wire: self.clone(),
            inbox,
        }
    }

    pub(crate) fn answer_by(&self, id: MemberId, brain: Brain) {
        self.lock().brains.insert(id, brain);
    }

    pub(crate) fn take_down(&self, id: MemberId) {
        let mut ends = self.lock();
        ends.members.remove(&id);
        ends.brains.remove(&id);
    }

    /// Where a host's grants arrive.
    pub(crate) fn host(&self, number: u16) -> mpsc::UnboundedReceiver<Vec<u8>> {
        let (sender, inbox) = mpsc::unbounded_channel();
        self.lock().hosts.insert(number, sender);
        inbox
    }

    pub(crate) fn deafen(&self, member: MemberId, host: u16, deaf: bool) {
        let mut ends = self.lock();
        if deaf {
            ends.deaf.insert((member, host));
        } else {
            ends.deaf.remove(&(member, host));
        }
    }

    pub(crate) fn hear_all(&self) {
        self.lock().deaf.clear();
    }

    pub(crate) fn silence_ring(&self, host: u16, ring: u8, silent: bool) {
        let mut ends = self.lock();
        if silent {
            ends.silent.insert((host, ring));
        } else {
            ends.silent.remove(&(host, ring));
        }
    }

    /// A host says something to all members.
    pub(crate) fn say(&self, host: u16, datagram: &[u8]) {
        let ends = self.lock();
        let ring = Beat::decode(datagram).map(|beat| beat.ring);
        if ring.is_ok_and(|ring| ends.silent.contains(&(host, ring))) {
            return;
        }
        for (id, member) in &ends.members {
            if !ends.deaf.contains(&(*id, host)) {
                // A member that is going down hears nothing.
                let _ = member.send((datagram.to_vec(), host));
            }
        }
    }

    /// The member that leads and knows it.
    pub(crate) fn leader(&self) -> Option<Brain> {
        self.lock()
            .brains
            .values()
            .find(|brain| brain.leads())
            .cloned()
    }
}

/// A member's end of the wire.
pub(crate) struct Socket {
    wire: Wire,
    inbox: mpsc::UnboundedReceiver<Packet>,
}

impl Datagrams for Socket {
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<io::Result<(usize, Origin)>> {
        self.inbox.poll_recv(context).map(|packet| {
            let (datagram, host) = packet.ok_or(io::ErrorKind::NotConnected)?;
            buffer[..datagram.len()].copy_from_slice(&datagram);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, host));
            Ok((datagram.len(), Origin { socket: 0, address }))
        })
    }

    fn send(&mut self, datagram: &[u8], to: Origin) {
        if let Some(host) = self.wire.lock().hosts.get(&to.address.port()) {
            let _ = host.send(datagram.to_vec());
        }
    }
}

/// A member asks another one.
pub(crate) struct Calls(pub(crate) Wire);

impl MemberCalls for Calls {
    fn heard(
        &self,
        member: MemberId,
        request: HeardRequest,
    ) -> BoxFuture<'static, Result<HeardReply, CallError>> {
        let brain = self.0.lock().brains.get(&member).cloned();
        async move {
            let away = CallError::NoAnswer {
                member,
                reason: "it is down".to_owned(),
            };
            brain.map(|brain| brain.heard(&request)).ok_or(away)
        }
        .boxed()
    }

    fn run_agent(
        &self,
        _member: MemberId,
        _request: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, CallError>> {
        unreachable!("the stories' agents reach every device")
    }
}
