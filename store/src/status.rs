use bytes::Bytes;
use openraft::{Instant, ServerState, async_runtime::WatchReceiver};
use serde::{Deserialize, Serialize};

use crate::{
    MemberId, Revision,
    raft::{
        change,
        core::Core,
        link::{Method, peer},
    },
};

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
    /// Whether a majority was heard lately: by the leader, as far as it was asked; else by hearing the leader.
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

/// What a member knows, and of the members what the leader knows: only the leader hears all of them.
///
/// When there is no leader, or it does not answer at once, whether members are reachable stays unsaid.
pub(crate) async fn asked(core: &Core) -> StoreStatus {
    let mut status = of(core);
    if let Some(leader) = status.leader.filter(|id| *id != status.member_id)
        && let Some(member) = core.member(leader)
    {
        let patience = core.config.election_timeout;
        let to = peer(leader, &member);
        let answer = core.link.ask(to, Method::Members, Bytes::new(), patience);
        if let Ok(answer) = answer.await
            && let Ok(members) = serde_json::from_slice(&answer)
        {
            status.members = members;
            status.quorum &= is_answered(&status.members);
        }
    }
    status
}

/// Whether a majority answers the leader that says so. A follower hears its leader also when nobody else does.
fn is_answered(members: &[MemberStatus]) -> bool {
    let voters = members.iter().filter(|member| member.role == Role::Voter);
    let (answer, silent): (Vec<_>, Vec<_>) =
        voters.partition(|member| member.reachable != Some(false));
    answer.len() > silent.len()
}

/// What a member knows without asking anybody.
pub(crate) fn of(core: &Core) -> StoreStatus {
    let metrics = core.raft.metrics().borrow_watched().clone();
    let voters: Vec<MemberId> = metrics.membership_config.voter_ids().collect();
    let leads = metrics.state == ServerState::Leader;
    let members = metrics
        .membership_config
        .nodes()
        .map(|(id, member)| MemberStatus {
            id: *id,
            name: member.name.clone(),
            addresses: member.addresses.clone(),
            role: if voters.contains(id) {
                Role::Voter
            } else {
                Role::Learner
            },
            witness: member.witness,
            feature_level: member.feature_level,
            lag: leads.then(|| change::lag(core, *id)).flatten(),
            reachable: leads.then(|| {
                let heard = metrics.heartbeat.as_ref().and_then(|h| *h.get(id)?);
                *id == core.link.member_id
                    || heard.is_some_and(|at| at.elapsed() < core.config.election_timeout * 2)
            }),
        })
        .collect();
    let stopped = metrics
        .running_state
        .as_ref()
        .err()
        .map(ToString::to_string);
    core.shared.look(|state| StoreStatus {
        member_id: core.link.member_id,
        cluster_id: core.identity.cluster_id.clone(),
        history_id: core.identity.history_id.clone(),
        leader: metrics.current_leader,
        term: metrics.current_term,
        quorum: core.has_quorum(),
        revision: state.revision,
        compacted: state.compacted,
        last_index: metrics.last_log_index.unwrap_or(0),
        applied_index: state.applied.map_or(0, |id| id.index),
        snapshot_index: metrics.snapshot.map(|id| id.index),
        feature_level: state.feature_level,
        members,
        storage_problem: stopped.or_else(|| core.storage_problem()),
    })
}
