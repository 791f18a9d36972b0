//! The consensus library's types, as this store fills them in. Nothing outside `raft/`, `state/` and
//! `snapshot/` names them.

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_std;

use crate::{Member, MemberId, state::Reply};

openraft::declare_raft_types!(
    /// One leader per term, a batch of transactions per entry.
    pub(crate) Types:
        D = Proposal,
        R = Reply,
        NodeId = MemberId,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<u64, MemberId>,
);

pub(crate) type LeaderId = leader_id_std::LeaderId<u64, MemberId>;
pub(crate) type Committed = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
pub(crate) type LogId = openraft::LogId<Committed>;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type Membership = openraft::Membership<MemberId, Member>;
pub(crate) type StoredMembership = openraft::StoredMembership<Committed, MemberId, Member>;
pub(crate) type Payload = openraft::EntryPayload<Proposal, MemberId, Member>;
pub(crate) type Entry = openraft::Entry<Committed, Payload>;
pub(crate) type SnapshotMeta = openraft::storage::SnapshotMeta<Committed, MemberId, Member>;

/// A log id of this term and index.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Committed::new(term), index)
}

/// A command, encoded once by whoever proposed it; log, network and state machine pass it on as it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proposal(pub(crate) Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

pub(crate) type AppendRequest = openraft::raft::AppendEntriesRequest<Types>;
pub(crate) type AppendResult = openraft::raft::StreamAppendResult<Types>;
