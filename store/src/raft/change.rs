//! Changes of the membership and of what the whole cluster has agreed on: few, and made by the leader.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use openraft::{
    ChangeMembers,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, RaftError},
};
use serde::{Deserialize, Serialize};

use super::{
    Proposal, Types,
    core::{Core, Way},
    link::{Method, peer},
    takeover,
};
use crate::{
    Member, MemberId, StoreError, Transaction, Write, rt,
    state::{Command, Reply},
    transport::TransportError,
    wire::{encode_command, encode_transaction},
};

/// A learner that lacks no more than this many entries has caught up: what is left takes no time.
pub(crate) const CAUGHT_UP: u64 = 500;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is asked of the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    AllocateMember,
    RaiseFeatureLevel(u32),
    AddLearner(MemberId, Member),
    Promote(MemberId),
    Remove(MemberId),
    Replace(MemberId, MemberId),
    Update(MemberId, Member),
    Transfer(Option<MemberId>),
    /// Not for the leader alone: whether this member's disk has room.
    HasRoom,
}

/// The answer; the number means something for some changes.
type Answer = Result<u64, ChangeError>;

/// Why a change was not made, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeError {
    /// Nothing was done.
    NotLeader,
    NoQuorum(String),
    Unknown(String),
    Member(MemberId, String),
}

impl From<ChangeError> for StoreError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotLeader => Self::NoQuorum {
                reason: "no leader is known".to_owned(),
            },
            ChangeError::NoQuorum(reason) => Self::NoQuorum { reason },
            ChangeError::Unknown(reason) => Self::Unknown { reason },
            ChangeError::Member(member, reason) => Self::Member { member, reason },
        }
    }
}

fn member(id: MemberId, reason: impl Into<String>) -> ChangeError {
    ChangeError::Member(id, reason.into())
}

/// Makes a change, wherever the leader is.
pub(crate) async fn make(core: &Core, change: Change) -> Result<u64, StoreError> {
    let deadline = rt::now() + core.config.propose_timeout;
    loop {
        let reason = match core.way() {
            Way::Here | Way::Full(_) => match lead(core, change.clone()).await {
                Err(ChangeError::NotLeader) => "the leader changed".to_owned(),
                answer => return Ok(answer?),
            },
            Way::There(leader) => match ask(core, leader, &change).await? {
                Err(ChangeError::NotLeader) => "the leader changed".to_owned(),
                answer => return Ok(answer?),
            },
            Way::Wait(reason) => reason,
        };
        if rt::now() >= deadline || *core.stop.borrow() {
            return Err(StoreError::NoQuorum { reason });
        }
        rt::sleep(LOOK_AGAIN).await;
    }
}

async fn ask(core: &Core, to: MemberId, change: &Change) -> Result<Answer, StoreError> {
    let Some(there) = core.member(to) else {
        return Ok(Err(ChangeError::NotLeader));
    };
    let body = serde_json::to_vec(change).map_err(|e| StoreError::Io(e.into()))?;
    // Longer than the leader itself takes, so that usually it is the leader who says what happened.
    let timeout = core.config.propose_timeout * 3;
    let asked = core
        .link
        .ask(peer(to, &there), Method::Change, body.into(), timeout);
    match asked.await {
        Ok(answer) => serde_json::from_slice(&answer).map_err(|e| StoreError::Unknown {
            reason: format!("the leader's answer was unreadable: {e}"),
        }),
        Err(TransportError::Unreachable { .. } | TransportError::Refused { .. }) => {
            Ok(Err(ChangeError::NotLeader))
        }
        Err(lost @ TransportError::Lost { .. }) => Err(StoreError::Unknown {
            reason: lost.to_string(),
        }),
    }
}

/// Answers another member that asks for a change.
pub(crate) async fn answer(core: &Core, body: &Bytes) -> Result<Bytes, serde_json::Error> {
    let change: Change = serde_json::from_slice(body)?;
    let answer = lead(core, change).await;
    Ok(Bytes::from(serde_json::to_vec(&answer)?))
}

/// Whether another member's disk has room.
pub(crate) async fn has_room(core: &Core, id: MemberId) -> bool {
    matches!(ask(core, id, &Change::HasRoom).await, Ok(Ok(1)))
}

/// Makes a change as the leader.
async fn lead(core: &Core, change: Change) -> Answer {
    match change {
        Change::HasRoom => Ok(u64::from(core.storage_problem().is_none())),
        Change::AllocateMember => match write(core, Command::AllocateMember).await? {
            Reply::Member(id) => Ok(id),
            _ => Err(ChangeError::Unknown(
                "the entry had another reply".to_owned(),
            )),
        },
        Change::RaiseFeatureLevel(level) => {
            match write(core, Command::RaiseFeatureLevel(level)).await? {
                Reply::FeatureLevel(level) => Ok(u64::from(level)),
                _ => Err(ChangeError::Unknown(
                    "the entry had another reply".to_owned(),
                )),
            }
        }
        Change::AddLearner(id, new) => add_learner(core, id, new).await,
        Change::Promote(id) => {
            known(core, id)?;
            caught_up(core, id).await?;
            let add = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
            membership(core, id, add).await
        }
        Change::Remove(id) => remove(core, id).await,
        Change::Replace(old, new) => {
            known(core, old)?;
            known(core, new)?;
            caught_up(core, new).await?;
            let mut voters = voters(core);
            if !voters.remove(&old) {
                return Err(member(old, "it is not a voter; remove it instead"));
            }
            voters.insert(new);
            membership(core, new, ChangeMembers::ReplaceAllVoters(voters)).await
        }
        Change::Update(id, updated) => {
            known(core, id)?;
            let set = ChangeMembers::SetNodes([(id, updated)].into());
            membership(core, id, set).await
        }
        Change::Transfer(to) => transfer(core, to).await,
    }
}

pub(crate) fn voters(core: &Core) -> BTreeSet<MemberId> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.voter_ids().collect()
}

/// Who votes once the change of the voters that is under way, if one is, has come to its end.
pub(crate) fn voters_to_be(core: &Core) -> BTreeSet<MemberId> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let steps = metrics.membership_config.get_joint_config();
    steps.last().cloned().unwrap_or_default()
}

fn known(core: &Core, id: MemberId) -> Result<Member, ChangeError> {
    core.member(id)
        .ok_or_else(|| member(id, "there is no such member; list the members"))
}

async fn write(core: &Core, command: Command) -> Result<Reply, ChangeError> {
    let proposal = Proposal(encode_command(core.config.clock.now_ms(), &command));
    let written = rt::within(
        core.config.propose_timeout,
        core.raft.client_write(proposal),
    )
    .await;
    match written {
        Some(Ok(written)) => Ok(written.data),
        Some(Err(error)) => Err(refused(0, error)),
        None => Err(ChangeError::Unknown(
            "no majority confirmed it in time".to_owned(),
        )),
    }
}

pub(crate) async fn membership(
    core: &Core,
    id: MemberId,
    change: ChangeMembers<MemberId, Member>,
) -> Answer {
    let _beside_no_takeover = core
        .link
        .part
        .enter_change()
        .map_err(|reason| member(id, reason))?;
    let changed = core.raft.change_membership(change, false);
    match rt::within(core.config.propose_timeout * 2, changed).await {
        Some(Ok(_)) => Ok(0),
        Some(Err(error)) => Err(refused(id, error)),
        None => Err(ChangeError::Unknown(
            "no majority confirmed it in time".to_owned(),
        )),
    }
}

fn refused(id: MemberId, error: RaftError<Types, ClientWriteError<Types>>) -> ChangeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => ChangeError::NotLeader,
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => {
            ChangeError::Unknown("the leader changed".to_owned())
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            member(id, error.to_string())
        }
        RaftError::APIError(ClientWriteError::PreconditionFailed(error)) => {
            member(id, error.to_string())
        }
        RaftError::Fatal(fatal) => ChangeError::Unknown(fatal.to_string()),
    }
}

async fn add_learner(core: &Core, id: MemberId, new: Member) -> Answer {
    if let Some(present) = core.member(id) {
        if present == new {
            return Ok(0);
        }
        return Err(member(
            id,
            format!("the id is taken by {present}; allocate another"),
        ));
    }
    let (next, used) = core
        .shared
        .look(|state| (state.next_member_id, state.members_ever.contains(&id)));
    if used {
        return Err(member(
            id,
            "it was a member once, and ids are never used again; allocate another",
        ));
    }
    if id >= next {
        return Err(member(id, "the id was never allocated; allocate one first"));
    }
    if new.addresses.is_empty() {
        return Err(member(id, "a member needs at least one address"));
    }
    take_in(core, id, new).await
}

/// Makes a learner of a member.
pub(crate) async fn take_in(core: &Core, id: MemberId, new: Member) -> Answer {
    let _beside_no_takeover = core
        .link
        .part
        .enter_change()
        .map_err(|reason| member(id, reason))?;
    let added = core.raft.add_learner(id, new, false);
    match rt::within(core.config.propose_timeout, added).await {
        Some(Ok(_)) => Ok(0),
        Some(Err(error)) => Err(refused(id, error)),
        None => Err(ChangeError::Unknown(
            "no majority confirmed it in time".to_owned(),
        )),
    }
}

/// Waits until a member has nearly all entries.
async fn caught_up(core: &Core, id: MemberId) -> Result<(), ChangeError> {
    let mut metrics = core.raft.metrics();
    let near = async {
        loop {
            let lag = lag(core, id);
            if lag.is_some_and(|lag| lag <= CAUGHT_UP) || id == core.link.member_id {
                return;
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    };
    if rt::within(core.config.propose_timeout, near)
        .await
        .is_some()
    {
        return Ok(());
    }
    let missing = match lag(core, id) {
        Some(lag) => format!("it still lacks {lag} entries"),
        None => "it has not answered yet".to_owned(),
    };
    Err(member(
        id,
        format!("{missing}; try again when it has caught up"),
    ))
}

/// How many entries a member lacks, as the leader knows.
pub(crate) fn lag(core: &Core, id: MemberId) -> Option<u64> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let last = metrics.last_log_index.unwrap_or(0);
    if id == core.link.member_id {
        return Some(0);
    }
    let matched = (*metrics.replication.as_ref()?.get(&id)?)?;
    Some(last.saturating_sub(matched.index))
}

async fn remove(core: &Core, id: MemberId) -> Answer {
    if takeover::set_aside(core, id).is_some() {
        forget(core, id).await?;
        if core.member(id).is_none() {
            return Ok(0);
        }
    }
    known(core, id)?;
    let voters = voters(core);
    if !voters.contains(&id) {
        return membership(core, id, ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await;
    }
    if voters.len() == 1 {
        return Err(member(
            id,
            "it is the last voter; promote another one first",
        ));
    }
    membership(core, id, ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await
}

/// A member that a takeover took out is not brought back.
async fn forget(core: &Core, id: MemberId) -> Result<(), ChangeError> {
    let transaction = Transaction {
        conditions: Vec::new(),
        writes: vec![Write::Delete {
            key: takeover::set_aside_key(id),
        }],
    };
    let written = core.proposals.propose(encode_transaction(&transaction));
    written
        .await
        .map(drop)
        .map_err(|error| ChangeError::Unknown(error.to_string()))
}

/// The best successor: a voter that runs things, lacks least, and answers.
fn successor(core: &Core) -> Option<MemberId> {
    voters(core)
        .into_iter()
        .filter(|id| *id != core.link.member_id)
        .filter_map(|id| Some((core.member(id)?.witness, lag(core, id)?, id)))
        .min()
        .map(|(_, _, id)| id)
}

async fn transfer(core: &Core, to: Option<MemberId>) -> Answer {
    let own = core.link.member_id;
    let to = match to {
        Some(id) => id,
        None => successor(core).ok_or_else(|| member(own, "no other voter answers"))?,
    };
    known(core, to)?;
    if to == own {
        return Ok(to);
    }
    if !voters(core).contains(&to) {
        return Err(member(to, "it is not a voter; promote it first"));
    }
    caught_up(core, to).await?;
    core.raft
        .trigger()
        .transfer_leader(to)
        .await
        .map_err(|e| ChangeError::Unknown(e.to_string()))?;
    let mut leadership = core.leadership.subscribe();
    let changed = leadership.wait_for(|l| l.leader == Some(to));
    match rt::within(core.config.election_timeout * 4, changed).await {
        Some(Ok(_)) => Ok(to),
        _ => Err(member(
            to,
            "it did not take the leadership over; look at its log",
        )),
    }
}
