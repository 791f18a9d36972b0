//! The members' replication over the simulated wire.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use quorate_store::{
    MemberId,
    transport::{
        Answers, Frame, Incoming, Outgoing, Peer, Receive, RefusedFrame, Transport, TransportError,
    },
};

use crate::{
    beats::process_at,
    executor::{Broken, PipeStart, ProcessId, Wire},
    registry::Registry,
};

/// Which running member answers frames in which process.
pub(crate) type Receivers = Registry<Arc<dyn Receive>>;

/// The end of the wire that one member replicates through.
pub(crate) struct WireTransport {
    pub(crate) wire: Wire,
    pub(crate) from: ProcessId,
    pub(crate) receivers: Receivers,
}

fn target(peer: &Peer) -> ProcessId {
    peer.addresses
        .first()
        .map(|a| process_at(a))
        .unwrap_or_default()
}

fn digest(frame: &Frame) -> u64 {
    let mut hasher = DefaultHasher::new();
    (frame.from, frame.start_counter, frame.method, &frame.body).hash(&mut hasher);
    hasher.finish()
}

fn broken(member: MemberId, broken: Broken) -> TransportError {
    let reason = broken.to_string();
    match broken {
        Broken::Unreachable => TransportError::Unreachable { member, reason },
        Broken::Lost => TransportError::Lost { member, reason },
    }
}

fn starting(member: MemberId) -> TransportError {
    TransportError::Unreachable {
        member,
        reason: "its process does not listen yet".to_owned(),
    }
}

fn refused(member: MemberId, refused: RefusedFrame) -> TransportError {
    TransportError::Refused {
        member,
        reason: refused.0,
    }
}

impl Transport for WireTransport {
    fn call(
        &self,
        peer: Peer,
        frame: Frame,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Frame, TransportError>> {
        let (wire, from, to) = (self.wire.clone(), self.from.clone(), target(&peer));
        let (receivers, there) = (self.receivers.clone(), to.clone());
        let member = peer.id;
        async move {
            let label = format!("raft {}", frame.method);
            let digest = digest(&frame);
            let handle =
                move || async move { Some(receivers.get(&there)?.call(frame).await) }.boxed();
            let asked = wire.ask(&from, &to, &label, digest, handle);
            match tokio::time::timeout(timeout, asked).await {
                Err(_) => Err(broken(member, Broken::Lost)),
                Ok(Err(error)) => Err(broken(member, error)),
                Ok(Ok(None)) => Err(starting(member)),
                Ok(Ok(Some(answer))) => answer.map_err(|r| refused(member, r)),
            }
        }
        .boxed()
    }

    fn replicate(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Answers, TransportError>> {
        let (wire, from, to) = (self.wire.clone(), self.from.clone(), target(&peer));
        let receivers = self.receivers.clone();
        let member = peer.id;
        async move {
            let failed = |error| broken(member, error);
            let (sends, incoming) = wire.pipe(&from, &to, "entries").map_err(failed)?;
            let (answers, answered) = wire.pipe(&to, &from, "entries, answered").map_err(failed)?;
            let there = to.clone();
            let handle = move || {
                async move {
                    let Some(receive) = receivers.get(&there) else {
                        return false;
                    };
                    tokio::spawn(async move {
                        let mut results = receive.replicate(until_broken(incoming));
                        while let Some(result) = results.next().await {
                            if !answers.send(result, 0) {
                                break;
                            }
                        }
                    });
                    true
                }
                .boxed()
            };
            match wire.ask(&from, &to, "raft stream", 0, handle).await {
                Ok(true) => {}
                Ok(false) => return Err(starting(member)),
                Err(error) => return Err(broken(member, error)),
            }
            let pump = pump(frames, sends);
            let answered = answered.map(move |answer| match answer {
                Ok(answer) => answer.map_err(|r| refused(member, r)),
                Err(error) => Err(broken(member, error)),
            });
            Ok(beside(pump, answered).boxed())
        }
        .boxed()
    }

    fn snapshot(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Frame, TransportError>> {
        let (wire, from, to) = (self.wire.clone(), self.from.clone(), target(&peer));
        let receivers = self.receivers.clone();
        let member = peer.id;
        async move {
            let failed = |error| broken(member, error);
            let (sends, incoming) = wire.pipe(&from, &to, "snapshot").map_err(failed)?;
            let there = to.clone();
            let handle = move || {
                async move {
                    let receive = receivers.get(&there)?;
                    Some(receive.snapshot(until_broken(incoming)).await)
                }
                .boxed()
            };
            let pump = pump(frames, sends);
            let asked = wire.ask(&from, &to, "raft snapshot", 0, handle);
            let (answer, ()) = futures_util::join!(asked, pump);
            match answer {
                Ok(Some(answer)) => answer.map_err(|r| refused(member, r)),
                Ok(None) => Err(starting(member)),
                Err(error) => Err(broken(member, error)),
            }
        }
        .boxed()
    }
}

/// Puts what is to be sent into a pipe, for as long as somebody takes it out.
async fn pump(mut frames: Outgoing, sends: PipeStart<Frame>) {
    while let Some(frame) = frames.next().await {
        let digest = digest(&frame);
        if !sends.send(frame, digest) {
            break;
        }
    }
}

/// Ends a stream behind its first error, as the receiving side of a transport expects it.
fn until_broken(frames: impl Stream<Item = Result<Frame, Broken>> + Send + 'static) -> Incoming {
    let mut ended = false;
    frames
        .map(|frame| frame.map_err(|error| error.to_string()))
        .take_while(move |frame| {
            let go_on = !ended;
            ended = frame.is_err();
            std::future::ready(go_on)
        })
        .boxed()
}

/// A stream that does its own work, as long as somebody reads it.
fn beside<T: 'static>(
    work: impl Future<Output = ()> + Send + 'static,
    items: impl Stream<Item = T> + Send + 'static,
) -> impl Stream<Item = T> + Send + 'static {
    let mut work = Some(work.boxed());
    let mut items = items.boxed();
    stream::poll_fn(move |context| {
        if let Some(doing) = &mut work
            && doing.poll_unpin(context).is_ready()
        {
            work = None;
        }
        match items.poll_next_unpin(context) {
            Poll::Ready(item) => Poll::Ready(item),
            Poll::Pending => Poll::Pending,
        }
    })
}
