//! A member's way to the others: it signs what goes out and checks who speaks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;

use super::{
    LogId, Vote,
    part::{Part, Ticket},
};
use crate::{
    Member, MemberId,
    member_file::{Identity, PeerStarts, SinceBoot, Succession},
    transport::{Frame, Peer, RefusedFrame, Transport, TransportError},
};

/// The format of every body.
const FORMAT: u32 = 1;

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Entries, or a heartbeat.
    Append,
    Vote,
    PreVote,
    Transfer,
    Snapshot,
    /// Transactions for the leader.
    Propose,
    /// Ask the leader from which log index on a read is linearizable.
    Barrier,
    /// A membership change for the leader.
    Change,
    /// What the asked member knows of the members.
    Members,
    /// What members of one half say to each other when the other half is silent.
    Takeover,
    /// That the history in its body was succeeded by its sender's.
    Succeeded,
}

impl Method {
    const ALL: [Self; 11] = [
        Self::Append,
        Self::Vote,
        Self::PreVote,
        Self::Transfer,
        Self::Snapshot,
        Self::Propose,
        Self::Barrier,
        Self::Change,
        Self::Members,
        Self::Takeover,
        Self::Succeeded,
    ];

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Append => 1,
            Self::Vote => 2,
            Self::PreVote => 3,
            Self::Transfer => 4,
            Self::Snapshot => 5,
            Self::Propose => 6,
            Self::Barrier => 7,
            Self::Change => 8,
            Self::Members => 9,
            Self::Takeover => 10,
            Self::Succeeded => 11,
        }
    }

    /// Whether it is part of replication or election.
    fn is_consensus(self) -> bool {
        matches!(
            self,
            Self::Append | Self::Vote | Self::PreVote | Self::Transfer | Self::Snapshot
        )
    }
}

/// A frame from a member that may speak.
pub(crate) struct Checked {
    pub(crate) from: MemberId,
    pub(crate) from_start: u64,
    /// Whether its sender has heard of this start of this member.
    pub(crate) knows_start: bool,
    pub(crate) method: Method,
    pub(crate) body: Bytes,
    /// Held until the frame has come to its end, if it is one of replication or election.
    pub(crate) ticket: Option<Ticket>,
}

pub(crate) struct Link {
    pub(crate) member_id: MemberId,
    pub(crate) history_id: Arc<str>,
    pub(crate) start_counter: u64,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) peers: PeerStarts,
    pub(crate) since_boot: SinceBoot,
    pub(crate) succession: Succession,
    pub(crate) part: Arc<Part>,
    /// Why another member refused what this one asked last.
    refusal: Mutex<Option<String>>,
    /// How far each peer said, to this leader, that it has the log on its disk.
    matched: Mutex<BTreeMap<MemberId, (Vote, LogId)>>,
}

impl Link {
    pub(crate) fn new(
        identity: &Identity,
        transport: Arc<dyn Transport>,
        peers: PeerStarts,
        since_boot: SinceBoot,
        succession: Succession,
        part: Arc<Part>,
    ) -> Self {
        Self {
            member_id: identity.member_id,
            history_id: identity.history_id.as_str().into(),
            start_counter: identity.start_counter,
            transport,
            peers,
            since_boot,
            succession,
            part,
            refusal: Mutex::default(),
            matched: Mutex::default(),
        }
    }

    pub(crate) fn frame(&self, to: MemberId, method: Method, body: Bytes) -> Frame {
        Frame {
            history_id: self.history_id.clone(),
            from: self.member_id,
            start_counter: self.start_counter,
            format: FORMAT,
            method: method.number(),
            body,
            to_start: self.peers.known(to),
            pledge: self.part.pledge(),
        }
    }

    pub(crate) fn message(&self, to: MemberId, method: Method, message: &impl Message) -> Frame {
        self.frame(to, method, Bytes::from(message.encode_to_vec()))
    }

    /// A frame from a member that may speak.
    pub(crate) fn check(&self, frame: Frame) -> Result<Checked, RefusedFrame> {
        if let Some(reason) = self.succession.reason() {
            return Err(RefusedFrame(reason));
        }
        let (method, frame) = self.checked(frame)?;
        let from = frame.from;
        let entering = || self.part.enter(from, frame.start_counter, frame.pledge);
        let ticket = if method.is_consensus() {
            Some(entering().map_err(RefusedFrame)?)
        } else if method != Method::Takeover && self.part.ignores(from) {
            return Err(RefusedFrame(
                "this member takes part in a takeover and hears its own half alone".to_owned(),
            ));
        } else {
            None
        };
        Ok(Checked {
            from,
            from_start: frame.start_counter,
            knows_start: frame.to_start == self.start_counter,
            method,
            body: frame.body,
            ticket,
        })
    }

    fn checked(&self, frame: Frame) -> Result<(Method, Frame), RefusedFrame> {
        if frame.history_id != self.history_id {
            return Err(RefusedFrame(format!(
                "member {} belongs to history {}, this cluster's history is {}: set its data directory aside \
                 and join it as a new member",
                frame.from, frame.history_id, self.history_id
            )));
        }
        self.peers
            .check(frame.from, frame.start_counter)
            .map_err(RefusedFrame)?;
        if frame.format != FORMAT {
            return Err(RefusedFrame(format!(
                "format {} was found, this member speaks format {FORMAT}: upgrade it",
                frame.format
            )));
        }
        let method = Method::ALL
            .into_iter()
            .find(|m| m.number() == frame.method)
            .ok_or_else(|| {
                RefusedFrame(format!(
                    "call {} is not known to this member: upgrade it",
                    frame.method
                ))
            })?;
        Ok((method, frame))
    }

    /// The answer's body, if it comes from a member that may speak.
    pub(crate) fn answer(&self, peer: MemberId, frame: Frame) -> Result<Bytes, TransportError> {
        let frame = self.spoken(peer, frame)?;
        self.part
            .take_answer(frame.from, frame.start_counter, frame.pledge)
            .map_err(|reason| TransportError::Refused {
                member: peer,
                reason,
            })?;
        Ok(frame.body)
    }

    /// The answer, if it comes from that member and belongs to this history.
    fn spoken(&self, peer: MemberId, frame: Frame) -> Result<Frame, TransportError> {
        let refused = |reason| TransportError::Refused {
            member: peer,
            reason,
        };
        if let Some(reason) = self.succession.reason() {
            return Err(refused(reason));
        }
        let (_, frame) = self.checked(frame).map_err(|r| refused(r.0))?;
        let from = frame.from;
        if from != peer {
            return Err(refused(format!("member {from} answered in its place")));
        }
        Ok(frame)
    }

    /// Whether this member may still say anything to the others.
    pub(crate) fn may_speak(&self, to: MemberId) -> Result<(), TransportError> {
        match self.succession.reason() {
            None => Ok(()),
            Some(reason) => Err(TransportError::Unreachable { member: to, reason }),
        }
    }

    /// Notes why another member refused this one's vote; nothing once one of them was answered.
    pub(crate) fn note_refusal(&self, reason: Option<String>) {
        *self
            .refusal
            .lock()
            .expect("nothing panics while it holds a text") = reason;
    }

    /// Why this member's vote was refused.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal
            .lock()
            .expect("nothing panics while it holds a text")
            .clone()
    }

    /// Asks a peer.
    pub(crate) async fn ask(
        &self,
        peer: Peer,
        method: Method,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let id = peer.id;
        let answer = self.call(peer, method, body, timeout).await?;
        self.answer(id, answer)
    }

    /// Asks a peer something that does not make it one of those that are heard: it may be there, and no use.
    pub(crate) async fn ask_aside(
        &self,
        peer: Peer,
        method: Method,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let id = peer.id;
        let answer = self.call(peer, method, Bytes::new(), timeout).await?;
        Ok(self.spoken(id, answer)?.body)
    }

    async fn call(
        &self,
        peer: Peer,
        method: Method,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Frame, TransportError> {
        self.may_speak(peer.id)?;
        let frame = self.frame(peer.id, method, body);
        self.transport.call(peer, frame, timeout).await
    }

    /// Notes how far a peer has the log on its disk.
    pub(crate) fn note_matched(&self, peer: MemberId, leader: Vote, at: LogId) {
        let mut matched = self.lock();
        let entry = matched.entry(peer).or_insert((leader, at));
        if entry.0 != leader || entry.1 < at {
            *entry = (leader, at);
        }
    }

    /// Whether a peer, by missing this entry, has lost what it said it had.
    pub(crate) fn has_lost(&self, peer: MemberId, leader: Vote, missing: LogId) -> bool {
        self.lock()
            .get(&peer)
            .is_some_and(|(vote, at)| *vote == leader && missing.index <= at.index)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<MemberId, (Vote, LogId)>> {
        self.matched
            .lock()
            .expect("nothing panics while it compares log ids")
    }
}

/// A member of the membership as somebody to call.
pub(crate) fn peer(id: MemberId, member: &Member) -> Peer {
    Peer {
        id,
        addresses: member.addresses.clone(),
    }
}
