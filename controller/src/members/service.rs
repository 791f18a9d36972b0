use std::sync::Arc;

use quorate_proto::member::v1::{
    HeardReply, HeardRequest, RunAgentReply, RunAgentRequest, members_server::Members,
};
use tonic::{Extensions, Request, Response, Status};

use crate::{
    brain::Brain,
    fencing::{RunAgentDesk, RunAgentError},
    tls::ConnectionInfo,
};

/// Nobody has more hosts than this; whoever asks about more asks wrongly.
const MAX_NODES: usize = 1_024;

/// Answers other members over gRPC.
pub struct MembersService {
    brain: Brain,
    agents: Arc<RunAgentDesk>,
}

impl MembersService {
    /// Puts gRPC before `brain` and `agents`.
    pub fn new(brain: Brain, agents: Arc<RunAgentDesk>) -> Self {
        Self { brain, agents }
    }
}

#[tonic::async_trait]
impl Members for MembersService {
    async fn heard(&self, request: Request<HeardRequest>) -> Result<Response<HeardReply>, Status> {
        check_caller(request.extensions())?;
        let request = request.into_inner();
        let found = request.nodes.len();
        if found > MAX_NODES {
            return Err(Status::invalid_argument(format!(
                "asked about {found} hosts, allowed: {MAX_NODES}"
            )));
        }
        Ok(Response::new(self.brain.heard(&request)))
    }

    async fn run_agent(
        &self,
        request: Request<RunAgentRequest>,
    ) -> Result<Response<RunAgentReply>, Status> {
        check_caller(request.extensions())?;
        match self.agents.run(request.into_inner()).await {
            Ok(reply) => Ok(Response::new(reply)),
            Err(error @ RunAgentError::OldTerm { .. }) => {
                Err(Status::failed_precondition(error.to_string()))
            }
            Err(error @ RunAgentError::Action(_)) => {
                Err(Status::invalid_argument(error.to_string()))
            }
        }
    }
}

/// Only members are answered. The dates of their certificates do not count, see `member::connect`.
fn check_caller(extensions: &Extensions) -> Result<(), Status> {
    extensions
        .get::<ConnectionInfo>()
        .and_then(|connection| connection.peer.as_ref())
        .and_then(|peer| peer.subject.member_id())
        .map(drop)
        .ok_or_else(|| Status::permission_denied("only members of the cluster are heard here"))
}
