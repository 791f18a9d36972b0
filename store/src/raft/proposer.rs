//! The way of a transaction into the log.
//!
//! Callers put their transactions into one queue. Whatever waits there goes out together: on the leader as
//! one log entry, elsewhere as one call to the leader. Few batches are under way at a time, so that
//! under load each of them grows: a thousand callers cost a few entries and a few syncs, one caller
//! waits for nobody.
//!
//! A transaction is proposed again only when it surely was not written: the leader refused it, or was not
//! reached. When an answer is lost the caller is told [`StoreError::Unknown`], never a guess.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{errors::ClientWriteError, impls::ProgressResponder, raft::ClientWriteResult};
use prost::Message;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Proposal, Types,
    core::{Core, Way, stopped},
    link::{Method, peer},
};
use crate::{
    MemberId, Outcome, StoreError,
    rt::{self, Instant},
    state::Reply,
    transport::TransportError,
    wire::{
        PbDiskFull, PbNothing, PbOutcome, PbProposed, PbProposedKind, PbProposedOutcome,
        PbTransactions, encode_transactions,
    },
};

/// What becomes of one proposed transaction.
type Answer = Result<Outcome, ProposeError>;

/// Like [`StoreError`], and one more case that never leaves the store.
#[derive(Debug)]
pub(crate) enum ProposeError {
    /// Not written: this member does not lead.
    NotLeader,
    Store(StoreError),
}

/// A transaction in the queue.
pub(crate) struct Pending {
    transaction: Bytes,
    deadline: Instant,
    /// It came from another member: it is not sent on a second time.
    forwarded: bool,
    answer: oneshot::Sender<Answer>,
}

/// Batches under way at a time.
const IN_FLIGHT: usize = 4;
const BATCH_TRANSACTIONS: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;
/// How long to wait before looking again for a leader or a majority.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The queue's entrance.
#[derive(Clone)]
pub(crate) struct Proposals {
    queue: mpsc::Sender<Pending>,
    patience: Duration,
}

impl Proposals {
    pub(crate) fn new(patience: Duration) -> (Self, mpsc::Receiver<Pending>) {
        let (queue, waiting) = mpsc::channel(4096);
        (Self { queue, patience }, waiting)
    }

    /// Proposes an encoded transaction, and waits for what becomes of it.
    pub(crate) async fn propose(&self, transaction: Bytes) -> Result<Outcome, StoreError> {
        match self.enqueue(transaction, false).await?.await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(ProposeError::Store(error))) => Err(error),
            Ok(Err(ProposeError::NotLeader)) => Err(no_leader()),
            // The queue is gone, and with it whoever knew whether it was proposed.
            Err(_) => Err(unknown("the store stopped before there was an answer")),
        }
    }

    async fn enqueue(
        &self,
        transaction: Bytes,
        forwarded: bool,
    ) -> Result<oneshot::Receiver<Answer>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            transaction,
            deadline: rt::now() + self.patience,
            forwarded,
            answer,
        };
        self.queue
            .send(pending)
            .await
            .map_err(|_| StoreError::Stopped)?;
        Ok(answered)
    }

    /// Takes in what another member forwarded.
    pub(crate) async fn forwarded(&self, transactions: Vec<Bytes>) -> PbProposed {
        let mut answers = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            answers.push(self.enqueue(transaction, true).await);
        }
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            let answer = match answer {
                Err(error) => Err(ProposeError::Store(error)),
                Ok(answered) => answered
                    .await
                    .unwrap_or_else(|_| Err(ProposeError::Store(unknown("the leader stopped")))),
            };
            outcomes.push(encode(answer));
        }
        PbProposed { outcomes }
    }
}

fn unknown(reason: impl Into<String>) -> StoreError {
    StoreError::Unknown {
        reason: reason.into(),
    }
}

fn no_leader() -> StoreError {
    StoreError::NoQuorum {
        reason: "no leader is known".to_owned(),
    }
}

fn encode(answer: Answer) -> PbProposedOutcome {
    let kind = match answer {
        Ok(outcome) => PbProposedKind::Outcome(PbOutcome::from(&outcome)),
        Err(ProposeError::NotLeader) => PbProposedKind::NotLeader(PbNothing {}),
        Err(ProposeError::Store(error)) => match error {
            StoreError::NoQuorum { reason } => PbProposedKind::NoQuorum(reason),
            StoreError::Unknown { reason } => PbProposedKind::Unknown(reason),
            StoreError::DiskFull { member, detail } => {
                PbProposedKind::DiskFull(PbDiskFull { member, detail })
            }
            StoreError::Stopped => PbProposedKind::NotLeader(PbNothing {}),
            other => PbProposedKind::Refused(other.to_string()),
        },
    };
    PbProposedOutcome { kind: Some(kind) }
}

fn decode(outcome: PbProposedOutcome) -> Answer {
    let error = match outcome.kind {
        Some(PbProposedKind::Outcome(outcome)) => return Ok(outcome.into()),
        Some(PbProposedKind::NotLeader(_)) => return Err(ProposeError::NotLeader),
        Some(PbProposedKind::NoQuorum(reason)) => StoreError::NoQuorum { reason },
        Some(PbProposedKind::Unknown(reason)) => unknown(reason),
        Some(PbProposedKind::DiskFull(full)) => StoreError::DiskFull {
            member: full.member,
            detail: full.detail,
        },
        Some(PbProposedKind::Refused(reason)) => StoreError::Foreign { reason },
        None => unknown("the leader's answer is of a kind that only newer software understands"),
    };
    Err(ProposeError::Store(error))
}

/// Empties the queue until the store stops.
pub(crate) async fn run(core: Arc<Core>, mut arriving: mpsc::Receiver<Pending>) {
    let mut waiting: VecDeque<Pending> = VecDeque::new();
    // Those that were refused without being written come back here.
    let (returning, mut returned) = mpsc::unbounded_channel();
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut stop = core.stopping();
    let mut look_again: Option<Instant> = None;
    loop {
        let ready = !waiting.is_empty() && look_again.is_none();
        let deadline = waiting.front().map(|p| p.deadline);
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(pending) = returned.recv() => {
                waiting.push_front(pending);
                look_again.get_or_insert_with(|| rt::now() + LOOK_AGAIN);
            }
            () = rt::sleep_until(look_again.unwrap_or_else(rt::now)), if look_again.is_some() => {
                look_again = None;
            }
            () = rt::sleep_until(deadline.unwrap_or_else(rt::now)), if deadline.is_some() => {
                expire(&mut waiting, &core);
            }
            arrived = arriving.recv(), if waiting.len() < BATCH_TRANSACTIONS => match arrived {
                Some(pending) => {
                    waiting.push_back(pending);
                    while waiting.len() < BATCH_TRANSACTIONS
                        && let Ok(more) = arriving.try_recv()
                    {
                        waiting.push_back(more);
                    }
                }
                None => break,
            },
            slot = slots.clone().acquire_owned(), if ready => {
                let Ok(slot) = slot else { break };
                match core.way() {
                    Way::Wait(_) => look_again = Some(rt::now() + LOOK_AGAIN),
                    Way::Full(detail) => refuse(&mut waiting, || StoreError::DiskFull {
                        member: core.link.member_id,
                        detail: detail.clone(),
                    }),
                    Way::Here => {
                        let batch = batch(&mut waiting);
                        let core = core.clone();
                        let returning = returning.clone();
                        let transactions = batch.iter().map(|p| p.transaction.clone()).collect();
                        // Sent from here, one after the other, so that batches keep their order.
                        match append(&core, transactions).await {
                            Ok(appended) => rt::spawn(async move {
                                let result = applied(appended, core.config.propose_timeout).await;
                                settle(batch, result, &returning);
                                drop(slot);
                            }),
                            Err(failed) => settle(batch, Err(failed), &returning),
                        }
                    }
                    Way::There(leader) => {
                        let batch = batch(&mut waiting);
                        let core = core.clone();
                        let returning = returning.clone();
                        rt::spawn(async move {
                            forward(&core, leader, batch, &returning).await;
                            drop(slot);
                        });
                    }
                }
            }
        }
    }
    for pending in waiting {
        let _ = pending
            .answer
            .send(Err(ProposeError::Store(StoreError::Stopped)));
    }
}

/// Gives up what has waited too long; it was never proposed.
fn expire(waiting: &mut VecDeque<Pending>, core: &Core) {
    let now = rt::now();
    let reason = match core.way() {
        Way::Wait(reason) => reason,
        _ => "too many writes wait".to_owned(),
    };
    let (late, rest) = std::mem::take(waiting)
        .into_iter()
        .partition::<VecDeque<_>, _>(|p| p.deadline <= now);
    *waiting = rest;
    for pending in late {
        let error = StoreError::NoQuorum {
            reason: reason.clone(),
        };
        let _ = pending.answer.send(Err(ProposeError::Store(error)));
    }
}

fn refuse(waiting: &mut VecDeque<Pending>, error: impl Fn() -> StoreError) {
    for pending in waiting.drain(..) {
        let _ = pending.answer.send(Err(ProposeError::Store(error())));
    }
}

fn batch(waiting: &mut VecDeque<Pending>) -> Vec<Pending> {
    let mut bytes = 0;
    let mut count = 0;
    for pending in waiting.iter().take(BATCH_TRANSACTIONS) {
        bytes += pending.transaction.len();
        if count > 0 && bytes > BATCH_BYTES {
            break;
        }
        count += 1;
    }
    waiting.drain(..count).collect()
}

/// Why a batch has no outcomes.
enum Failed {
    NotLeader,
    Unknown(String),
}

/// A batch that the log has taken.
type Appended = oneshot::Receiver<ClientWriteResult<Types>>;

/// Hands a batch to the log.
async fn append(core: &Core, transactions: Vec<Bytes>) -> Result<Appended, Failed> {
    let command = encode_transactions(core.config.clock.now_ms(), transactions);
    let (responder, appended) = ProgressResponder::complete_only();
    core.raft
        .client_write_ff(Proposal(command), Some(responder))
        .await
        .map_err(|_| Failed::NotLeader)?;
    Ok(appended)
}

/// Waits until a batch is applied.
async fn applied(appended: Appended, patience: Duration) -> Result<Vec<Outcome>, Failed> {
    match rt::within(patience, appended).await {
        Some(Ok(Ok(written))) => match written.data {
            Reply::Outcomes(outcomes) => Ok(outcomes),
            _ => Err(Failed::Unknown("the entry had another reply".to_owned())),
        },
        Some(Ok(Err(ClientWriteError::LogEntryDiscarded(_)))) => {
            Err(Failed::Unknown("the leader changed".to_owned()))
        }
        Some(Ok(Err(_))) => Err(Failed::NotLeader),
        Some(Err(_)) => Err(Failed::Unknown("this member stopped".to_owned())),
        None => Err(Failed::Unknown(format!(
            "no majority confirmed it within {patience:?}"
        ))),
    }
}

fn settle(
    batch: Vec<Pending>,
    result: Result<Vec<Outcome>, Failed>,
    returning: &mpsc::UnboundedSender<Pending>,
) {
    match result {
        Ok(outcomes) => {
            for (pending, outcome) in batch.into_iter().zip(outcomes) {
                let _ = pending.answer.send(Ok(outcome));
            }
        }
        Err(Failed::NotLeader) => give_back(batch, returning),
        Err(Failed::Unknown(reason)) => {
            for pending in batch {
                let _ = pending
                    .answer
                    .send(Err(ProposeError::Store(unknown(&*reason))));
            }
        }
    }
}

/// What was surely not written goes back into the queue, or back to the member that forwarded it.
fn give_back(batch: Vec<Pending>, returning: &mpsc::UnboundedSender<Pending>) {
    for pending in batch.into_iter().rev() {
        if pending.forwarded {
            let _ = pending.answer.send(Err(ProposeError::NotLeader));
        } else if let Err(gone) = returning.send(pending) {
            let _ = gone
                .0
                .answer
                .send(Err(ProposeError::Store(StoreError::Stopped)));
        }
    }
}

/// Resolves some time after somebody else leads: a leader that was cut off may keep its callers waiting
/// long after the cluster has gone on.
async fn deposed(core: &Core, leader: MemberId) {
    let mut leadership = core.leadership.subscribe();
    let other = leadership.wait_for(|now| now.leader.is_some_and(|id| id != leader));
    // An error means that the store stops; the call then ends by itself.
    if other.await.map(drop).is_err() {
        std::future::pending::<()>().await;
    }
    rt::sleep(core.config.election_timeout).await;
}

async fn forward(
    core: &Core,
    leader: MemberId,
    batch: Vec<Pending>,
    returning: &mpsc::UnboundedSender<Pending>,
) {
    let (foreign, own): (Vec<_>, Vec<_>) = batch.into_iter().partition(|p| p.forwarded);
    give_back(foreign, returning);
    let Some(member) = core.member(leader) else {
        return give_back(own, returning);
    };
    if own.is_empty() {
        return;
    }
    let message = PbTransactions {
        encoded: own.iter().map(|p| p.transaction.clone()).collect(),
    };
    let body = Bytes::from(message.encode_to_vec());
    // Longer than the leader itself waits, so that usually it is the leader who says what happened.
    let timeout = core.config.propose_timeout * 2;
    let asked = core
        .link
        .ask(peer(leader, &member), Method::Propose, body, timeout);
    let answer = tokio::select! {
        answer = asked => answer,
        () = deposed(core, leader) => Err(TransportError::Lost {
            member: leader,
            reason: "another member leads now".to_owned(),
        }),
    };
    let outcomes = match answer {
        Ok(body) => match PbProposed::decode(body) {
            Ok(proposed) if proposed.outcomes.len() == own.len() => proposed.outcomes,
            _ => {
                return settle(
                    own,
                    Err(Failed::Unknown(
                        "the leader's answer was unreadable".to_owned(),
                    )),
                    returning,
                );
            }
        },
        Err(TransportError::Unreachable { .. } | TransportError::Refused { .. }) => {
            return give_back(own, returning);
        }
        Err(lost @ TransportError::Lost { .. }) => {
            return settle(own, Err(Failed::Unknown(lost.to_string())), returning);
        }
    };
    let mut again = Vec::new();
    for (pending, outcome) in own.into_iter().zip(outcomes) {
        match decode(outcome) {
            Err(ProposeError::NotLeader) => again.push(pending),
            answer => {
                let _ = pending.answer.send(answer);
            }
        }
    }
    give_back(again, returning);
}
