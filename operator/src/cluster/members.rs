//! The calls to the members of one cluster. Any member answers any call; who does not answer, or has no quorum, is passed over.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use quorate_client::{Addresses, Connection, Unreachable};
use quorate_proto::api::v1::{
    ApplyRequest, ChangeOptions, DeleteRequest, GetRequest, ObjectRef, Outcome, RenewRequest,
    WatchReply, WatchRequest, identity_client::IdentityClient, objects_client::ObjectsClient,
};
use rustls::ClientConfig;
use serde_json::Value;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::{CallError, refusal::decode};
use crate::sync::FIELD_MANAGER;

/// An answer takes longer only when something is wrong.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// One page of objects may be larger than the transport's default limit of 4 MiB.
const LARGEST_ANSWER: usize = 64 << 20;

/// The members of one cluster.
#[derive(Debug)]
pub struct Members {
    addresses: Addresses,
    /// Nothing until there are credentials; then the text says why.
    tls: RwLock<Result<Arc<ClientConfig>, String>>,
}

/// What an apply came to.
#[derive(Debug)]
pub struct Applied {
    /// The object afterwards.
    pub object: Value,
    /// Whether anything was written.
    pub written: bool,
}

impl Members {
    /// The members behind `endpoints`, which cannot be asked before there are credentials.
    #[must_use]
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            addresses: Addresses::new(endpoints),
            tls: RwLock::new(Err("its credentials are not read yet".to_owned())),
        }
    }

    /// From the next connection on these settings, or none and why.
    pub async fn identify(&self, tls: Result<Arc<ClientConfig>, String>) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        self.addresses.forget().await;
    }

    /// Server-side apply, without force.
    pub async fn apply(&self, manifest: &Value) -> Result<Applied, CallError> {
        let request = ApplyRequest {
            manifest: manifest.to_string().into(),
            subresource: String::new(),
            options: options(),
        };
        let reply = self
            .call(|channel| {
                let request = timed(request.clone());
                async move { objects(channel).apply(request).await }
            })
            .await?;
        Ok(Applied {
            written: reply.outcome() != Outcome::Unchanged,
            object: decode(&reply.object)?,
        })
    }

    /// Deletes that very object. The call may be sent twice: the second one finds it gone, or another one in its place.
    pub async fn delete(&self, kind: &str, name: &str, uid: &str) -> Result<(), CallError> {
        let request = DeleteRequest {
            object: reference(kind, name),
            uid: uid.to_owned(),
            options: options(),
            ..DeleteRequest::default()
        };
        let deleted = self
            .call(|channel| {
                let request = timed(request.clone());
                async move { objects(channel).delete(request).await }
            })
            .await;
        match deleted {
            Err(error) if error.is_not_found() => Ok(()),
            deleted => deleted.map(|_| ()),
        }
    }

    /// One object, or that there is none.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Option<Value>, CallError> {
        let request = GetRequest {
            object: reference(kind, name),
            consistency: 0,
        };
        let reply = self
            .call(|channel| {
                let request = timed(request.clone());
                async move { objects(channel).get(request).await }
            })
            .await;
        match reply {
            Ok(reply) => decode(&reply.object).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows a kind from `revision` on, or from what exists now when that is empty.
    pub(super) async fn watch(
        &self,
        kind: &str,
        revision: &str,
    ) -> Result<Streaming<WatchReply>, CallError> {
        let request = WatchRequest {
            kind: kind.to_owned(),
            resource_version: revision.to_owned(),
            send_initial: revision.is_empty(),
            bookmarks: true,
            ..WatchRequest::default()
        };
        self.call(|channel| {
            let request = request.clone();
            async move { objects(channel).watch(request).await }
        })
        .await
    }

    /// A new certificate for the same user, and the authority's.
    pub async fn renew(&self, request: &str) -> Result<(String, String), CallError> {
        let reply = self
            .call(|channel| {
                let request = timed(RenewRequest {
                    csr: request.to_owned(),
                });
                async move { IdentityClient::new(channel).renew(request).await }
            })
            .await?;
        Ok((reply.certificate, reply.ca_certificate))
    }

    /// Uses another member next time.
    pub(super) async fn leave_current(&self) {
        if let Ok(tls) = self.tls() {
            self.addresses.leave_current(&tls).await;
        }
    }

    async fn call<T, F, Fut>(&self, send: F) -> Result<T, CallError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut last = CallError::unavailable("the configuration names no address of it");
        for _ in 0..self.addresses.count() {
            let tls = self.tls()?;
            let connection = self.connection(&tls).await?;
            let sent = tokio::time::timeout(ANSWER_TIME, send(connection.channel.clone())).await;
            let error = match sent {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => CallError::from(status),
                Err(_) => CallError::unavailable("no answer in time"),
            };
            if !matches!(error, CallError::Unavailable { .. }) {
                return Err(error);
            }
            self.addresses.leave(&connection, &tls).await;
            last = error;
        }
        Err(last)
    }

    async fn connection(&self, tls: &Arc<ClientConfig>) -> Result<Connection, CallError> {
        let connected = self.addresses.connection(tls).await;
        connected.map_err(|unreachable| self.nobody_answers(&unreachable))
    }

    /// The same words each time: they are shown in conditions, and every change of those is a write.
    fn nobody_answers(&self, unreachable: &Unreachable) -> CallError {
        tracing::debug!(attempts = ?unreachable.attempts(), "no member answers");
        CallError::unavailable(match self.addresses.count() {
            1 => "its one address does not answer".to_owned(),
            addresses => format!("none of its {addresses} addresses answers"),
        })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, CallError> {
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        tls.clone().map_err(CallError::unavailable)
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_TIME);
    request
}

fn objects(channel: Channel) -> ObjectsClient<Channel> {
    ObjectsClient::new(channel)
        .max_decoding_message_size(LARGEST_ANSWER)
        .max_encoding_message_size(LARGEST_ANSWER)
}

fn options() -> Option<ChangeOptions> {
    Some(ChangeOptions {
        field_manager: FIELD_MANAGER.to_owned(),
        dry_run: false,
        force: false,
    })
}

fn reference(kind: &str, name: &str) -> Option<ObjectRef> {
    Some(ObjectRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
    })
}
