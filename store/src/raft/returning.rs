//! Brings a voter back that a takeover took out: as a learner first, as a voter when it has caught up. And completes a
//! change of the voters that a leader began and did not live to end.
//!
//! It comes with its own directory and number, and its start counter proves that the directory is no old copy. What it
//! had written alone is dropped as its log is made the leader's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use openraft::{ChangeMembers, async_runtime::WatchReceiver};

use super::{
    LogId,
    change::{self, CAUGHT_UP},
    core::{Core, Way, stopped},
    link::{Method, peer},
    takeover::{self, SetAside, set_aside_key},
};
use crate::{Member, MemberId, Transaction, Write, rt};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A member that was heard so recently is there.
const RECENT: Duration = Duration::from_secs(10);
/// How often one that is not heard is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Who was heard while it had no part in the cluster, and who was asked, and when.
#[derive(Default)]
pub(crate) struct Returning {
    heard: Times,
    asked: Times,
}

#[derive(Default)]
struct Times(Mutex<BTreeMap<MemberId, rt::Instant>>);

impl Times {
    fn note(&self, id: MemberId) {
        self.lock().insert(id, rt::now());
    }

    fn within(&self, id: MemberId, time: Duration) -> bool {
        self.lock().get(&id).is_some_and(|at| at.elapsed() < time)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MemberId, rt::Instant>> {
        self.0
            .lock()
            .expect("nothing panics while it looks up a time")
    }
}

impl Returning {
    /// A member that was set aside asks for votes, or answers.
    pub(crate) fn heard(&self, id: MemberId) {
        self.heard.note(id);
    }

    fn is_there(&self, id: MemberId) -> bool {
        self.heard.within(id, RECENT)
    }
}

/// Asks one that does not ask for votes whether it is there: by its own log it may be a learner, lost while it learnt.
fn ask(core: &Arc<Core>, id: MemberId, member: &Member) {
    if core.returning.asked.within(id, ASK_EVERY) {
        return;
    }
    core.returning.asked.note(id);
    let (core, peer) = (core.clone(), peer(id, member));
    rt::spawn(async move {
        let timeout = core.config.election_timeout * 2;
        let asked = core.link.ask(peer, Method::Members, Bytes::new(), timeout);
        match asked.await {
            Ok(_) => core.returning.heard(id),
            Err(error) => tracing::debug!(member = id, %error, "it is not back"),
        }
    });
}

/// Looks after those who return, as the leader.
pub(crate) async fn run(core: Arc<Core>) {
    let mut stop = core.stopping();
    let mut half_done = None;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = rt::sleep(LOOK_EVERY) => {}
        }
        if !matches!(core.way(), Way::Here) || !core.link.part.is_idle() {
            half_done = None;
            continue;
        }
        let found = unfinished(&core);
        if let Some((_, goal)) = found.clone().filter(|_| found == half_done) {
            tracing::warn!(
                ?goal,
                "a former leader left a change of the voters half done; it is completed"
            );
            let complete = ChangeMembers::ReplaceAllVoters(goal);
            if let Err(error) = change::membership(&core, core.link.member_id, complete).await {
                tracing::info!(?error, "the change of the voters stays half done for now");
            }
        }
        half_done = found;
        for (id, aside) in takeover::all_set_aside(&core) {
            if let Err(error) = advance(&core, id, aside).await {
                tracing::info!(member = id, %error, "a member that returns waits");
            }
        }
    }
}

/// A change of the voters that is between its two steps, by where it stands in the log, and who votes when it is done.
fn unfinished(core: &Core) -> Option<(Option<LogId>, BTreeSet<MemberId>)> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = &metrics.membership_config;
    let steps = membership.get_joint_config();
    let goal = steps.last().filter(|_| steps.len() > 1)?;
    Some((*membership.log_id(), goal.clone()))
}

async fn advance(core: &Arc<Core>, id: MemberId, aside: SetAside) -> Result<(), String> {
    if change::voters(core).contains(&id) {
        // Whoever is being taken out votes until that is done; then it may come back.
        if !change::voters_to_be(core).contains(&id) {
            return Ok(());
        }
        let done = Transaction {
            conditions: Vec::new(),
            writes: vec![Write::Delete {
                key: set_aside_key(id),
            }],
        };
        let encoded = crate::wire::encode_transaction(&done);
        core.proposals
            .propose(encoded)
            .await
            .map_err(|error| error.to_string())?;
        tracing::warn!(member = id, "it votes again");
        return Ok(());
    }
    if core.member(id).is_none() {
        if core.returning.is_there(id) {
            tracing::warn!(member = id, "it is back, and learns what it has missed");
            change::take_in(core, id, aside.member)
                .await
                .map_err(|error| format!("{error:?}"))?;
        } else {
            ask(core, id, &aside.member);
        }
        return Ok(());
    }
    if core.returning_answers(id) && change::lag(core, id).is_some_and(|lag| lag <= CAUGHT_UP) {
        let add = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        change::membership(core, id, add)
            .await
            .map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}
