//! What a member does with frames from other members.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use openraft::{raft::TransferLeaderError, storage::Snapshot};
use prost::Message;

use super::{
    AppendRequest, AppendResult, barrier, change,
    core::Core,
    link::{Checked, Method},
    part::Ticket,
    succession, takeover,
};
use crate::{
    MemberId,
    log::Health,
    rt, status,
    transport::{Frame, Incoming, Receive, RefusedFrame},
    wire::{
        PbAppend, PbBarrier, PbLogId, PbSnapshotHead, PbTransactions, PbTransfer, PbTransferred,
        PbVote, PbVoteRequest, PbVoteResponse, WireError, check_transaction, decode_append,
        encode_appended,
    },
};

/// What a full disk lets a follower keep in memory until there is room.
const UNWRITTEN: usize = 64 << 20;

/// The receiving side. It keeps nothing alive: a member that was shut down refuses.
pub(crate) struct Receiver {
    core: Weak<Core>,
}

impl Receiver {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            core: Arc::downgrade(core),
        }
    }

    fn core(&self) -> Result<Arc<Core>, RefusedFrame> {
        let core = self.core.upgrade().filter(|core| !*core.stop.borrow());
        core.ok_or_else(|| RefusedFrame("this member is shutting down".to_owned()))
    }
}

fn refused(reason: impl ToString) -> RefusedFrame {
    RefusedFrame(reason.to_string())
}

fn decode<M: Message + Default>(body: Bytes) -> Result<M, RefusedFrame> {
    M::decode(body).map_err(|e| refused(WireError::from(e)))
}

impl Receive for Receiver {
    fn call(&self, frame: Frame) -> BoxFuture<'static, Result<Frame, RefusedFrame>> {
        let core = self.core();
        async move {
            let core = core?;
            if let Some(heard) = succession::hear(&core, &frame) {
                return heard;
            }
            let checked = core.link.check(frame)?;
            answer(core, checked).await
        }
        .boxed()
    }

    fn replicate(&self, frames: Incoming) -> BoxStream<'static, Result<Frame, RefusedFrame>> {
        match self.core() {
            Ok(core) => replicate(core, frames),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn snapshot(&self, frames: Incoming) -> BoxFuture<'static, Result<Frame, RefusedFrame>> {
        let core = self.core();
        async move { snapshot(core?, frames).await }.boxed()
    }
}

async fn answer(core: Arc<Core>, checked: Checked) -> Result<Frame, RefusedFrame> {
    let Checked {
        from,
        from_start,
        knows_start,
        method,
        body,
        ticket: _until_answered,
    } = checked;
    match method {
        Method::Append => {
            let request = decode_append(decode::<PbAppend>(body)?).map_err(refused)?;
            room(&core, !request.entries.is_empty())?;
            let told = told(&request, knows_start);
            let previous = request.prev_log_id;
            let last = request.entries.last().map(|e| e.log_id).or(previous);
            let response = core.raft.append_entries(request).await.map_err(refused)?;
            let result = response.into_stream_result(previous, last);
            note_quorum(&core, told, &result);
            Ok(core.link.message(from, method, &encode_appended(&result)))
        }
        Method::Vote | Method::PreVote => {
            let request = decode::<PbVoteRequest>(body)?.into();
            welcome(&core, from)?;
            let response = if method == Method::Vote {
                core.raft.vote(request).await
            } else {
                core.raft.pre_vote(request).await
            };
            let response = PbVoteResponse::from(&response.map_err(refused)?);
            Ok(core.link.message(from, method, &response))
        }
        Method::Transfer => {
            let request = decode::<PbTransfer>(body)?.into();
            let response = core
                .raft
                .handle_transfer_leader(request)
                .await
                .map_err(refused)?;
            Ok(core
                .link
                .message(from, method, &transferred(response.err())))
        }
        Method::Propose => {
            let transactions = decode::<PbTransactions>(body)?.encoded;
            for transaction in &transactions {
                check_transaction(transaction).map_err(refused)?;
            }
            let proposed = core.proposals.forwarded(transactions).await;
            Ok(core.link.message(from, method, &proposed))
        }
        Method::Barrier => {
            let index = barrier::read_index(&core).await.ok();
            Ok(core.link.message(from, method, &PbBarrier { index }))
        }
        Method::Change => {
            let answer = change::answer(&core, &body).await.map_err(refused)?;
            Ok(core.link.frame(from, method, answer))
        }
        Method::Members => {
            let members = serde_json::to_vec(&status::of(&core).members).map_err(refused)?;
            Ok(core.link.frame(from, method, members.into()))
        }
        Method::Takeover => {
            let message = serde_json::from_slice(&body).map_err(refused)?;
            takeover::hear(&core, from, from_start, message).await;
            Ok(core.link.frame(from, method, Bytes::new()))
        }
        Method::Snapshot => Err(refused("a snapshot comes as a stream")),
        Method::Succeeded => Err(refused("a member of the same history does not succeed it")),
    }
}

fn transferred(error: Option<TransferLeaderError<super::Types>>) -> PbTransferred {
    match error {
        None => PbTransferred::default(),
        Some(TransferLeaderError::VoteChanged { actual, .. }) => PbTransferred {
            vote_found: Some(PbVote::from(&actual)),
            ..PbTransferred::default()
        },
        Some(TransferLeaderError::LogNotFlushed { actual, .. }) => PbTransferred {
            behind: true,
            last: actual.as_ref().map(PbLogId::from),
            ..PbTransferred::default()
        },
    }
}

/// Whether entries can be taken in: with a full disk they wait in memory, but not without end.
fn room(core: &Core, entries: bool) -> Result<(), RefusedFrame> {
    if entries
        && let Health::Full(detail) = core.log.health()
        && core.log.stats().cached_bytes > UNWRITTEN
    {
        return Err(RefusedFrame(format!(
            "this member's disk is full: {detail}"
        )));
    }
    Ok(())
}

/// How far the log is committed, if the frame's sender says so of an entry of its own term, to this start of this member.
fn told(request: &AppendRequest, knows_start: bool) -> Option<u64> {
    let commit = request.leader_commit.as_ref()?;
    let of_its_term = commit.leader_id.term == request.vote.leader_id.term;
    (knows_start && of_its_term).then_some(commit.index)
}

/// This member is part of a quorum once it has all that its leader says is committed.
fn note_quorum(core: &Core, told: Option<u64>, result: &AppendResult) {
    if result.is_ok() {
        core.link.part.note_led();
    }
    if let (Some(told), Ok(Some(has))) = (told, result)
        && told <= has.index
    {
        core.link.since_boot.note();
    }
}

/// A former voter that was proven off learns why its vote counts for nothing.
fn welcome(core: &Core, from: MemberId) -> Result<(), RefusedFrame> {
    if core.member(from).is_none()
        && let Some(reason) = takeover::set_aside(core, from)
    {
        core.returning.heard(from);
        return Err(RefusedFrame(reason));
    }
    Ok(())
}

/// What is kept of a frame until its answer leaves.
struct Served {
    from: MemberId,
    told: Option<u64>,
    _until_answered: Option<Ticket>,
}

fn replicate(core: Arc<Core>, frames: Incoming) -> BoxStream<'static, Result<Frame, RefusedFrame>> {
    // The library takes requests, not errors: the first bad frame ends what it sees, and is told last.
    let (tell, told_last) = tokio::sync::oneshot::channel();
    let checked = core.clone();
    let served = Arc::new(Mutex::new(VecDeque::new()));
    let serving = served.clone();
    let requests = stream::unfold((frames, Some(tell)), move |(mut frames, tell)| {
        let core = checked.clone();
        let serving = serving.clone();
        async move {
            let frame = frames.next().await?;
            let request = frame.map_err(RefusedFrame).and_then(|frame| {
                let checked = core.link.check(frame)?;
                let request = decode_append(decode::<PbAppend>(checked.body)?).map_err(refused)?;
                room(&core, !request.entries.is_empty())?;
                lock(&serving).push_back(Served {
                    from: checked.from,
                    told: told(&request, checked.knows_start),
                    _until_answered: checked.ticket,
                });
                Ok(request)
            });
            match request {
                Ok(request) => Some((request, (frames, tell))),
                Err(error) => {
                    if let Some(tell) = tell {
                        let _ = tell.send(error);
                    }
                    None
                }
            }
        }
    });
    let answers = core.raft.stream_append(requests).map(move |result| {
        let result = result.map_err(refused)?;
        let served = lock(&served)
            .pop_front()
            .ok_or_else(|| refused("an answer without a question"))?;
        note_quorum(&core, served.told, &result);
        let answer = encode_appended(&result);
        Ok(core.link.message(served.from, Method::Append, &answer))
    });
    let last = stream::once(told_last).filter_map(|error| async { error.ok().map(Err) });
    answers.chain(last).boxed()
}

fn lock(served: &Mutex<VecDeque<Served>>) -> MutexGuard<'_, VecDeque<Served>> {
    served
        .lock()
        .expect("nothing panics while it holds what is served")
}

async fn snapshot(core: Arc<Core>, mut frames: Incoming) -> Result<Frame, RefusedFrame> {
    let inline = core.config.inline_io();
    let head = frames
        .next()
        .await
        .ok_or_else(|| refused("a snapshot without a beginning"))?
        .map_err(RefusedFrame)?;
    let checked = core.link.check(head)?;
    let (from, _until_installed) = (checked.from, checked.ticket);
    let head: PbSnapshotHead = decode(checked.body)?;
    let mut receiving = core.snapshots.receive().map_err(refused)?;
    while let Some(frame) = frames.next().await {
        let checked = core.link.check(frame.map_err(RefusedFrame)?)?;
        let pushed = rt::blocking(inline, move || {
            receiving.push(&checked.body)?;
            Ok(receiving)
        });
        receiving = pushed.await.map_err(refused)?;
    }
    let (meta, snapshot) = receiving.finish().map_err(|e: io::Error| {
        RefusedFrame(format!(
            "the snapshot of {} bytes did not arrive whole: {e}",
            head.length
        ))
    })?;
    let vote = (&head.vote).into();
    let installed = core
        .raft
        .install_full_snapshot(vote, Snapshot { meta, snapshot })
        .await
        .map_err(refused)?;
    Ok(core
        .link
        .message(from, Method::Snapshot, &PbVote::from(&installed.vote)))
}
