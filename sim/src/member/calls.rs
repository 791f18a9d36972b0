//! What members ask each other, over the simulated wire.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use prost::Message;
use quorate_controller::{
    brain::Brain,
    members::{CallError, MemberCalls},
};
use quorate_proto::member::v1::{HeardReply, HeardRequest, RunAgentReply, RunAgentRequest};
use quorate_store::{MemberId, Store};

use crate::{
    beats::process_at,
    digest,
    executor::{ProcessId, Wire},
    registry::Registry,
};

/// What decides in the members that run, by their processes.
pub(crate) type Brains = Registry<Brain>;

/// A question between members is short.
const PATIENCE: Duration = Duration::from_secs(1);

/// One member's way to the others.
pub(crate) struct WireCalls {
    pub(crate) process: ProcessId,
    pub(crate) wire: Wire,
    pub(crate) brains: Brains,
    pub(crate) store: Store,
}

impl MemberCalls for WireCalls {
    fn heard(
        &self,
        member: MemberId,
        request: HeardRequest,
    ) -> BoxFuture<'static, Result<HeardReply, CallError>> {
        let members = self.store.status().members;
        let asked = members.into_iter().find(|known| known.id == member);
        let target = asked
            .and_then(|known| known.addresses.first().map(|a| process_at(a)))
            .unwrap_or_default();
        let (wire, from, brains) = (self.wire.clone(), self.process.clone(), self.brains.clone());
        async move {
            let content = digest(&request.encode_to_vec());
            let there = target.clone();
            let handle = move || async move { Some(brains.get(&there)?.heard(&request)) }.boxed();
            let asked = wire.ask(&from, &target, "heard", content, handle);
            let no_answer = |reason: String| CallError::NoAnswer { member, reason };
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(Some(reply))) => Ok(reply),
                Ok(Ok(None)) => Err(no_answer("it does not listen yet".to_owned())),
                Ok(Err(broken)) => Err(no_answer(broken.to_string())),
                Err(_) => Err(no_answer("no answer in time".to_owned())),
            }
        }
        .boxed()
    }

    fn run_agent(
        &self,
        member: MemberId,
        _request: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, CallError>> {
        // The agents of the room are reached by `RoomAgents`, which needs no such call.
        let reason = "no real agent runs in a simulation".to_owned();
        async move { Err(CallError::Refused { member, reason }) }.boxed()
    }
}
