//! The `Identity` service: how machines and people come to have a certificate and keep it.
//!
//! `Join` is the one call that takes no certificate, so it is the one that strangers can try. It is held back per
//! source, answers every bad token in the same words, and does nothing that costs before the token was found
//! good. `Renew` is the one call that takes an expired certificate.

mod hypervisors;
mod join;
mod renew;

use std::sync::Arc;

use jiff::Timestamp;
use quorate_identity::{Authority, Clock, Keyring};
use quorate_proto::api::v1::{
    CanIReply, CanIRequest, CertifyHypervisorReply, CertifyHypervisorRequest, JoinReply,
    JoinRequest, RenewReply, RenewRequest, WhoAmIReply, WhoAmIRequest, identity_server,
};
use quorate_store::{Store, StoreStatus};
use tonic::{Request, Response, Status};

use crate::{
    access::{Access, Action, Caller},
    audit::{Audit, What},
    error::ApiError,
    tls::ConnectionInfo,
    tokens::{JoinLimiter, JoinTokens},
};

/// What the service works with.
pub struct IdentityService {
    /// The store.
    pub store: Store,
    /// Signs certificates.
    pub authority: Arc<Authority>,
    /// What a new member is handed to read Secrets.
    pub keyring: Arc<Keyring>,
    /// Decides who may do what.
    pub access: Arc<Access>,
    /// The join tokens.
    pub tokens: JoinTokens,
    /// Holds back guessers.
    pub limiter: JoinLimiter,
    /// Keeps note of every certificate.
    pub audit: Audit,
    /// Tells when certificates have expired.
    pub clock: Arc<dyn Clock>,
}

impl IdentityService {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn authenticate<T>(&self, request: &Request<T>) -> Result<Caller, ApiError> {
        Caller::authenticate(connection(request)?, self.now())
    }

    fn may_i(&self, caller: &Caller, asked: &CanIRequest) -> Result<CanIReply, ApiError> {
        let view = self.store.view();
        if asked.list {
            return Ok(CanIReply {
                allowed: true,
                reason: String::new(),
                rules: self.access.describe(&view, caller),
            });
        }
        let action = Action::parse(&asked.verb, &asked.kind, &asked.name, &asked.subresource)
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let (allowed, reason) = match self.access.check(&view, caller, &action) {
            Ok(()) => (true, String::new()),
            Err(error) => (false, error.to_string()),
        };
        Ok(CanIReply {
            allowed,
            reason,
            rules: Vec::new(),
        })
    }
}

#[tonic::async_trait]
impl identity_server::Identity for IdentityService {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let connection = connection(&request)?.clone();
        self.limiter
            .attempt(connection.remote.ip(), std::time::Instant::now())?;
        let what = What {
            verb: "join",
            kind: "cluster/tokens".into(),
            ..What::default()
        };
        let mut entry = self.audit.begin(&connection, what, false).await?;
        let result = self.admit(request.into_inner(), &mut entry).await;
        entry.finish(result.as_ref().map(|_| None));
        Ok(Response::new(result?))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let connection = connection(&request)?.clone();
        // Nobody has reason to renew often, and every attempt costs a signature and a line in the audit log.
        self.limiter
            .attempt(connection.remote.ip(), std::time::Instant::now())?;
        let what = What {
            verb: "renew",
            kind: "cluster/certificates".into(),
            ..What::default()
        };
        let entry = self.audit.begin(&connection, what, false).await?;
        let result = self.certify_again(&connection, &request.into_inner().csr);
        entry.finish(result.as_ref().map(|_| None));
        Ok(Response::new(result?))
    }

    async fn certify_hypervisor(
        &self,
        request: Request<CertifyHypervisorRequest>,
    ) -> Result<Response<CertifyHypervisorReply>, Status> {
        let caller = self.authenticate(&request)?;
        let connection = connection(&request)?.clone();
        self.limiter
            .attempt(connection.remote.ip(), std::time::Instant::now())?;
        let what = What {
            verb: "certify-hypervisor",
            kind: "cluster/certificates".into(),
            ..What::default()
        };
        let entry = self.audit.begin(&connection, what, false).await?;
        let result = self.certify_hypervisor_of(&caller, &request.into_inner().csr);
        entry.finish(result.as_ref().map(|_| None));
        Ok(Response::new(result?))
    }

    async fn who_am_i(
        &self,
        request: Request<WhoAmIRequest>,
    ) -> Result<Response<WhoAmIReply>, Status> {
        let caller = self.authenticate(&request)?;
        Ok(Response::new(WhoAmIReply {
            user: caller.user().to_owned(),
            groups: caller.groups().to_vec(),
            certificate_expires_unix_seconds: caller.peer().not_after.as_second(),
        }))
    }

    async fn can_i(&self, request: Request<CanIRequest>) -> Result<Response<CanIReply>, Status> {
        let caller = self.authenticate(&request)?;
        Ok(Response::new(self.may_i(&caller, request.get_ref())?))
    }
}

fn connection<T>(request: &Request<T>) -> Result<&ConnectionInfo, ApiError> {
    request.extensions().get::<ConnectionInfo>().ok_or_else(|| {
        ApiError::Internal("the call came over a connection that nobody looked at".into())
    })
}

/// Where the API answers, the present leader's addresses first.
fn endpoints(status: &StoreStatus) -> Vec<String> {
    let mut members: Vec<_> = status.members.iter().collect();
    members.sort_by_key(|member| Some(member.id) != status.leader);
    members
        .into_iter()
        .flat_map(|member| member.addresses.iter().cloned())
        .collect()
}
