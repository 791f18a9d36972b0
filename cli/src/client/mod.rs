//! The connection to the cluster.
//!
//! Any member answers any call, so the context's addresses are tried in order and the first that
//! answers is used. A member that is cut off from the others is passed over too, because another one
//! may be in the majority. Nothing about this is remembered after the command ends.

mod consoles;
mod follow;
mod objects;
mod refusal;
mod unreachable;

use std::{sync::Arc, time::Duration};

use quorate_client::{Addresses, Connection, Unreachable};
use quorate_proto::api::v1::{
    cluster_client::ClusterClient, identity_client::IdentityClient, objects_client::ObjectsClient,
    planning_client::PlanningClient,
};
use tonic::{Code, Request, Response, Status, transport::Channel};

pub(crate) use self::{
    consoles::{Input, Output, Screen},
    follow::{Follow, Followed, Scope},
    objects::{Change, Changed, FIELD_MANAGER, Listed, consistency, reference, stream_refusal},
    refusal::Refusal,
    unreachable::advice,
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
    addresses: Addresses,
    tls: Arc<rustls::ClientConfig>,
    request_timeout: Option<Duration>,
}

impl Client {
    pub(crate) fn new(
        endpoints: Vec<String>,
        tls: Arc<rustls::ClientConfig>,
        request_timeout: Option<Duration>,
    ) -> Self {
        Self {
            addresses: Addresses::new(endpoints),
            tls,
            request_timeout,
        }
    }

    /// Send a call and wait for its answer.
    pub(crate) async fn call<T, F, Fut>(&self, retry: Retry, send: F) -> Result<T, CliError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut first_refusal = None;
        for _ in 0..self.addresses.count() {
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
                    let from = self.addresses.of(&connection);
                    let refusal = Refusal::from_status(&status, from);
                    let elsewhere = refusal.no_quorum()
                        || (refusal.is_broken_connection() && retry == Retry::Safe);
                    if !elsewhere {
                        return Err(refusal.into());
                    }
                    self.addresses.leave(&connection, &self.tls).await;
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

    /// How many members the context names.
    pub(crate) fn members(&self) -> usize {
        self.addresses.count()
    }

    /// Use another member next time: this one answered that it cannot help.
    pub(crate) async fn leave_current(&self) {
        self.addresses.leave_current(&self.tls).await;
    }

    async fn connection(&self) -> Result<Connection, Unreachable> {
        self.addresses.connection(&self.tls).await
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
