use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use quorate_proto::raft::v1::{self as pb, raft_server};
use tonic::{Request, Response, Status, Streaming};

use super::MAX_FRAME;
use crate::{
    MemberId,
    transport::{Frame, Incoming, Receive, RefusedFrame},
};

/// Says which member is at the other end of a connection, from its certificate.
type Identify = dyn Fn(&tonic::Extensions) -> Result<MemberId, Status> + Send + Sync;

/// The receiving end of the members' transport, to be added to a tonic server.
#[derive(Clone)]
pub struct RaftService {
    receive: Arc<dyn Receive>,
    identify: Arc<Identify>,
}

impl RaftService {
    /// A service that hands frames to `receive`. `identify` names the member that the connection's
    /// certificate belongs to; a frame in another member's name is refused.
    pub fn server(
        receive: Arc<dyn Receive>,
        identify: impl Fn(&tonic::Extensions) -> Result<MemberId, Status> + Send + Sync + 'static,
    ) -> raft_server::RaftServer<Self> {
        let service = Self {
            receive,
            identify: Arc::new(identify),
        };
        raft_server::RaftServer::new(service)
            .max_decoding_message_size(MAX_FRAME)
            .max_encoding_message_size(MAX_FRAME)
    }

    fn incoming(&self, request: Request<Streaming<pb::Frame>>) -> Result<Incoming, Status> {
        let member = (self.identify)(request.extensions())?;
        let frames = request.into_inner().map(move |frame| match frame {
            Ok(frame) if frame.from == member => Ok(Frame::from(frame)),
            Ok(frame) => Err(impostor(member, frame.from)),
            Err(status) => Err(status.message().to_owned()),
        });
        Ok(frames.boxed())
    }
}

fn impostor(member: MemberId, claimed: MemberId) -> String {
    format!("the certificate is member {member}'s, the frame says it is from member {claimed}")
}

fn refused(refused: RefusedFrame) -> Status {
    Status::failed_precondition(refused.0)
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    async fn call(&self, request: Request<pb::Frame>) -> Result<Response<pb::Frame>, Status> {
        let member = (self.identify)(request.extensions())?;
        let frame = request.into_inner();
        if frame.from != member {
            return Err(Status::permission_denied(impostor(member, frame.from)));
        }
        let answer = self.receive.call(frame.into()).await.map_err(refused)?;
        Ok(Response::new(answer.into()))
    }

    type ReplicateStream = Pin<Box<dyn Stream<Item = Result<pb::Frame, Status>> + Send>>;

    async fn replicate(
        &self,
        request: Request<Streaming<pb::Frame>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let incoming = self.incoming(request)?;
        let answers = self
            .receive
            .replicate(incoming)
            .map(|answer| answer.map(pb::Frame::from).map_err(refused));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::Frame>>,
    ) -> Result<Response<pb::Frame>, Status> {
        let incoming = self.incoming(request)?;
        let answer = self.receive.snapshot(incoming).await.map_err(refused)?;
        Ok(Response::new(answer.into()))
    }
}
