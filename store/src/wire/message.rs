//! The messages, tag by tag.

use bytes::Bytes;
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbKey {
    #[prost(string, tag = "1")]
    pub(crate) bucket: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbAtRevision {
    #[prost(message, required, tag = "1")]
    pub(crate) key: PbKey,
    #[prost(uint64, tag = "2")]
    pub(crate) revision: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbBucketUnchanged {
    #[prost(string, tag = "1")]
    pub(crate) bucket: String,
    #[prost(uint64, tag = "2")]
    pub(crate) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbCondition {
    #[prost(oneof = "PbConditionKind", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) kind: Option<PbConditionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum PbConditionKind {
    #[prost(message, tag = "1")]
    Absent(PbKey),
    #[prost(message, tag = "2")]
    Present(PbKey),
    #[prost(message, tag = "3")]
    AtRevision(PbAtRevision),
    #[prost(message, tag = "4")]
    BucketUnchanged(PbBucketUnchanged),
    #[prost(uint64, tag = "5")]
    Term(u64),
    #[prost(uint32, tag = "6")]
    FeatureLevel(u32),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbPut {
    #[prost(message, required, tag = "1")]
    pub(crate) key: PbKey,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) expires_at_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbWrite {
    #[prost(oneof = "PbWriteKind", tags = "1, 2")]
    pub(crate) kind: Option<PbWriteKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum PbWriteKind {
    #[prost(message, tag = "1")]
    Put(PbPut),
    #[prost(message, tag = "2")]
    Delete(PbKey),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbTransaction {
    #[prost(message, repeated, tag = "1")]
    pub(crate) conditions: Vec<PbCondition>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) writes: Vec<PbWrite>,
}

/// Transactions side by side, each still encoded: whoever passes them on need not look inside.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbTransactions {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) encoded: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbGenesis {
    #[prost(string, tag = "1")]
    pub(crate) cluster_id: String,
    #[prost(string, tag = "2")]
    pub(crate) history_id: String,
    #[prost(uint32, tag = "3")]
    pub(crate) feature_level: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbNothing {}

/// An entry's command, with the clock of the leader that proposed it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbCommand {
    #[prost(uint64, tag = "1")]
    pub(crate) clock_ms: u64,
    #[prost(oneof = "PbCommandKind", tags = "2, 3, 4, 5, 6")]
    pub(crate) kind: Option<PbCommandKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum PbCommandKind {
    #[prost(message, tag = "2")]
    Transactions(PbTransactions),
    #[prost(message, tag = "3")]
    Genesis(PbGenesis),
    #[prost(message, tag = "4")]
    AllocateMember(PbNothing),
    #[prost(uint32, tag = "5")]
    RaiseFeatureLevel(u32),
    #[prost(message, tag = "6")]
    Expire(PbNothing),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbRefusal {
    #[prost(uint32, tag = "1")]
    pub(crate) condition: u32,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) found: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbOutcome {
    #[prost(uint64, tag = "1")]
    pub(crate) revision: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) time_ms: u64,
    /// Not empty: it was refused.
    #[prost(message, repeated, tag = "3")]
    pub(crate) refusals: Vec<PbRefusal>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbLogId {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbVote {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) member: u64,
    #[prost(bool, tag = "3")]
    pub(crate) committed: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbMember {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) addresses: Vec<String>,
    #[prost(bool, tag = "4")]
    pub(crate) witness: bool,
    #[prost(uint32, tag = "5")]
    pub(crate) feature_level: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbVoters {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbMembership {
    /// Where the membership stands in the log; only in snapshots.
    #[prost(message, optional, tag = "1")]
    pub(crate) log_id: Option<PbLogId>,
    /// One set of voters; two while a change is under way.
    #[prost(message, repeated, tag = "2")]
    pub(crate) voters: Vec<PbVoters>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) members: Vec<PbMember>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbEntry {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) payload: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbAppend {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: PbVote,
    #[prost(message, optional, tag = "2")]
    pub(crate) previous: Option<PbLogId>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) entries: Vec<PbEntry>,
    #[prost(message, optional, tag = "4")]
    pub(crate) committed: Option<PbLogId>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbAppended {
    #[prost(oneof = "PbAppendedKind", tags = "1, 2, 3, 4")]
    pub(crate) kind: Option<PbAppendedKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum PbAppendedKind {
    /// Everything until here is on the disk.
    #[prost(message, tag = "1")]
    Matched(PbLogId),
    /// Nothing needed to be on the disk.
    #[prost(message, tag = "2")]
    Empty(PbNothing),
    #[prost(message, tag = "3")]
    Conflict(PbLogId),
    #[prost(message, tag = "4")]
    HigherVote(PbVote),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbVoteRequest {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: PbVote,
    #[prost(message, optional, tag = "2")]
    pub(crate) last: Option<PbLogId>,
    #[prost(bool, tag = "3")]
    pub(crate) leadership_transfer: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbVoteResponse {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: PbVote,
    #[prost(bool, tag = "2")]
    pub(crate) granted: bool,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<PbLogId>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbTransfer {
    #[prost(message, required, tag = "1")]
    pub(crate) from: PbVote,
    #[prost(uint64, tag = "2")]
    pub(crate) to: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<PbLogId>,
}

/// The answer to a transfer: empty when it was taken up.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbTransferred {
    #[prost(message, optional, tag = "1")]
    pub(crate) vote_found: Option<PbVote>,
    #[prost(bool, tag = "2")]
    pub(crate) behind: bool,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<PbLogId>,
}

/// The first frame of a snapshot stream; the others are the file's bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbSnapshotHead {
    #[prost(message, required, tag = "1")]
    pub(crate) vote: PbVote,
    #[prost(uint64, tag = "2")]
    pub(crate) length: u64,
}

/// The first block of a snapshot or backup.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbSnapshotHeader {
    #[prost(string, tag = "1")]
    pub(crate) cluster_id: String,
    #[prost(string, tag = "2")]
    pub(crate) history_id: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) last: Option<PbLogId>,
    #[prost(message, required, tag = "4")]
    pub(crate) membership: PbMembership,
    #[prost(uint64, tag = "5")]
    pub(crate) revision: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) time_ms: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) next_member_id: u64,
    #[prost(uint32, tag = "8")]
    pub(crate) feature_level: u32,
    #[prost(message, repeated, tag = "9")]
    pub(crate) buckets: Vec<PbBucketUnchanged>,
    #[prost(uint64, repeated, tag = "10")]
    pub(crate) members_ever: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbValue {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
    #[prost(uint64, tag = "3")]
    pub(crate) created: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) modified: u64,
    #[prost(uint64, optional, tag = "5")]
    pub(crate) expires_at_ms: Option<u64>,
}

/// Some values of one bucket.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbValues {
    #[prost(string, tag = "1")]
    pub(crate) bucket: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) values: Vec<PbValue>,
}

/// The last block: what should have come before it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbSnapshotEnd {
    #[prost(uint64, tag = "1")]
    pub(crate) values: u64,
}

/// The leader's answer to forwarded transactions: outcomes in their order, or one problem for all.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbProposed {
    #[prost(message, repeated, tag = "1")]
    pub(crate) outcomes: Vec<PbProposedOutcome>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbProposedOutcome {
    #[prost(oneof = "PbProposedKind", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) kind: Option<PbProposedKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum PbProposedKind {
    #[prost(message, tag = "1")]
    Outcome(PbOutcome),
    /// Nothing was written; somebody else leads.
    #[prost(message, tag = "2")]
    NotLeader(PbNothing),
    /// Nothing was written; there is no majority.
    #[prost(string, tag = "3")]
    NoQuorum(String),
    /// It may have been written.
    #[prost(string, tag = "4")]
    Unknown(String),
    /// Nothing was written.
    #[prost(message, tag = "5")]
    DiskFull(PbDiskFull),
    /// Nothing was written, and nothing will be.
    #[prost(string, tag = "6")]
    Refused(String),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbDiskFull {
    #[prost(uint64, tag = "1")]
    pub(crate) member: u64,
    #[prost(string, tag = "2")]
    pub(crate) detail: String,
}

/// From which log index on a read is linearizable; none when this member does not lead.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PbBarrier {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) index: Option<u64>,
}
