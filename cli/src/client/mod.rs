//! The connection to the cluster.
//!
//! Any member answers any call, so the context's addresses are tried in order and the first that
//! answers is used. A member that is cut off from the others is passed over too, because another one
//! may be in the majority. Nothing about this is remembered after the command ends.

mod connect;
mod consoles;
mod follow;
mod objects;
mod refusal;

use std::{sync::Arc, time::Duration};

use quorate_proto::api::v1::{
    cluster_client::ClusterClient, identity_client::IdentityClient, objects_client::ObjectsClient,
    planning_client::PlanningClient,
};
use tokio::sync::Mutex;
use tonic::{Code, Request, Response, Status, transport::Channel};

pub(crate) use self::{
    connect::Unreachable,
    consoles::{Input, Output, Screen},
    follow::{Follow, Followed, Scope},
    objects::{Change, Changed, FIELD_MANAGER, Listed, consistency, reference, stream_refusal},
    refusal::Refusal,
};
use crate::error::CliError;

/// One page of objects may be larger than the transport's default limit of 4 MiB.
const LARGEST_ANSWER: usize = 256 << 20;

/// Whether a call may be sent again, to another member, when the connection broke before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Reads, and writes that come to the same when done twice.
    Safe,
    /// Writes of which a second one would do something else.
    Never,
}

/// The members of one cluster.
#[derive(Debug)]
pub(crate) struct Client {
    endpoints: Vec<String>,
    tls: Arc<rustls::ClientConfig>,
    request_timeout: Option<Duration>,
    current: Mutex<Option<Connection>>,
}

#[derive(Debug, Clone)]
struct Connection {
    endpoint: usize,
    channel: Channel,
}

impl Client {
    pub(crate) fn new(
        endpoints: Vec<String>,
        tls: Arc<rustls::ClientConfig>,
        request_timeout: Option<Duration>,
    ) -> Self {
        Self {
            endpoints,
            tls,
            request_timeout,
            current: Mutex::new(None),
        }
    }

    /// Send a call and wait for its answer.
    pub(crate) async fn call<T, F, Fut>(&self, retry: Retry, send: F) -> Result<T, CliError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut first_refusal = None;
        for _ in 0..self.endpoints.len() {
            let connection = match self.connection().await {
                Ok(connection) => connection,
                // Those that do answer have no quorum: that says more than who does not answer.
                Err(error) => {
                    return Err(first_refusal.map_or_else(|| error.into(), CliError::from));
                }
            };
            match self.within_time(send(connection.channel.clone())).await? {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => {
                    let from = &self.endpoints[connection.endpoint];
                    let refusal = Refusal::from_status(&status, from);
                    let elsewhere = refusal.no_quorum()
                        || (refusal.is_broken_connection() && retry == Retry::Safe);
                    if !elsewhere {
                        return Err(refusal.into());
                    }
                    self.leave(&connection).await;
                    first_refusal.get_or_insert(refusal);
                }
            }
        }
        Err(first_refusal.map_or_else(|| Unreachable::nobody_to_ask().into(), CliError::from))
    }

    /// A request whose deadline the server knows too.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(timeout) = self.request_timeout {
            request.set_timeout(timeout);
        }
        request
    }

    /// An open connection to a member.
    pub(crate) async fn channel(&self) -> Result<Channel, Unreachable> {
        Ok(self.connection().await?.channel)
    }

    /// Use another member next time: this one answered that it cannot help.
    pub(crate) async fn leave_current(&self) {
        let connection = self.current.lock().await.clone();
        if let Some(connection) = connection {
            self.leave(&connection).await;
        }
    }

    async fn connection(&self) -> Result<Connection, Unreachable> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref() {
            return Ok(connection.clone());
        }
        self.connect_from(0, &mut current).await
    }

    async fn leave(&self, left: &Connection) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|connection| connection.endpoint != left.endpoint)
        {
            return;
        }
        *current = None;
        // When nobody else answers either, the next call says so.
        let _ = self.connect_from(left.endpoint + 1, &mut current).await;
    }

    // Tries every endpoint once, beginning with `start`.
    async fn connect_from(
        &self,
        start: usize,
        current: &mut Option<Connection>,
    ) -> Result<Connection, Unreachable> {
        let mut attempts = Vec::new();
        for step in 0..self.endpoints.len() {
            let endpoint = (start + step) % self.endpoints.len();
            match connect::dial(&self.endpoints[endpoint], &self.tls).await {
                Ok(channel) => {
                    let connection = Connection { endpoint, channel };
                    *current = Some(connection.clone());
                    return Ok(connection);
                }
                Err(reason) => attempts.push((self.endpoints[endpoint].clone(), reason)),
            }
        }
        Err(Unreachable::new(attempts))
    }

    async fn within_time<F: Future>(&self, call: F) -> Result<F::Output, CliError> {
        match self.request_timeout {
            None => Ok(call.await),
            Some(limit) => tokio::time::timeout(limit, call).await.map_err(|_| {
                CliError::TimedOut(format!(
                    "no answer within {}; a change may or may not have been made: look with `quorate get`, \
                     or allow more time with --request-timeout",
                    crate::output::age::short(limit.as_secs().try_into().unwrap_or(i64::MAX))
                ))
            }),
        }
    }
}

/// The objects' service on a connection.
pub(crate) fn objects(channel: Channel) -> ObjectsClient<Channel> {
    ObjectsClient::new(channel)
        .max_decoding_message_size(LARGEST_ANSWER)
        .max_encoding_message_size(LARGEST_ANSWER)
}

/// The cluster's service on a connection.
pub(crate) fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(LARGEST_ANSWER)
}

/// The planning service on a connection.
pub(crate) fn planning(channel: Channel) -> PlanningClient<Channel> {
    PlanningClient::new(channel)
        .max_decoding_message_size(LARGEST_ANSWER)
        .max_encoding_message_size(LARGEST_ANSWER)
}

/// The identity service on a connection.
pub(crate) fn identity(channel: Channel) -> IdentityClient<Channel> {
    IdentityClient::new(channel)
}

/// Whether a status came from the transport and not from a server.
fn is_transport(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    ) && !status
        .metadata()
        .contains_key(quorate_proto::client::EXPLANATION)
}
