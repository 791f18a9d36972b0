//! The consensus library's calls, over the members' transport.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, Either, select},
    pin_mut, stream,
    stream::BoxStream,
};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesResponse, SnapshotResponse, StreamAppendError, TransferLeaderError,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    storage::Snapshot,
};
use prost::Message;

use super::{
    AppendRequest, AppendResult, Committed, LogId, Types, Vote,
    link::{Link, Method, peer},
    part::Dealing,
};
use crate::{
    Member, MemberId, rt,
    snapshot::SnapshotData,
    transport::{Peer, TransportError},
    wire::{
        PbAppended, PbSnapshotHead, PbTransfer, PbTransferred, PbVote, PbVoteRequest,
        PbVoteResponse, WireError, decode_appended, encode_append,
    },
};

type Failure = RPCError<Types>;

/// How long a peer may owe an answer to replicated entries before the stream is made anew. A disk may
/// well be slow for seconds; heartbeats, not this, notice that a member is gone.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Networks {
    link: Arc<Link>,
}

impl Networks {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }
}

impl RaftNetworkFactory<Types> for Networks {
    type Network = Network;

    async fn new_client(&mut self, target: MemberId, node: &Member) -> Network {
        Network {
            link: self.link.clone(),
            peer: peer(target, node),
            heartbeats: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: MemberId, node: &Member) -> Network {
        Network {
            link: self.link.clone(),
            peer: peer(target, node),
            heartbeats: true,
        }
    }
}

/// The way to one member.
pub(crate) struct Network {
    link: Arc<Link>,
    peer: Peer,
    /// Heartbeats come one by one: a call each is cheaper than a stream each.
    heartbeats: bool,
}

/// A failure, in words. Every one of them makes the library wait a moment before it tries again.
fn failure(reason: impl ToString) -> Failure {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        failure(error)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        failure(error)
    }
}

fn decode<M: Message + Default>(body: Bytes) -> Result<M, Failure> {
    M::decode(body).map_err(failure)
}

/// An answer to replication, looked at twice: a peer that lost what it had confirmed would have the
/// library break its own rules, and this cluster its promises.
fn appended(
    link: &Link,
    peer: MemberId,
    leader: Vote,
    body: Bytes,
) -> Result<AppendResult, Failure> {
    let result = decode_appended(decode::<PbAppended>(body)?)?;
    match &result {
        Ok(Some(at)) => link.note_matched(peer, leader, *at),
        Err(StreamAppendError::Conflict(missing)) if link.has_lost(peer, leader, *missing) => {
            tracing::error!(
                member = peer,
                entry = missing.index,
                "the member has lost entries that it had confirmed; remove it, set its data directory aside, \
                 and join it as a new member"
            );
            return Err(failure(format!(
                "member {peer} has lost entry {} that it had confirmed",
                missing.index
            )));
        }
        _ => {}
    }
    Ok(result)
}

impl Network {
    async fn ask(&self, method: Method, body: Vec<u8>, within: Duration) -> Result<Bytes, Failure> {
        let body = Bytes::from(body);
        let answer = self.link.ask(self.peer.clone(), method, body, within);
        Ok(answer.await?)
    }

    /// What is answered without asking, if anything: for a voter that is proven off, or that is not to be heard.
    fn in_its_place(&self, request: &AppendRequest) -> Option<Result<AppendResult, Failure>> {
        in_place_of(&self.link, self.peer.id, request)
    }

    fn silent(&self) -> Failure {
        silence(self.peer.id)
    }

    async fn append(
        &self,
        request: &AppendRequest,
        within: Duration,
    ) -> Result<AppendResult, Failure> {
        if let Some(answer) = self.in_its_place(request) {
            return answer;
        }
        let body = encode_append(request).encode_to_vec();
        let answer = self.ask(Method::Append, body, within).await?;
        appended(&self.link, self.peer.id, request.vote, answer)
    }

    async fn vote(
        &self,
        method: Method,
        request: &VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        match self.link.part.dealing(self.peer.id, None) {
            Dealing::Speak | Dealing::Depart => {}
            Dealing::Silence => return Err(self.silent()),
            Dealing::StandIn => {
                return Ok(VoteResponse::new(request.vote, request.last_log_id, true));
            }
        }
        let body = PbVoteRequest::from(request).encode_to_vec();
        let asked = self
            .link
            .ask(self.peer.clone(), method, body.into(), option.hard_ttl());
        let answer = asked.await.inspect_err(|error| {
            if let TransportError::Refused { reason, .. } = error {
                self.link.note_refusal(Some(reason.clone()));
            }
        })?;
        self.link.note_refusal(None);
        Ok(decode::<PbVoteResponse>(answer)?.into())
    }

    /// Entries one behind the other, without waiting for answers.
    ///
    /// The connection is made only when there is something to send: the library waits between attempts
    /// where it makes the requests, not where it opens the stream.
    async fn pipeline<S>(
        &self,
        mut requests: S,
    ) -> Result<BoxStream<'static, Result<AppendResult, Failure>>, Failure>
    where
        S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
    {
        let Some(first) = requests.next().await else {
            return Ok(stream::empty().boxed());
        };
        let mut phase = self.link.part.phase();
        if let Some(answer) = self.in_its_place(&first) {
            return Ok(self.without_asking(answer, requests));
        }
        self.link.may_speak(self.peer.id)?;
        let requests = stream::once(async { first }).chain(requests);
        let owed = Arc::new(Owed::default());
        let frames = {
            let (link, owed, to) = (self.link.clone(), owed.clone(), self.peer.id);
            requests.map(move |request| {
                owed.asked(request.vote);
                link.message(to, Method::Append, &encode_append(&request))
            })
        };
        let answers = self
            .link
            .transport
            .replicate(self.peer.clone(), frames.boxed());
        // A connection to a machine that is gone may take long to fail, or never do: the library makes no other before. A
        // takeover does not wait for it at all.
        let answers = tokio::select! {
            biased;
            _ = phase.changed() => return Err(self.silent()),
            answers = rt::within(PATIENCE, answers) => {
                answers.ok_or_else(|| failure("no stream for replication could be opened in time"))??
            }
        };
        let (link, peer) = (self.link.clone(), self.peer.id);
        let results = stream::unfold(Some((answers, phase)), move |going| {
            let (link, owed) = (link.clone(), owed.clone());
            async move {
                let (mut answers, mut phase) = going?;
                let answer = loop {
                    let before = owed.count();
                    let next = rt::within(PATIENCE, answers.next());
                    let next = tokio::select! {
                        biased;
                        next = next => next,
                        _ = phase.changed() => return Some((Err(silence(peer)), None)),
                    };
                    match next {
                        Some(answer) => break answer?,
                        None if before == 0 => {}
                        None => return Some((Err(failure("no answer to replication")), None)),
                    }
                };
                let result = match answer {
                    Ok(frame) => link.answer(peer, frame).map_err(Failure::from),
                    Err(error) => Err(error.into()),
                };
                let leader = owed.answered();
                let result = result.and_then(|body| appended(&link, peer, leader, body));
                let rest = matches!(result, Ok(Ok(_))).then_some((answers, phase));
                Some((result, rest))
            }
        });
        Ok(results.boxed())
    }

    /// Answers in the place of a voter that is proven off, for as long as that is so.
    fn without_asking<S>(
        &self,
        first: Result<AppendResult, Failure>,
        requests: S,
    ) -> BoxStream<'static, Result<AppendResult, Failure>>
    where
        S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
    {
        let (link, peer) = (self.link.clone(), self.peer.id);
        let rest = requests.map(move |request| {
            in_place_of(&link, peer, &request).unwrap_or_else(|| Err(silence(peer)))
        });
        // What is not a success ends the stream.
        let answers = stream::once(async { first }).chain(rest);
        stream::unfold(Some(answers.boxed()), |answers| async move {
            let mut answers = answers?;
            let answer = answers.next().await?;
            let rest = matches!(answer, Ok(Ok(_))).then_some(answers);
            Some((answer, rest))
        })
        .boxed()
    }
}

fn silence(peer: MemberId) -> Failure {
    failure(format!(
        "member {peer} is outside the half that takes over, and is not spoken to"
    ))
}

/// What a leader is answered in the place of a voter that is proven off: that it has everything. That is worth one vote, and
/// all others of the half must still agree.
///
/// Should the takeover be given up after that, the leader must not go on: it believes that the voter has what it lacks.
fn in_place_of(
    link: &Link,
    peer: MemberId,
    request: &AppendRequest,
) -> Option<Result<AppendResult, Failure>> {
    match link.part.dealing(peer, Some(request.vote)) {
        Dealing::Speak => None,
        Dealing::Silence => Some(Err(silence(peer))),
        Dealing::StandIn => {
            let last = request.entries.last().map(|entry| entry.log_id);
            Some(Ok(Ok(last.or(request.prev_log_id))))
        }
        Dealing::Depart => {
            // As if it had voted for the other in a later term: by a vote for itself the library would not let it step down.
            let later = Vote::new(request.vote.leader_id.term + 1, peer);
            Some(Ok(Err(StreamAppendError::HigherVote(later))))
        }
    }
}

/// How many answers a pipeline still waits for, and under which leadership.
#[derive(Default)]
struct Owed {
    count: AtomicU64,
    term: AtomicU64,
    leader: AtomicU64,
}

impl Owed {
    fn asked(&self, leader: Vote) {
        self.term.store(leader.leader_id.term, Ordering::Relaxed);
        self.leader
            .store(leader.leader_id.voted_for, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Release);
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// A stream serves one leadership from its beginning to its end.
    fn answered(&self) -> Vote {
        let _ = self
            .count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |c| c.checked_sub(1));
        Vote::new_committed(
            self.term.load(Ordering::Relaxed),
            self.leader.load(Ordering::Relaxed),
        )
    }
}

impl RaftNetworkV2<Types> for Network {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendRequest,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, Failure> {
        Ok(self.append(&rpc, option.hard_ttl()).await?.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<AppendResult, Failure>>, Failure>>
    where
        S: Stream<Item = AppendRequest> + OptionalSend + Unpin + 'static,
    {
        if !self.heartbeats {
            return async move { self.pipeline(input).await }.boxed();
        }
        async move {
            let mut results = Vec::new();
            while let Some(request) = input.next().await {
                let result = self.append(&request, option.hard_ttl()).await;
                // A heartbeat asks for what the peer confirmed long ago.
                let result = match result {
                    Ok(Err(StreamAppendError::Conflict(missing))) => Err(failure(format!(
                        "member {} lacks entry {} that it had confirmed",
                        self.peer.id, missing.index
                    ))),
                    other => other,
                };
                let stop = !matches!(result, Ok(Ok(_)));
                results.push(result);
                if stop {
                    break;
                }
            }
            Ok(stream::iter(results).boxed())
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        Network::vote(self, Method::Vote, &rpc, option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        Network::vote(self, Method::PreVote, &rpc, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Committed, MemberId, Member, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        match self.link.part.dealing(self.peer.id, Some(vote)) {
            Dealing::Speak => {}
            Dealing::StandIn => return Ok(SnapshotResponse::new(vote)),
            Dealing::Silence | Dealing::Depart => return Err(self.silent().into()),
        }
        let to = self.peer.id;
        self.link.may_speak(to).map_err(Failure::from)?;
        let head = PbSnapshotHead {
            vote: PbVote::from(&vote),
            length: snapshot.snapshot.length(),
        };
        let head = self.link.message(to, Method::Snapshot, &head);
        let link = self.link.clone();
        let data = Arc::new(snapshot.snapshot);
        // A chunk that cannot be read ends the stream early; the receiver sees that it is torn.
        let chunks = stream::unfold(0, move |offset| {
            let (link, data) = (link.clone(), data.clone());
            async move {
                let chunk = match data.chunk(offset) {
                    Ok(chunk) => chunk?,
                    Err(error) => {
                        tracing::error!(%error, "the snapshot cannot be read");
                        return None;
                    }
                };
                let next = offset + chunk.len() as u64;
                Some((link.frame(to, Method::Snapshot, chunk), next))
            }
        });
        let frames = stream::once(async { head }).chain(chunks).boxed();
        let sent = self.link.transport.snapshot(self.peer.clone(), frames);
        let sent = rt::within(option.hard_ttl(), sent);
        pin_mut!(sent, cancel);
        let answer = match select(sent, cancel).await {
            Either::Left((answer, _)) => answer,
            Either::Right((closed, _)) => return Err(closed.into()),
        };
        let answer = answer.ok_or_else(|| failure("the snapshot was not installed in time"))?;
        let body = self
            .link
            .answer(self.peer.id, answer.map_err(Failure::from)?)
            .map_err(Failure::from)?;
        let higher: PbVote = decode(body)?;
        Ok(SnapshotResponse::new(Vote::from(&higher)))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, Failure> {
        if self.link.part.dealing(self.peer.id, None) != Dealing::Speak {
            return Err(self.silent());
        }
        let body = PbTransfer::from(&req).encode_to_vec();
        let answer = self.ask(Method::Transfer, body, option.hard_ttl()).await?;
        let answer: PbTransferred = decode(answer)?;
        if let Some(found) = &answer.vote_found {
            return Ok(Err(TransferLeaderError::VoteChanged {
                expected: *req.from_leader(),
                actual: Vote::from(found),
            }));
        }
        if answer.behind {
            return Ok(Err(TransferLeaderError::LogNotFlushed {
                expected: req.last_log_id().copied(),
                actual: answer.last.as_ref().map(LogId::from),
            }));
        }
        Ok(Ok(()))
    }
}
