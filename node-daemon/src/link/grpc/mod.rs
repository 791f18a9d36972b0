//! The cluster over gRPC and mutual TLS: whichever member answers, over whichever ring.

mod dial;
mod members;
mod refusal;
mod relay;
mod stay;
mod visits;

use super::{Answer, ClusterLink, LinkError, Relay, Updates, Visits};
use crate::drivers::SecretValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use members::Members;
use quorate_crds::{Secret, SecretKey};
use quorate_proto::api::v1::identity_client::IdentityClient;
use quorate_proto::api::v1::objects_client::ObjectsClient;
use quorate_proto::api::v1::{
    CertifyHypervisorReply, CertifyHypervisorRequest, GetRequest, ObjectRef, RenewReply,
    RenewRequest,
};
use quorate_proto::host::v1::hosts_client::HostsClient;
use quorate_proto::host::v1::{
    FiguresRequest, FollowRequest, LeaveRequest, MemberAddress, PeerAnswer, PeerQuestion,
    RegisterReply, RegisterRequest, ReportReply, ReportRequest,
};
use refusal::Refusal;
use rustls::ClientConfig;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// How long a member may take for an answer before another is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// A question about a peer waits for a decision.
const LONG_PATIENCE: Duration = Duration::from_secs(90);
/// A whole plan, with everything that it refers to, comes in one message.
const LARGEST_PLAN: usize = 256 << 20;

/// One host's way to the cluster. Cheap to clone.
#[derive(Clone)]
pub struct GrpcLink {
    tls: Arc<ClientConfig>,
    members: Arc<Mutex<Members>>,
}

impl GrpcLink {
    /// Over TLS with these settings. `endpoints` are members to begin with; the cluster then says which there are.
    #[must_use]
    pub fn new(tls: ClientConfig, endpoints: &[String]) -> Self {
        Self {
            tls: Arc::new(tls),
            members: Arc::new(Mutex::new(Members::new(endpoints))),
        }
    }

    /// A new certificate for this host, for the key of that request.
    ///
    /// # Errors
    /// When no member signs it.
    pub async fn renew(&self, csr: &str) -> Result<RenewReply, LinkError> {
        let request = RenewRequest {
            csr: csr.to_owned(),
        };
        self.ask(PATIENCE, request, |channel, request| async move {
            IdentityClient::new(channel).renew(request).await
        })
        .await
    }

    /// What this host's hypervisor shows to others, for the key of that request.
    ///
    /// # Errors
    /// When no member signs it.
    pub async fn certify_hypervisor(&self, csr: &str) -> Result<CertifyHypervisorReply, LinkError> {
        let request = CertifyHypervisorRequest {
            csr: csr.to_owned(),
        };
        self.ask(PATIENCE, request, |channel, request| async move {
            IdentityClient::new(channel)
                .certify_hypervisor(request)
                .await
        })
        .await
    }

    /// Lets go of every connection; what is under way on one goes on. The next call opens another, with the credentials
    /// that are in use then.
    pub fn reconnect(&self) {
        self.members().forget_connections();
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // A list of addresses cannot be left half changed.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one address after the other until one answers for the cluster.
    async fn ask<Q: Clone, T, F>(
        &self,
        patience: Duration,
        request: Q,
        call: impl Fn(Channel, Q) -> F,
    ) -> Result<T, LinkError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut untried: VecDeque<String> = self.members().in_order().into();
        let mut tried = BTreeSet::new();
        let mut troubles = Vec::new();
        while let Some(address) = untried.pop_front() {
            if !tried.insert(address.clone()) {
                continue;
            }
            let trouble = match self
                .ask_one(&address, patience, |channel| call(channel, request.clone()))
                .await
            {
                Ok(reply) => return Ok(reply),
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::NotLeader { leader, message }) => {
                    let addresses = leader.map(|leader| leader.addresses).unwrap_or_default();
                    for better in addresses.into_iter().rev() {
                        untried.push_front(better);
                    }
                    message
                }
                Err(Refusal::Elsewhere(message)) => message,
            };
            troubles.push(format!("{address}: {trouble}"));
        }
        if troubles.is_empty() {
            troubles.push("no member is known".to_owned());
        }
        Err(LinkError::unreachable(troubles.join("; ")))
    }

    async fn ask_one<T, F>(
        &self,
        address: &str,
        patience: Duration,
        call: impl FnOnce(Channel) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let open = self.members().open(address);
        let channel = match open {
            Some(channel) => channel,
            None => {
                let channel = dial::dial(address, &self.tls)
                    .await
                    .map_err(Refusal::Elsewhere)?;
                self.members().opened(address, channel.clone());
                channel
            }
        };
        let answer = tokio::time::timeout(patience, call(channel)).await;
        let refusal = match answer {
            Ok(Ok(reply)) => {
                self.members().prefer(address);
                return Ok(reply.into_inner());
            }
            Ok(Err(status)) => Refusal::from(status),
            Err(_) => Refusal::Elsewhere(format!("no answer within {} s", patience.as_secs())),
        };
        if matches!(refusal, Refusal::Elsewhere(_)) {
            self.members().broken(address);
        }
        Err(refusal)
    }
}

fn hosts(channel: Channel) -> HostsClient<Channel> {
    HostsClient::new(channel).max_decoding_message_size(LARGEST_PLAN)
}

impl ClusterLink for GrpcLink {
    fn register(&self, request: RegisterRequest) -> Answer<'_, RegisterReply> {
        Box::pin(async move {
            self.ask(PATIENCE, request, |channel, request| async move {
                hosts(channel).register(request).await
            })
            .await
        })
    }

    fn follow(&self, request: FollowRequest) -> Answer<'_, Updates> {
        Box::pin(async move {
            let updates = self
                .ask(PATIENCE, request, |channel, request| async move {
                    hosts(channel).follow(request).await
                })
                .await?;
            let updates: Updates = updates
                .map(|update| update.map_err(|status| Refusal::from(status).into_error()))
                .boxed();
            Ok(updates)
        })
    }

    fn report(&self, request: ReportRequest) -> Answer<'_, ReportReply> {
        Box::pin(async move {
            self.ask(PATIENCE, request, |channel, request| async move {
                hosts(channel).report(request).await
            })
            .await
        })
    }

    fn figures(&self, request: FiguresRequest) -> Answer<'_, ()> {
        Box::pin(async move {
            self.ask(PATIENCE, request, |channel, request| async move {
                hosts(channel).figures(request).await
            })
            .await
            .map(drop)
        })
    }

    fn leave(&self, request: LeaveRequest) -> Answer<'_, ()> {
        Box::pin(async move {
            self.ask(PATIENCE, request, |channel, request| async move {
                hosts(channel).leave(request).await
            })
            .await
            .map(drop)
        })
    }

    fn ask_about_peer(&self, question: PeerQuestion) -> Answer<'_, PeerAnswer> {
        Box::pin(async move {
            self.ask(LONG_PATIENCE, question, |channel, question| async move {
                hosts(channel).ask_about_peer(question).await
            })
            .await
        })
    }

    fn secret(&self, key: SecretKey) -> Answer<'_, SecretValue> {
        Box::pin(async move {
            let request = GetRequest {
                object: Some(ObjectRef {
                    kind: "Secret".to_owned(),
                    name: key.secret.to_string(),
                    ..ObjectRef::default()
                }),
                ..GetRequest::default()
            };
            let reply = self
                .ask(PATIENCE, request, |channel, request| async move {
                    ObjectsClient::new(channel).get(request).await
                })
                .await?;
            value(&reply.object, &key)
        })
    }

    fn visits(&self) -> Visits {
        visits::wait(Arc::clone(&self.tls), Arc::clone(&self.members))
    }

    fn relay(&self) -> Option<Relay> {
        let members = Arc::clone(&self.members);
        Some(relay::open(Arc::clone(&self.tls), members))
    }

    fn members_are(&self, members: &[MemberAddress]) {
        self.members().are(members);
    }
}

fn value(object: &[u8], key: &SecretKey) -> Result<SecretValue, LinkError> {
    let refused = |message: String| LinkError::Refused { message };
    // What is in it must not reach a log, and an error of the parser may quote it.
    let secret: Secret = serde_json::from_slice(object)
        .map_err(|_| refused(format!("secret {} cannot be read", key.secret)))?;
    let value = secret.spec.data.get(&*key.key).ok_or_else(|| {
        refused(format!(
            "secret {} has no value {}: add it",
            key.secret, key.key
        ))
    })?;
    let bytes = STANDARD.decode(&value.0).map_err(|_| {
        refused(format!(
            "value {} of secret {} is no base64",
            key.key, key.secret
        ))
    })?;
    Ok(SecretValue(bytes.into()))
}
