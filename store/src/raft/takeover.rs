//! Carries out what a member's part in takeovers asks for, and tells it what becomes of the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use openraft::{ChangeMembers, ServerState, async_runtime::WatchReceiver};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    LogId, Proposal, StoredMembership,
    core::{Core, Way, stopped},
    link::{Method, peer},
};
use crate::{
    Bucket, Key, Member, MemberId, Transaction, Write, rt,
    takeover::{
        Action, Attempt, Configuration, Ending, Evidence, Facts, Message, Obstacle, Phase,
        Position, Record, Refusal, Round,
    },
    wire::{encode_transaction, encode_transactions},
};

/// What is known of takeovers that were carried out, by term.
const TAKEOVERS: &str = "takeovers";
/// The voters that were proven off and taken out, by id, until they vote again or are removed for good.
const SET_ASIDE: &str = "setaside";
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A voter that a takeover took out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetAside {
    /// The term of the takeover.
    pub(crate) term: u64,
    /// What the membership said of it.
    pub(crate) member: Member,
}

fn position(id: Option<&LogId>) -> Position {
    id.map_or_else(Position::default, |id| Position {
        term: id.leader_id.term,
        index: id.index,
    })
}

fn configuration(newest: &StoredMembership) -> Configuration {
    Configuration {
        at: position(newest.log_id().as_ref()),
        steps: newest.get_joint_config().clone(),
    }
}

/// Whether there is a quorum, as far as this member can tell without `asker`, who says that there is none.
fn sees_quorum(core: &Core, asker: Option<MemberId>) -> bool {
    match core.way() {
        Way::There(leader) if Some(leader) == asker => false,
        _ => core.has_quorum(),
    }
}

/// What is known now. The consensus library answers after everything that it was given before, so that no frame is on
/// its way into the log behind this.
async fn facts(core: &Core, asker: Option<MemberId>) -> Option<Facts> {
    let (configuration, committed_voters, last) = core
        .raft
        .with_raft_state(|state| {
            let newest = state.membership_state.effective();
            let committed = state.membership_state.committed();
            (
                configuration(newest),
                committed.voter_ids().collect(),
                position(state.log_ids.last()),
            )
        })
        .await
        .ok()?;
    let lately = core.silence();
    Some(Facts {
        configuration,
        committed_voters,
        last,
        hears: core.link.part.answered_within(lately).into_iter().collect(),
        quorum: sees_quorum(core, asker),
        in_quorum_since_boot: core.link.since_boot.in_quorum()
            && core.link.succession.reason().is_none(),
        taken_out: core.around.taken_out(),
    })
}

/// Begins an attempt of this member's half.
pub(crate) async fn begin(core: &Core) -> Result<Round, Obstacle> {
    // Nobody is kept out for an attempt that is hopeless anyway.
    if core.has_quorum() {
        return Err(Obstacle::QuorumSeen);
    }
    if !core.link.part.is_idle() {
        return Err(Obstacle::UnderWay);
    }
    let begun = core.link.part.apart(facts(core, None), |takeover, facts| {
        match takeover.begin(facts) {
            Ok(actions) => (takeover.round().ok_or(Obstacle::UnderWay), actions),
            Err(obstacle) => (Err(obstacle), Vec::new()),
        }
    });
    begun.await?
}

/// Another member of this half speaks.
pub(crate) async fn hear(core: &Core, from: MemberId, start: u64, message: Message) {
    let part = &core.link.part;
    let Message::Ask { round, .. } = message else {
        if let Some(facts) = facts(core, None).await {
            part.change(|takeover| takeover.hear(from, start, message, &facts));
        }
        return;
    };
    let refuse = |why| {
        part.change(|_| vec![Action::Send(from, Message::Refuse { round, why })]);
    };
    // Nobody is kept out for a promise that is not given anyway.
    if sees_quorum(core, Some(from)) {
        return refuse(Refusal::QuorumSeen);
    }
    let heard = part.apart(facts(core, Some(from)), |takeover, facts| {
        ((), takeover.hear(from, start, message, facts))
    });
    if heard.await.is_err() {
        refuse(Refusal::Busy);
    }
}

/// Does what the part asks for, until the store stops.
pub(crate) async fn run(core: Arc<Core>, mut actions: mpsc::UnboundedReceiver<Action>) {
    let mut stop = core.stopping();
    let mut metrics = core.raft.metrics();
    let mut seen = None;
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(action) = actions.recv() => act(&core, action),
            changed = metrics.changed() => {
                if changed.is_err() {
                    break;
                }
                // To look is itself something that the library reports as a change.
                let now = {
                    let metrics = metrics.borrow_watched();
                    Some((metrics.current_term, metrics.state, metrics.last_applied))
                };
                if now != seen {
                    seen = now;
                    look(&core).await;
                }
            }
        }
    }
}

/// The log, or who leads, has changed.
async fn look(core: &Core) {
    let committed_here = {
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched();
        // A leader that has committed an entry of its own term has a quorum.
        metrics.state == ServerState::Leader
            && metrics
                .last_applied
                .is_some_and(|id| id.leader_id.term == metrics.current_term)
    };
    if committed_here {
        core.link.since_boot.note();
    }
    if !core.link.part.is_idle() {
        observe(core).await;
    }
}

async fn observe(core: &Core) {
    if let Some(facts) = facts(core, None).await {
        core.link.part.change(|takeover| takeover.observe(&facts));
    }
}

fn act(core: &Arc<Core>, action: Action) {
    match action {
        Action::Send(to, message) => send(core, to, message),
        Action::Fence(round, others) => {
            tracing::warn!(
                ?round,
                ?others,
                "there is no quorum: the other half is to be fenced"
            );
        }
        Action::CancelFence(_) => {}
        Action::Elect => {
            let core = core.clone();
            rt::spawn(async move { complete(&core).await });
        }
        Action::Ended(round, Ending::Done) => {
            core.link.part.forget_stand_ins();
            tracing::warn!(?round, "this half has taken over");
        }
        Action::Ended(round, ending) => {
            tracing::warn!(?round, ?ending, "the takeover has come to nothing");
        }
    }
}

fn send(core: &Arc<Core>, to: MemberId, message: Message) {
    let Some(member) = core.member(to) else {
        return;
    };
    let Ok(body) = serde_json::to_vec(&message) else {
        return;
    };
    let core = core.clone();
    rt::spawn(async move {
        let patience = core.config.election_timeout * 2;
        let asked = core
            .link
            .ask(peer(to, &member), Method::Takeover, body.into(), patience);
        // An attempt whose messages get lost is given up and begun anew.
        if let Err(error) = asked.await {
            tracing::info!(%error, "a message about a takeover got lost");
        }
    });
}

/// Leads, writes down what the takeover rests on, and takes the other half out.
async fn complete(core: &Core) {
    let mut stop = core.stopping();
    let mut elect_at = rt::now();
    let mut said = String::new();
    loop {
        let Phase::Certified(attempt, _) = core.link.part.phase().borrow().clone() else {
            return;
        };
        let state = core.raft.metrics().borrow_watched().state;
        if state == ServerState::Leader {
            // It leads again once the vote that is given for it has answered, which is at the next heartbeat. An error says that the
            // store stops.
            let _ = core.raft.trigger().heartbeat().await;
            match take_out(core, &attempt).await {
                Ok(()) => {
                    observe(core).await;
                    return;
                }
                Err(reason) if reason != said => {
                    tracing::info!(reason, "the other half is not taken out yet");
                    said = reason;
                }
                Err(_) => {}
            }
        } else if elect_at <= rt::now() {
            elect_at = rt::now() + core.config.election_timeout * 2;
            // An error says that the store stops.
            let _ = core.raft.trigger().elect(false).await;
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = rt::sleep(LOOK_AGAIN) => {}
        }
    }
}

async fn take_out(core: &Core, attempt: &Attempt) -> Result<(), String> {
    let voters: BTreeSet<MemberId> = {
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.voter_ids().collect()
    };
    let others: BTreeSet<_> = attempt.others.intersection(&voters).copied().collect();
    if others.is_empty() {
        return Ok(());
    }
    let patience = core.config.propose_timeout;
    let entry = testimony(core, attempt, &others);
    let command = encode_transactions(
        core.config.clock.now_ms(),
        entry.iter().map(encode_transaction).collect(),
    );
    let written = rt::within(patience, core.raft.client_write(Proposal(command))).await;
    written
        .ok_or("the evidence was not written in time")?
        .map_err(|error| error.to_string())?;
    let change = ChangeMembers::RemoveVoters(others);
    let changed = rt::within(patience, core.raft.change_membership(change, false)).await;
    changed
        .ok_or("the membership was not changed in time")?
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// Who votes when a change that is under way is done.
fn goal(core: &Core) -> BTreeSet<MemberId> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let steps = metrics.membership_config.get_joint_config();
    steps.last().cloned().unwrap_or_default()
}

/// The entry that says on what evidence the other half is taken out, and what follows from it.
fn testimony(core: &Core, attempt: &Attempt, others: &BTreeSet<MemberId>) -> Vec<Transaction> {
    let term = core.raft.metrics().borrow_watched().current_term;
    let (evidence, mut beside) = core.evidence.of(attempt.round);
    let record = Record {
        term,
        round: attempt.round,
        side: attempt.side.clone(),
        evidence,
    };
    let put = |bucket: &str, name: String, value: Vec<u8>| Write::Put {
        key: Key::new(Bucket::new(bucket), name),
        value: Bytes::from(value),
        expires_at_ms: None,
    };
    let json = |value: serde_json::Result<Vec<u8>>| {
        value.expect("numbers, texts and maps of them can be written as JSON")
    };
    let mut writes = vec![put(
        TAKEOVERS,
        format!("{term:020}"),
        json(serde_json::to_vec(&record)),
    )];
    // Whom people were removing already does not come back.
    for id in others.intersection(&goal(core)) {
        if let Some(member) = core.member(*id) {
            let aside = SetAside { term, member };
            writes.push(put(
                SET_ASIDE,
                id.to_string(),
                json(serde_json::to_vec(&aside)),
            ));
        }
    }
    let record = Transaction {
        conditions: Vec::new(),
        writes,
    };
    beside.insert(0, record);
    beside
}

/// Every voter that takeovers took out and that does not vote again yet.
pub(crate) fn all_set_aside(core: &Core) -> BTreeMap<MemberId, SetAside> {
    let view = core.shared.view();
    view.list(&Bucket::new(SET_ASIDE), None, usize::MAX)
        .into_iter()
        .filter_map(|(key, stored)| {
            Some((
                key.name.parse().ok()?,
                serde_json::from_slice(&stored.value).ok()?,
            ))
        })
        .collect()
}

/// The key under which a voter is set aside.
pub(crate) fn set_aside_key(id: MemberId) -> Key {
    Key::new(Bucket::new(SET_ASIDE), id.to_string())
}

/// What to tell a member that was a voter until a takeover took it out.
pub(crate) fn set_aside(core: &Core, id: MemberId) -> Option<String> {
    let stored = core.shared.view().get(&set_aside_key(id))?;
    let aside: SetAside = serde_json::from_slice(&stored.value).ok()?;
    Some(format!(
        "member {id} was fenced and taken out in term {}: it has no vote until it has caught up, and is brought \
         back by itself",
        aside.term
    ))
}

/// The takeovers that the log tells of, the newest first.
pub(crate) fn records(core: &Core) -> Vec<Record> {
    let view = core.shared.view();
    let mut records: Vec<Record> = view
        .list(&Bucket::new(TAKEOVERS), None, usize::MAX)
        .into_iter()
        .filter_map(|(_, stored)| serde_json::from_slice(&stored.value).ok())
        .collect();
    records.reverse();
    records
}

/// What was brought forward in the round that runs.
#[derive(Default)]
pub(crate) struct Testimony(std::sync::Mutex<Option<Brought>>);

struct Brought {
    round: Round,
    evidence: Vec<Evidence>,
    beside: Vec<Transaction>,
}

impl Testimony {
    pub(crate) fn add(&self, round: Round, evidence: Evidence) {
        self.bring(round, |brought| brought.evidence.push(evidence));
    }

    pub(crate) fn tell_beside(&self, round: Round, told: Transaction) {
        self.bring(round, |brought| brought.beside.push(told));
    }

    fn bring(&self, round: Round, bring: impl FnOnce(&mut Brought)) {
        let mut known = self.lock();
        // Rounds have rising numbers: what is late must not take the place of what counts.
        if known.as_ref().is_some_and(|known| known.round > round) {
            return;
        }
        let brought = known.take().filter(|brought| brought.round == round);
        let mut brought = brought.unwrap_or_else(|| Brought {
            round,
            evidence: Vec::new(),
            beside: Vec::new(),
        });
        bring(&mut brought);
        *known = Some(brought);
    }

    fn of(&self, round: Round) -> (Vec<Evidence>, Vec<Transaction>) {
        match &*self.lock() {
            Some(brought) if brought.round == round => {
                (brought.evidence.clone(), brought.beside.clone())
            }
            _ => (Vec::new(), Vec::new()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Brought>> {
        self.0
            .lock()
            .expect("nothing panics while it holds evidence")
    }
}
