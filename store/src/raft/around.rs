//! While there is no quorum, the other voters are asked whether this member still has a vote.
//!
//! A half that was proven off boots anew, and what boots anew does not shoot. But a device may have said so of the wrong machine, and then
//! the one that was taken out runs on: it must not shoot those that went on without it where it can hear that they did.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver;

use super::{
    core::{Core, stopped},
    link::{Method, peer},
};
use crate::{MemberId, Role, rt, status::MemberStatus};

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether the others have taken this member out; none before they were asked.
#[derive(Default)]
pub(crate) struct Around(Mutex<Option<bool>>);

impl Around {
    pub(crate) fn taken_out(&self) -> Option<bool> {
        *self.0.lock().expect("nothing panics while it holds this")
    }

    fn note(&self, taken_out: Option<bool>) {
        *self.0.lock().expect("nothing panics while it holds this") = taken_out;
    }
}

/// Asks, for as long as there is no quorum, until the store stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut stop = core.stopping();
    loop {
        if core.has_quorum() {
            core.around.note(None);
        } else if core.link.part.is_idle() {
            tokio::select! {
                () = stopped(&mut stop) => return,
                taken_out = is_taken_out(&core) => core.around.note(Some(taken_out)),
            }
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = rt::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Whether somebody who votes in this member's own log knows of members among whom it has no vote. Who does not answer, or has troubles
/// of its own, says nothing.
async fn is_taken_out(core: &Core) -> bool {
    let own = core.link.member_id;
    let voters: Vec<MemberId> = {
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters = metrics.membership_config.voter_ids();
        voters.filter(|id| *id != own).collect()
    };
    let asked = voters.into_iter().filter_map(|id| {
        let member = core.member(id)?;
        let patience = core.config.election_timeout;
        let asked = core
            .link
            .ask_aside(peer(id, &member), Method::Members, patience);
        Some(async move {
            let answer = asked.await.ok()?;
            serde_json::from_slice::<Vec<MemberStatus>>(&answer).ok()
        })
    });
    let answers = join_all(asked).await;
    let votes = |members: &Vec<MemberStatus>| {
        let mut members = members.iter();
        members.any(|member| member.id == own && member.role == Role::Voter)
    };
    answers.iter().flatten().any(|members| !votes(members))
}
