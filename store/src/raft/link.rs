//! A member's way to the others: it signs what goes out and checks who speaks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;

use super::{LogId, Vote};
use crate::{
    Member, MemberId,
    member_file::PeerStarts,
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
}

impl Method {
    const ALL: [Self; 9] = [
        Self::Append,
        Self::Vote,
        Self::PreVote,
        Self::Transfer,
        Self::Snapshot,
        Self::Propose,
        Self::Barrier,
        Self::Change,
        Self::Members,
    ];

    fn number(self) -> u32 {
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
        }
    }
}

pub(crate) struct Link {
    pub(crate) member_id: MemberId,
    pub(crate) history_id: Arc<str>,
    pub(crate) start_counter: u64,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) peers: PeerStarts,
    /// How far each peer said, to this leader, that it has the log on its disk.
    matched: Mutex<BTreeMap<MemberId, (Vote, LogId)>>,
}

impl Link {
    pub(crate) fn new(
        member_id: MemberId,
        history_id: &str,
        start_counter: u64,
        transport: Arc<dyn Transport>,
        peers: PeerStarts,
    ) -> Self {
        Self {
            member_id,
            history_id: history_id.into(),
            start_counter,
            transport,
            peers,
            matched: Mutex::default(),
        }
    }

    pub(crate) fn frame(&self, method: Method, body: Bytes) -> Frame {
        Frame {
            history_id: self.history_id.clone(),
            from: self.member_id,
            start_counter: self.start_counter,
            format: FORMAT,
            method: method.number(),
            body,
        }
    }

    pub(crate) fn message(&self, method: Method, message: &impl Message) -> Frame {
        self.frame(method, Bytes::from(message.encode_to_vec()))
    }

    /// The method and body of a frame from a member that may speak.
    pub(crate) fn check(&self, frame: Frame) -> Result<(Method, Bytes), RefusedFrame> {
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
        Ok((method, frame.body))
    }

    /// The answer's body, if it comes from a member that may speak.
    pub(crate) fn answer(&self, peer: MemberId, frame: Frame) -> Result<Bytes, TransportError> {
        let from = frame.from;
        let refused = |reason| TransportError::Refused {
            member: peer,
            reason,
        };
        let (_, body) = self.check(frame).map_err(|r| refused(r.0))?;
        if from != peer {
            return Err(refused(format!("member {from} answered in its place")));
        }
        Ok(body)
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
        let answer = self
            .transport
            .call(peer, self.frame(method, body), timeout)
            .await?;
        self.answer(id, answer)
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
