use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture};
use quorate_proto::raft::v1::{self as pb, raft_client::RaftClient};
use tonic::{Code, Status, transport::Channel};

use super::MAX_FRAME;
use crate::{
    MemberId,
    transport::{Answers, Frame, Outgoing, Peer, Transport, TransportError},
};

/// Opens connections: TLS, and the check that the certificate is that of the member who is called.
pub trait Connect: Send + Sync + 'static {
    /// A connection to a member at one of its addresses, `host:port`. It must give up by itself.
    fn connect(
        &self,
        member: MemberId,
        address: &str,
    ) -> BoxFuture<'static, Result<Channel, String>>;
}

/// The product's transport. One connection per member is kept and shared by all calls; when it breaks,
/// the member's addresses are tried in their order.
pub struct GrpcTransport {
    connect: Arc<dyn Connect>,
    channels: Arc<Mutex<HashMap<MemberId, Cached>>>,
}

struct Cached {
    addresses: Vec<String>,
    channel: Channel,
    serial: u64,
}

type Channels = Arc<Mutex<HashMap<MemberId, Cached>>>;

impl GrpcTransport {
    /// A transport over connections that `connect` opens.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self {
            connect,
            channels: Arc::default(),
        }
    }

    /// A client, and what to forget if its connection turns out to be broken.
    fn client(
        &self,
        peer: Peer,
    ) -> impl Future<Output = Result<(RaftClient<Channel>, Lease), TransportError>> + Send + 'static
    {
        let connect = self.connect.clone();
        let channels = self.channels.clone();
        async move {
            if let Some((channel, lease)) = cached(&channels, &peer) {
                return Ok((client(channel), lease));
            }
            let mut tried = Vec::new();
            for address in &peer.addresses {
                match connect.connect(peer.id, address).await {
                    Ok(channel) => {
                        let lease = keep(&channels, &peer, channel.clone());
                        return Ok((client(channel), lease));
                    }
                    Err(reason) => tried.push(format!("{address}: {reason}")),
                }
            }
            Err(TransportError::Unreachable {
                member: peer.id,
                reason: if tried.is_empty() {
                    "it has no address".to_owned()
                } else {
                    tried.join("; ")
                },
            })
        }
    }
}

fn client(channel: Channel) -> RaftClient<Channel> {
    RaftClient::new(channel)
        .max_decoding_message_size(MAX_FRAME)
        .max_encoding_message_size(MAX_FRAME)
}

/// Names one cached connection, so that a late failure does not throw out its successor.
struct Lease {
    channels: Channels,
    member: MemberId,
    serial: u64,
}

impl Lease {
    fn broken(&self) {
        let mut channels = lock(&self.channels);
        if channels
            .get(&self.member)
            .is_some_and(|c| c.serial == self.serial)
        {
            channels.remove(&self.member);
        }
    }

    /// What a failed call means to its caller.
    fn explain(&self, status: &Status) -> TransportError {
        let member = self.member;
        let reason = status.message().to_owned();
        match status.code() {
            Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::OutOfRange => TransportError::Refused { member, reason },
            _ => {
                self.broken();
                TransportError::Lost { member, reason }
            }
        }
    }
}

fn lock(channels: &Channels) -> std::sync::MutexGuard<'_, HashMap<MemberId, Cached>> {
    channels
        .lock()
        .expect("nothing panics while it looks up a connection")
}

fn cached(channels: &Channels, peer: &Peer) -> Option<(Channel, Lease)> {
    let channels_now = lock(channels);
    let cached = channels_now
        .get(&peer.id)
        .filter(|c| c.addresses == peer.addresses)?;
    let lease = Lease {
        channels: channels.clone(),
        member: peer.id,
        serial: cached.serial,
    };
    Some((cached.channel.clone(), lease))
}

fn keep(channels: &Channels, peer: &Peer, channel: Channel) -> Lease {
    let mut channels_now = lock(channels);
    let serial = channels_now.get(&peer.id).map_or(0, |c| c.serial) + 1;
    channels_now.insert(
        peer.id,
        Cached {
            addresses: peer.addresses.clone(),
            channel,
            serial,
        },
    );
    Lease {
        channels: channels.clone(),
        member: peer.id,
        serial,
    }
}

/// The outgoing stream under a name of its own, which spares the compiler the lifetimes within.
struct Frames(Outgoing);

impl Stream for Frames {
    type Item = pb::Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<pb::Frame>> {
        self.0
            .poll_next_unpin(cx)
            .map(|frame| frame.map(pb::Frame::from))
    }
}

impl Transport for GrpcTransport {
    fn call(
        &self,
        peer: Peer,
        frame: Frame,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Frame, TransportError>> {
        let member = peer.id;
        let client = self.client(peer);
        async move {
            let deadline = tokio::time::Instant::now() + timeout;
            let (mut client, lease) = match tokio::time::timeout_at(deadline, client).await {
                Ok(found) => found?,
                Err(_) => {
                    return Err(TransportError::Unreachable {
                        member,
                        reason: format!("no connection within {timeout:?}"),
                    });
                }
            };
            match tokio::time::timeout_at(deadline, client.call(pb::Frame::from(frame))).await {
                Ok(Ok(answer)) => Ok(answer.into_inner().into()),
                Ok(Err(status)) => Err(lease.explain(&status)),
                Err(_) => {
                    // A connection may be dead without a word; the next call tries anew.
                    lease.broken();
                    Err(TransportError::Lost {
                        member,
                        reason: format!("nothing within {timeout:?}"),
                    })
                }
            }
        }
        .boxed()
    }

    fn replicate(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Answers, TransportError>> {
        let client = self.client(peer);
        let frames = Frames(frames);
        async move {
            let (mut client, lease) = client.await?;
            let answers = client
                .replicate(frames)
                .await
                .map_err(|status| lease.explain(&status))?;
            let answers = answers.into_inner().map(move |answer| match answer {
                Ok(frame) => Ok(frame.into()),
                Err(status) => Err(lease.explain(&status)),
            });
            Ok(answers.boxed())
        }
        .boxed()
    }

    fn snapshot(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Frame, TransportError>> {
        let client = self.client(peer);
        let frames = Frames(frames);
        async move {
            let (mut client, lease) = client.await?;
            match client.snapshot(frames).await {
                Ok(answer) => Ok(answer.into_inner().into()),
                Err(status) => Err(lease.explain(&status)),
            }
        }
        .boxed()
    }
}
