use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use quorate_proto::member::v1::{
    HeardReply, HeardRequest, RunAgentReply, RunAgentRequest, members_client::MembersClient,
};
use quorate_store::{MemberId, Store, transport::Connect};
use tonic::{Code, Response, Status, transport::Channel};

use super::{CallError, MemberCalls};

/// A question about what is in memory is answered at once or not at all.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// What a call may take longer than the agent that it runs.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// Asks other members over gRPC. One connection per member is kept until it breaks.
pub struct GrpcMemberCalls {
    store: Store,
    connect: Arc<dyn Connect>,
    channels: Arc<Mutex<Channels>>,
}

type Channels = BTreeMap<MemberId, (Vec<String>, Channel)>;

impl GrpcMemberCalls {
    /// Calls over connections that `connect` opens, to the members that `store` knows.
    pub fn new(store: Store, connect: Arc<dyn Connect>) -> Self {
        Self {
            store,
            connect,
            channels: Arc::default(),
        }
    }

    fn call<T, F>(
        &self,
        member: MemberId,
        patience: Duration,
        ask: impl FnOnce(MembersClient<Channel>) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<T, CallError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send,
    {
        let addresses = self
            .store
            .status()
            .members
            .into_iter()
            .find(|known| known.id == member)
            .map(|known| known.addresses)
            .unwrap_or_default();
        let (connect, channels) = (self.connect.clone(), self.channels.clone());
        async move {
            let called = tokio::time::timeout(patience, async {
                let channel = channel(&*connect, &channels, member, addresses).await?;
                match ask(MembersClient::new(channel)).await {
                    Ok(answer) => Ok(answer.into_inner()),
                    Err(status) => Err(explain(&channels, member, &status)),
                }
            });
            called.await.unwrap_or_else(|_| {
                Err(CallError::NoAnswer {
                    member,
                    reason: format!("nothing came within {patience:?}"),
                })
            })
        }
        .boxed()
    }
}

impl MemberCalls for GrpcMemberCalls {
    fn heard(
        &self,
        member: MemberId,
        request: HeardRequest,
    ) -> BoxFuture<'static, Result<HeardReply, CallError>> {
        self.call(member, HEARD_WITHIN, |mut client| async move {
            client.heard(request).await
        })
    }

    fn run_agent(
        &self,
        member: MemberId,
        request: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, CallError>> {
        let patience = Duration::from_millis(request.timeout_ms.into()) + ON_THE_WAY;
        self.call(member, patience, |mut client| async move {
            client.run_agent(request).await
        })
    }
}

async fn channel(
    connect: &dyn Connect,
    channels: &Mutex<Channels>,
    member: MemberId,
    addresses: Vec<String>,
) -> Result<Channel, CallError> {
    if let Some((known, channel)) = lock(channels).get(&member)
        && *known == addresses
    {
        return Ok(channel.clone());
    }
    let mut tried = Vec::new();
    for address in &addresses {
        match connect.connect(member, address).await {
            Ok(channel) => {
                lock(channels).insert(member, (addresses.clone(), channel.clone()));
                return Ok(channel);
            }
            Err(reason) => tried.push(format!("{address}: {reason}")),
        }
    }
    Err(CallError::NoAnswer {
        member,
        reason: if tried.is_empty() {
            "it has no address".to_owned()
        } else {
            tried.join("; ")
        },
    })
}

fn explain(channels: &Mutex<Channels>, member: MemberId, status: &Status) -> CallError {
    let reason = status.message().to_owned();
    match status.code() {
        Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::NotFound
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => CallError::Refused { member, reason },
        _ => {
            lock(channels).remove(&member);
            CallError::NoAnswer { member, reason }
        }
    }
}

fn lock(channels: &Mutex<Channels>) -> MutexGuard<'_, Channels> {
    // A map of connections cannot be left half-changed.
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}
