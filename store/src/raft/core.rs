//! What the parts of a running member share.

use std::{sync::Arc, time::Duration};

use openraft::{Instant, Raft, ServerState, async_runtime::WatchReceiver};
use tokio::sync::watch;

use super::{
    Machine, Types, around::Around, link::Link, proposer::Proposals, returning::Returning,
    takeover::Testimony,
};
use crate::{
    Leadership, Member, MemberId, StoreConfig,
    log::{Health, Log},
    member_file::Identity,
    rt,
    shots::Shots,
    snapshot::Snapshots,
    state::Shared,
};

pub(crate) struct Core {
    pub(crate) config: StoreConfig,
    pub(crate) raft: Raft<Types, Machine>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) link: Arc<Link>,
    pub(crate) log: Log,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) proposals: Proposals,
    pub(crate) identity: Identity,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) evidence: Testimony,
    pub(crate) shots: Shots,
    pub(crate) returning: Returning,
    pub(crate) around: Around,
}

/// Where a write goes.
pub(crate) enum Way {
    /// Into the own log.
    Here,
    /// To the leader.
    There(MemberId),
    /// Nowhere for now.
    Wait(String),
    /// Nowhere: this member leads and its disk is full.
    Full(String),
}

impl Core {
    /// Where a write would go now.
    pub(crate) fn way(&self) -> Way {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if let Err(fatal) = &metrics.running_state {
            return Way::Wait(format!("this member has stopped: {fatal}"));
        }
        if let Some(reason) = self.link.succession.reason() {
            return Way::Wait(reason);
        }
        match metrics.current_leader {
            None => Way::Wait(match self.link.refusal() {
                Some(refusal) => format!("no leader is known; {refusal}"),
                None => "no leader is known".to_owned(),
            }),
            Some(leader) if leader != self.link.member_id => Way::There(leader),
            Some(_) if metrics.state != ServerState::Leader => {
                Way::Wait("this member was leader before it was started anew".to_owned())
            }
            Some(_) => {
                // Nobody acknowledges a lone voter while it is idle, and nobody has to.
                let alone = metrics.membership_config.voter_ids().count() == 1;
                // None is a leader that was elected just now.
                let heard = alone
                    || metrics
                        .last_quorum_acked
                        .is_none_or(|at| at.elapsed() < self.silence());
                if !heard {
                    return Way::Wait("this member leads, but no majority answers it".to_owned());
                }
                match self.log.health() {
                    Health::Good => Way::Here,
                    Health::Full(problem) => Way::Full(problem),
                    Health::Failed(problem) => {
                        Way::Wait(format!("this member leads, but its disk failed: {problem}"))
                    }
                }
            }
        }
    }

    /// Whether a majority was heard lately: by the leader itself, by others through the leader.
    pub(crate) fn has_quorum(&self) -> bool {
        match self.way() {
            Way::Wait(_) => false,
            Way::Here | Way::Full(_) => true,
            // The library goes on naming a leader that has fallen silent until another one is elected.
            Way::There(_) => self.link.part.was_led_within(self.silence()),
        }
    }

    /// Whether a member answered this leader lately.
    pub(crate) fn returning_answers(&self, id: MemberId) -> bool {
        self.link.part.answered_within(self.silence()).contains(&id)
    }

    /// Until when this member surely led, and in which term.
    pub(crate) fn quorum_acknowledged(&self) -> Option<(u64, rt::Instant)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader || metrics.running_state.is_err() {
            return None;
        }
        // Nobody acknowledges a lone voter, and nobody can be elected beside it.
        let alone = metrics.membership_config.voter_ids().count() == 1;
        // Taken before the time that has passed is: what is returned is never too late.
        let now = rt::now();
        let at = if alone {
            now
        } else {
            now.checked_sub(metrics.last_quorum_acked.as_ref()?.elapsed())?
        };
        Some((metrics.current_term, at))
    }

    /// A leader that heard no majority for so long has probably lost it.
    pub(crate) fn silence(&self) -> Duration {
        self.config.election_timeout * 2
    }

    /// Why nothing new should be written here, if so.
    pub(crate) fn storage_problem(&self) -> Option<String> {
        match self.log.health() {
            Health::Good => None,
            Health::Full(problem) | Health::Failed(problem) => Some(problem),
        }
    }

    /// A member of the newest membership, committed or not.
    pub(crate) fn member(&self, id: MemberId) -> Option<Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.get_node(&id).cloned()
    }

    /// Becomes true when the store stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }
}

/// Waits until the store stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the store is gone, which is stopped enough.
    let _ = stop.wait_for(|stop| *stop).await;
}
