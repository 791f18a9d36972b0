//! Fence agents that switch the machines of the room.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use quorate_controller::fencing::agents::{
    Action, AgentFailure, AgentReport, AgentRequest, Agents, Power,
};
use quorate_crds::AgentMetadata;
use quorate_node_daemon::simulated::{
    LocalRoom,
    room::{FenceCall, PowerReply, Reply, Request},
};

use crate::executor::{ProcessId, Wire};

/// Runs agents on members, which reach every device of the room.
#[derive(Clone)]
pub(crate) struct RoomAgents {
    /// The member whose coordinator asks.
    pub(crate) process: ProcessId,
    pub(crate) wire: Wire,
    pub(crate) room: LocalRoom,
}

impl Agents for RoomAgents {
    fn run(&self, member: &str, request: AgentRequest) -> BoxFuture<'static, AgentReport> {
        let target = format!("quorated@{member}");
        if target == self.process {
            return on_this_member(self.room.clone(), request).boxed();
        }
        let (wire, room, from) = (self.wire.clone(), self.room.clone(), self.process.clone());
        let member = member.to_owned();
        async move {
            let patience = request.timeout;
            let label = format!("agent {} {}", request.device, request.action);
            let handle = move || on_this_member(room, request).boxed();
            let asked = wire.ask(&from, &target, &label, 0, handle);
            let away = |reason: String| AgentFailure::MemberAway { member, reason };
            match tokio::time::timeout(patience + Duration::from_secs(1), asked).await {
                Ok(Ok(report)) => report,
                Ok(Err(broken)) => Err(away(broken.to_string())),
                Err(_) => Err(away("no answer in time".to_owned())),
            }
        }
        .boxed()
    }

    fn describe(&self, _agent: &str) -> BoxFuture<'static, Result<AgentMetadata, AgentFailure>> {
        async { Ok(AgentMetadata::default()) }.boxed()
    }
}

async fn on_this_member(room: LocalRoom, request: AgentRequest) -> AgentReport {
    let call = match request.action {
        Action::Off => FenceCall::Off,
        Action::On => FenceCall::On,
        Action::Status => FenceCall::Status,
        Action::Monitor => FenceCall::Monitor,
    };
    let timed_out = AgentFailure::TimedOut(request.timeout);
    let answer = room
        .lock()
        .ask(Request::Fence(request.device, request.plug, call));
    let Some(after) = answer.after.filter(|after| *after <= request.timeout) else {
        tokio::time::sleep(request.timeout).await;
        return Err(timed_out);
    };
    tokio::time::sleep(after).await;
    match (answer.outcome, request.action) {
        (Ok(Reply::Power(PowerReply::On)), Action::Status) => Ok(Power::On),
        (Ok(Reply::Power(PowerReply::Off)), Action::Status) => Ok(Power::Off),
        (Ok(_), _) => Ok(Power::Unknown),
        (Err(refusal), _) => Err(AgentFailure::Failed(refusal.to_string())),
    }
}
