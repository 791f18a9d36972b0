//! Agents that another member runs for the leader.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use quorate_controller::fencing::{
    CallRunAgent, MemberAgents, RunAgentDesk,
    agents::{Action, AgentFailure, AgentReport, AgentRequest, Agents, Power},
};
use quorate_proto::member::v1::{RunAgentReply, RunAgentRequest};
use tempfile::TempDir;

use super::{agents_in, request, scripts::script};

/// The desk of the member `beta`; nobody else answers.
struct Beta(Arc<RunAgentDesk>);

impl CallRunAgent for Beta {
    fn run_agent(
        &self,
        member: &str,
        request: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, String>> {
        let desk = (member == "beta").then(|| Arc::clone(&self.0));
        async move {
            let desk = desk.ok_or("connection refused")?;
            desk.run(request).await.map_err(|error| error.to_string())
        }
        .boxed()
    }
}

/// The agents as the leader `alpha` sees them, which has none itself; `beta` has `fence_script`.
fn cluster(does: &str) -> (MemberAgents, TempDir) {
    let (none, directory) = (tempfile::tempdir().expect("a directory"), script(does));
    let secrets = [("password", "hunter2-secret")];
    let desk = RunAgentDesk::new(agents_in(directory.path(), &secrets));
    let local = agents_in(none.path(), &secrets);
    let agents = MemberAgents::new("alpha".into(), local, Arc::new(Beta(Arc::new(desk))));
    (agents, directory)
}

async fn ask(agents: &MemberAgents, member: &str, action: Action) -> AgentReport {
    let question = request("fence_script", &[("ip", "10.0.0.1")], Some("password"));
    let question = AgentRequest {
        action,
        plug: "3".into(),
        ..question
    };
    agents.run(member, question).await
}

#[tokio::test]
async fn everything_that_the_agent_must_know_reaches_it() {
    let (agents, directory) = cluster("echo \"$told\" >$here/told; echo Status: OFF; exit 2");
    assert_eq!(ask(&agents, "beta", Action::Status).await, Ok(Power::Off));
    assert_eq!(
        std::fs::read_to_string(directory.path().join("told")).expect("read"),
        "action=status\nip=10.0.0.1\npassword=hunter2-secret\nplug=3\n"
    );
}

#[tokio::test]
async fn what_went_wrong_there_is_told_here() {
    let (agents, _directory) = cluster("echo \"no route, $told\" >&2; exit 4");
    let failure = ask(&agents, "beta", Action::Off).await.expect_err("failed");
    let shown = failure.to_string();
    assert!(shown.starts_with("connection lost (code 4)"), "{shown}");
    assert!(shown.contains("[secret]"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let failure = ask(&agents, "alpha", Action::Off)
        .await
        .expect_err("not there");
    assert!(matches!(failure, AgentFailure::Refused(_)), "{failure}");

    let failure = ask(&agents, "gamma", Action::Off).await.expect_err("away");
    let away = AgentFailure::MemberAway {
        member: "gamma".into(),
        reason: "connection refused".into(),
    };
    assert_eq!(failure, away);
}

#[tokio::test]
async fn an_agent_that_hangs_there_is_a_silent_device_here() {
    let (agents, _directory) = cluster("sleep 7395");
    let question = AgentRequest {
        timeout: Duration::from_secs(3),
        ..request("fence_script", &[("ip", "10.0.0.1")], Some("password"))
    };
    let report = agents.run("beta", question).await;
    assert_eq!(report, Err(AgentFailure::TimedOut(Duration::from_secs(3))));
}

#[tokio::test]
async fn a_device_cannot_say_the_plug_itself_wherever_its_agent_runs() {
    let (agents, _directory) = cluster("echo Status: ON");
    let parameters = [("ip", "10.0.0.1"), ("plug", "4")];
    for member in ["alpha", "beta"] {
        let question = request("fence_script", &parameters, Some("password"));
        agents.run(member, question).await.expect_err(member);
    }
}
