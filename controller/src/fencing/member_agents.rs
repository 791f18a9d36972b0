use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use quorate_crds::AgentMetadata;
use quorate_proto::member::v1::{RunAgentReply, RunAgentRequest};
use tokio::time::timeout;

use super::{
    agents::{AgentFailure, AgentReport, AgentRequest, Agents, LocalAgents},
    run_agent::{from_reply, to_request},
};

/// What a call to another member may take longer than the agent itself.
const CALL: Duration = Duration::from_secs(5);

/// Calls `Members.RunAgent` of the member of this name.
pub trait CallRunAgent: Send + Sync {
    /// The reply, or why there is none.
    fn run_agent(
        &self,
        member: &str,
        request: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, String>>;
}

/// The real agents of all members: this member's are run here, another's by asking it.
pub struct MemberAgents {
    member: String,
    local: LocalAgents,
    others: Arc<dyn CallRunAgent>,
}

impl MemberAgents {
    /// The agents, as seen from the member of this name.
    #[must_use]
    pub fn new(member: String, local: LocalAgents, others: Arc<dyn CallRunAgent>) -> Self {
        Self {
            member,
            local,
            others,
        }
    }
}

impl Agents for MemberAgents {
    fn run(&self, member: &str, request: AgentRequest) -> BoxFuture<'static, AgentReport> {
        if member == self.member {
            let local = self.local.clone();
            return async move { local.run(request).await }.boxed();
        }
        let patience = request.timeout;
        let call = self.others.run_agent(member, to_request(&request));
        let member = member.to_owned();
        async move {
            let away = |reason: String| AgentFailure::MemberAway { member, reason };
            match timeout(patience + CALL, call).await {
                Ok(Ok(reply)) => from_reply(&reply, patience),
                Ok(Err(reason)) => Err(away(reason)),
                Err(_) => Err(away("it did not answer in time".into())),
            }
        }
        .boxed()
    }

    fn describe(&self, agent: &str) -> BoxFuture<'static, Result<AgentMetadata, AgentFailure>> {
        let (local, agent) = (self.local.clone(), agent.to_owned());
        async move { local.describe(&agent).await }.boxed()
    }
}
