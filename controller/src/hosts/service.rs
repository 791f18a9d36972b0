use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use prost::Message;
use quorate_proto::{
    host::v1::{
        FiguresReply, FiguresRequest, FollowRequest, LeaveReply, LeaveRequest, MemberAddress,
        PeerAnswer, PeerQuestion, PlanUpdate, RegisterReply, RegisterRequest, ReportReply,
        ReportRequest, hosts_server::Hosts,
    },
    refusal,
};
use tonic::{Code, Extensions, Request, Response, Status, metadata::MetadataValue};

use super::{DeskError, HostDesk, Updates};
use crate::{
    access::Caller,
    api::{Admittance, Permit, Weight},
    tls::ConnectionInfo,
};

/// The desk over gRPC. Who calls is the host that the certificate names.
pub struct HostsService {
    desk: HostDesk,
    admittance: Admittance,
}

impl HostsService {
    /// Puts gRPC before `desk`.
    pub fn new(desk: HostDesk, admittance: Admittance) -> Self {
        Self { desk, admittance }
    }

    fn host<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let now = self.desk.engine.sources().clock.now();
        calling_host(request.extensions(), now)
    }
}

/// The host that the caller's certificate names.
pub(crate) fn calling_host(extensions: &Extensions, now: Timestamp) -> Result<String, Status> {
    let connection = extensions
        .get::<ConnectionInfo>()
        .ok_or_else(|| Status::internal("the call came over a connection that nobody looked at"))?;
    let caller = Caller::authenticate(connection, now)?;
    caller.node_name().map(str::to_owned).ok_or_else(|| {
        Status::permission_denied(format!(
            "user {:?} is no host; hosts get their certificate by `quorate join --node`",
            caller.user()
        ))
    })
}

#[tonic::async_trait]
impl Hosts for HostsService {
    type FollowStream = WhileOpen;

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterReply>, Status> {
        let host = self.host(&request)?;
        let _permit = self.admittance.admit(&host, Weight::Call)?;
        answer(self.desk.register(&host, request.into_inner()).await)
    }

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<WhileOpen>, Status> {
        let host = self.host(&request)?;
        let permit = self.admittance.admit(&host, Weight::Watch)?;
        let updates = self.desk.follow(&host, request.into_inner()).await;
        answer(updates.map(|updates| WhileOpen {
            updates,
            desk: self.desk.clone(),
            host,
            _permit: permit,
        }))
    }

    async fn report(
        &self,
        request: Request<ReportRequest>,
    ) -> Result<Response<ReportReply>, Status> {
        let host = self.host(&request)?;
        let _permit = self.admittance.admit(&host, Weight::Call)?;
        answer(self.desk.report(&host, request.into_inner()).await)
    }

    async fn figures(
        &self,
        request: Request<FiguresRequest>,
    ) -> Result<Response<FiguresReply>, Status> {
        let host = self.host(&request)?;
        let _permit = self.admittance.admit(&host, Weight::Call)?;
        answer(self.desk.figures(&host, request.into_inner()))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        let host = self.host(&request)?;
        let _permit = self.admittance.admit(&host, Weight::Call)?;
        answer(self.desk.leave(&host, request.into_inner()).await)
    }

    async fn ask_about_peer(
        &self,
        request: Request<PeerQuestion>,
    ) -> Result<Response<PeerAnswer>, Status> {
        let host = self.host(&request)?;
        let _permit = self.admittance.admit(&host, Weight::Call)?;
        answer(self.desk.ask_about_peer(&host, request.into_inner()).await)
    }
}

/// A host's stream of updates. When it ends because the host's side closed it, the desk is told.
pub struct WhileOpen {
    updates: Updates,
    desk: HostDesk,
    host: String,
    _permit: Permit,
}

impl Stream for WhileOpen {
    type Item = Result<PlanUpdate, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.updates
            .poll_next_unpin(context)
            .map(|update| update.map(|update| update.map_err(Status::from)))
    }
}

impl Drop for WhileOpen {
    fn drop(&mut self) {
        self.desk.connection_closed(&self.host);
    }
}

fn answer<T>(result: Result<T, DeskError>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}

impl From<DeskError> for Status {
    fn from(error: DeskError) -> Self {
        let (code, reason) = match &error {
            DeskError::NotLeader { .. } => (Code::Unavailable, refusal::NOT_LEADER),
            DeskError::Refused { retry: true, .. } => (Code::Aborted, refusal::NOT_NOW),
            DeskError::Refused { retry: false, .. } => (Code::FailedPrecondition, refusal::REFUSED),
            DeskError::IncarnationOver { .. } => {
                (Code::FailedPrecondition, refusal::INCARNATION_OVER)
            }
            DeskError::Unavailable(source) => {
                tracing::debug!(%source, "a host was not answered");
                (Code::Unavailable, refusal::UNAVAILABLE)
            }
        };
        let mut status = Self::new(code, error.to_string());
        let metadata = status.metadata_mut();
        metadata.insert(refusal::REASON, MetadataValue::from_static(reason));
        if let DeskError::NotLeader {
            leader: Some(leader),
        } = error
        {
            metadata.insert_bin(refusal::LEADER, leader_value(&leader));
        }
        status
    }
}

fn leader_value(leader: &MemberAddress) -> MetadataValue<tonic::metadata::Binary> {
    MetadataValue::from_bytes(&Bytes::from(leader.encode_to_vec()))
}
