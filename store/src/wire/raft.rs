//! The consensus library's types to and from our messages.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::{
    PbAppend, PbAppended, PbAppendedKind, PbEntry, PbLogId, PbMember, PbMembership, PbNothing,
    PbTransfer, PbVote, PbVoteRequest, PbVoteResponse, PbVoters, WireError,
};
use crate::{
    Member,
    raft::{
        AppendRequest, AppendResult, Entry, LogId, Membership, Payload, Proposal, StoredMembership,
        Types, Vote, log_id,
    },
};
use openraft::raft::{StreamAppendError, TransferLeaderRequest, VoteRequest, VoteResponse};

/// The first byte of every payload in the log.
const FORMAT: u8 = 1;
const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// An entry's payload as it stands in the log and travels.
pub(crate) fn encode_payload(payload: &Payload) -> Bytes {
    let (kind, body) = match payload {
        Payload::Blank => (BLANK, Bytes::new()),
        Payload::Normal(proposal) => (COMMAND, proposal.0.clone()),
        Payload::Membership(membership) => {
            let message = encode_membership(None, membership);
            (MEMBERSHIP, Bytes::from(message.encode_to_vec()))
        }
    };
    let mut bytes = BytesMut::with_capacity(2 + body.len());
    bytes.put_u8(FORMAT);
    bytes.put_u8(kind);
    bytes.put_slice(&body);
    bytes.freeze()
}

pub(crate) fn decode_payload(bytes: &Bytes) -> Result<Payload, WireError> {
    match (bytes.first(), bytes.get(1)) {
        (Some(&FORMAT), Some(&BLANK)) => Ok(Payload::Blank),
        (Some(&FORMAT), Some(&COMMAND)) => Ok(Payload::Normal(Proposal(bytes.slice(2..)))),
        (Some(&FORMAT), Some(&MEMBERSHIP)) => {
            let message = PbMembership::decode(bytes.slice(2..))?;
            Ok(Payload::Membership(decode_membership(message)?.1))
        }
        _ => Err(WireError::Unknown {
            what: "a log entry",
        }),
    }
}

pub(crate) fn encode_entry(entry: &Entry) -> PbEntry {
    PbEntry {
        term: entry.log_id.leader_id.term,
        index: entry.log_id.index,
        payload: encode_payload(&entry.payload),
    }
}

pub(crate) fn decode_entry(entry: PbEntry) -> Result<Entry, WireError> {
    Ok(Entry {
        log_id: log_id(entry.term, entry.index),
        payload: decode_payload(&entry.payload)?,
    })
}

impl From<&LogId> for PbLogId {
    fn from(id: &LogId) -> Self {
        Self {
            term: id.leader_id.term,
            index: id.index,
        }
    }
}

impl From<&PbLogId> for LogId {
    fn from(id: &PbLogId) -> Self {
        log_id(id.term, id.index)
    }
}

impl From<&Vote> for PbVote {
    fn from(vote: &Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            member: vote.leader_id.voted_for,
            committed: vote.committed,
        }
    }
}

impl From<&PbVote> for Vote {
    fn from(vote: &PbVote) -> Self {
        if vote.committed {
            Self::new_committed(vote.term, vote.member)
        } else {
            Self::new(vote.term, vote.member)
        }
    }
}

pub(crate) fn encode_membership(at: Option<&LogId>, membership: &Membership) -> PbMembership {
    PbMembership {
        log_id: at.map(PbLogId::from),
        voters: membership
            .get_joint_config()
            .iter()
            .map(|set| PbVoters {
                ids: set.iter().copied().collect(),
            })
            .collect(),
        members: membership
            .nodes()
            .map(|(id, member)| PbMember {
                id: *id,
                name: member.name.clone(),
                addresses: member.addresses.clone(),
                witness: member.witness,
                feature_level: member.feature_level,
            })
            .collect(),
    }
}

pub(crate) fn decode_membership(
    message: PbMembership,
) -> Result<(Option<LogId>, Membership), WireError> {
    let voters: Vec<BTreeSet<u64>> = message
        .voters
        .into_iter()
        .map(|set| set.ids.into_iter().collect())
        .collect();
    let members: BTreeMap<u64, Member> = message
        .members
        .into_iter()
        .map(|m| {
            let member = Member {
                name: m.name,
                addresses: m.addresses,
                witness: m.witness,
                feature_level: m.feature_level,
            };
            (m.id, member)
        })
        .collect();
    let membership = Membership::new(voters, members).map_err(|_| WireError::Unknown {
        what: "a membership",
    })?;
    Ok((message.log_id.as_ref().map(LogId::from), membership))
}

pub(crate) fn encode_stored_membership(stored: &StoredMembership) -> PbMembership {
    encode_membership(stored.log_id().as_ref(), stored.membership())
}

pub(crate) fn decode_stored_membership(
    message: PbMembership,
) -> Result<StoredMembership, WireError> {
    if message.log_id.is_none() && message.members.is_empty() {
        return Ok(StoredMembership::default());
    }
    let (at, membership) = decode_membership(message)?;
    Ok(StoredMembership::new(at, membership))
}

pub(crate) fn encode_append(request: &AppendRequest) -> PbAppend {
    PbAppend {
        vote: PbVote::from(&request.vote),
        previous: request.prev_log_id.as_ref().map(PbLogId::from),
        entries: request.entries.iter().map(encode_entry).collect(),
        committed: request.leader_commit.as_ref().map(PbLogId::from),
    }
}

pub(crate) fn decode_append(message: PbAppend) -> Result<AppendRequest, WireError> {
    Ok(AppendRequest {
        vote: Vote::from(&message.vote),
        prev_log_id: message.previous.as_ref().map(LogId::from),
        entries: message
            .entries
            .into_iter()
            .map(decode_entry)
            .collect::<Result<_, _>>()?,
        leader_commit: message.committed.as_ref().map(LogId::from),
    })
}

pub(crate) fn encode_appended(result: &AppendResult) -> PbAppended {
    let kind = match result {
        Ok(Some(id)) => PbAppendedKind::Matched(id.into()),
        Ok(None) => PbAppendedKind::Empty(PbNothing {}),
        Err(StreamAppendError::Conflict(id)) => PbAppendedKind::Conflict(id.into()),
        Err(StreamAppendError::HigherVote(vote)) => PbAppendedKind::HigherVote(vote.into()),
    };
    PbAppended { kind: Some(kind) }
}

pub(crate) fn decode_appended(message: PbAppended) -> Result<AppendResult, WireError> {
    let kind = message.kind.ok_or(WireError::Unknown {
        what: "an answer to replication",
    })?;
    Ok(match kind {
        PbAppendedKind::Matched(id) => Ok(Some(LogId::from(&id))),
        PbAppendedKind::Empty(_) => Ok(None),
        PbAppendedKind::Conflict(id) => Err(StreamAppendError::Conflict(LogId::from(&id))),
        PbAppendedKind::HigherVote(vote) => Err(StreamAppendError::HigherVote(Vote::from(&vote))),
    })
}

impl From<&VoteRequest<Types>> for PbVoteRequest {
    fn from(request: &VoteRequest<Types>) -> Self {
        Self {
            vote: PbVote::from(&request.vote),
            last: request.last_log_id.as_ref().map(PbLogId::from),
            leadership_transfer: request.leadership_transfer,
        }
    }
}

impl From<PbVoteRequest> for VoteRequest<Types> {
    fn from(message: PbVoteRequest) -> Self {
        let mut request = Self::new(
            Vote::from(&message.vote),
            message.last.as_ref().map(LogId::from),
        );
        request.leadership_transfer = message.leadership_transfer;
        request
    }
}

impl From<&VoteResponse<Types>> for PbVoteResponse {
    fn from(response: &VoteResponse<Types>) -> Self {
        Self {
            vote: PbVote::from(&response.vote),
            granted: response.vote_granted,
            last: response.last_log_id.as_ref().map(PbLogId::from),
        }
    }
}

impl From<PbVoteResponse> for VoteResponse<Types> {
    fn from(message: PbVoteResponse) -> Self {
        Self::new(
            Vote::from(&message.vote),
            message.last.as_ref().map(LogId::from),
            message.granted,
        )
    }
}

impl From<&TransferLeaderRequest<Types>> for PbTransfer {
    fn from(request: &TransferLeaderRequest<Types>) -> Self {
        Self {
            from: PbVote::from(request.from_leader()),
            to: *request.to_node_id(),
            last: request.last_log_id().map(PbLogId::from),
        }
    }
}

impl From<PbTransfer> for TransferLeaderRequest<Types> {
    fn from(message: PbTransfer) -> Self {
        Self::new(
            Vote::from(&message.from),
            message.to,
            message.last.as_ref().map(LogId::from),
        )
    }
}
