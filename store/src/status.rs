use serde::{Deserialize, Serialize};

use crate::{MemberId, Revision};

/// A member's view of the cluster and of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Who says this.
    pub member_id: MemberId,
    /// The cluster.
    pub cluster_id: String,
    /// The line of history.
    pub history_id: String,
    /// The leader, if one is known.
    pub leader: Option<MemberId>,
    /// The Raft term.
    pub term: u64,
    /// Whether a majority was heard lately: for the leader by itself, for others by hearing the leader.
    pub quorum: bool,
    /// The newest applied revision.
    pub revision: Revision,
    /// Views and watches reach back to here.
    pub compacted: Revision,
    /// The last entry in this member's log.
    pub last_index: u64,
    /// The last entry that this member has applied.
    pub applied_index: u64,
    /// The last entry within this member's newest snapshot.
    pub snapshot_index: Option<u64>,
    /// The committed feature level.
    pub feature_level: u32,
    /// All members, by id.
    pub members: Vec<MemberStatus>,
    /// What is wrong with this member's storage, if anything.
    pub storage_problem: Option<String>,
}

/// What a member may do in elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Votes and counts for the majority.
    Voter,
    /// Receives everything, counts for nothing.
    Learner,
}

/// One member as another sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// Voter or learner.
    pub role: Role,
    /// A voter that runs nothing.
    pub witness: bool,
    /// The highest feature level its software supports.
    pub feature_level: u32,
    /// On the leader: how many entries it still lacks.
    pub lag: Option<u64>,
    /// On the leader: whether it answered lately.
    pub reachable: Option<bool>,
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<MemberId>,
    /// The term in which it leads.
    pub term: u64,
    /// It is this member, and it was confirmed by a majority.
    pub is_self: bool,
}
