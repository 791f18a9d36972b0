//! Running an agent for the leader: its own machine may be the victim, or may not reach the device.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use quorate_proto::member::v1::{
    RunAgentReply, RunAgentRequest, SecretParameter, run_agent_reply::Power as WirePower,
};
use thiserror::Error;
use tokio::{sync::watch, time::Instant};

use super::agents::{
    Action, AgentFailure, AgentReport, AgentRequest, LocalAgents, Power, SecretReference,
};

/// The longest that an agent may be asked to take.
const LONGEST: Duration = Duration::from_secs(600);

/// Why a request to run an agent is not carried out.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RunAgentError {
    /// A newer leader has asked already. The caller has been deposed.
    #[error("term {asked} is over, this member has run agents for term {newest}")]
    OldTerm {
        /// The caller's.
        asked: u64,
        /// The newest one seen.
        newest: u64,
    },
    /// The request makes no sense. Repeating it does not help.
    #[error("action {0:?} is unknown, allowed: off, on, status, monitor")]
    Action(String),
}

/// Runs agents for leaders. A leader of a newer term ends what an older one has under way, so that no forgotten `on`
/// comes between a new leader's `off` and `status`.
pub struct RunAgentDesk {
    agents: LocalAgents,
    newest: watch::Sender<u64>,
    turn: Mutex<()>,
}

impl RunAgentDesk {
    /// A desk that runs these agents.
    #[must_use]
    pub fn new(agents: LocalAgents) -> Self {
        Self {
            agents,
            newest: watch::Sender::new(0),
            turn: Mutex::default(),
        }
    }

    /// Runs one agent to its end.
    pub async fn run(&self, request: RunAgentRequest) -> Result<RunAgentReply, RunAgentError> {
        let term = request.term;
        let request = from_wire(request)?;
        let mut newest = self.admit(term)?;
        let begun = Instant::now();
        let report = tokio::select! {
            biased;
            _ = newest.wait_for(|newest| *newest > term) => {
                return Err(RunAgentError::OldTerm { asked: term, newest: *self.newest.borrow() });
            }
            report = self.agents.run(request) => report,
        };
        Ok(to_wire(&report, begun.elapsed()))
    }

    fn admit(&self, term: u64) -> Result<watch::Receiver<u64>, RunAgentError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = *self.newest.borrow();
        if term < newest {
            return Err(RunAgentError::OldTerm {
                asked: term,
                newest,
            });
        }
        self.newest.send_replace(term);
        Ok(self.newest.subscribe())
    }
}

/// A request as it travels to another member. The device and the host are not told: only the agent is run there.
#[must_use]
pub(super) fn to_request(request: &AgentRequest) -> RunAgentRequest {
    let mut parameters: std::collections::HashMap<String, String> =
        request.parameters.clone().into_iter().collect();
    if !request.plug.is_empty() {
        parameters.insert(PLUG.to_owned(), request.plug.clone());
    }
    RunAgentRequest {
        term: request.term,
        agent: request.agent.clone(),
        action: request.action.to_string(),
        parameters,
        secrets: request
            .secrets
            .iter()
            .map(|secret| SecretParameter {
                parameter: secret.parameter.clone(),
                secret: secret.secret.clone(),
                key: secret.key.clone(),
            })
            .collect(),
        timeout_ms: u32::try_from(request.timeout.as_millis()).unwrap_or(u32::MAX),
    }
}

/// What another member's reply says.
pub(super) fn from_reply(reply: &RunAgentReply, timeout: Duration) -> AgentReport {
    if !reply.succeeded {
        if Duration::from_millis(reply.took_ms.into()) >= timeout {
            return Err(AgentFailure::TimedOut(timeout));
        }
        return Err(AgentFailure::Failed(reply.message.clone()));
    }
    Ok(match reply.power() {
        WirePower::On => Power::On,
        WirePower::Off => Power::Off,
        WirePower::Unknown => Power::Unknown,
    })
}

/// The plug travels among the parameters, under a name that no agent has.
const PLUG: &str = "@plug";

fn from_wire(request: RunAgentRequest) -> Result<AgentRequest, RunAgentError> {
    let action = Action::parse(&request.action)
        .ok_or_else(|| RunAgentError::Action(request.action.clone()))?;
    let mut parameters: std::collections::BTreeMap<String, String> =
        request.parameters.into_iter().collect();
    Ok(AgentRequest {
        device: String::new(),
        node: None,
        plug: parameters.remove(PLUG).unwrap_or_default(),
        agent: request.agent,
        action,
        parameters,
        secrets: request
            .secrets
            .into_iter()
            .map(|secret| SecretReference {
                parameter: secret.parameter,
                secret: secret.secret,
                key: secret.key,
            })
            .collect(),
        timeout: Duration::from_millis(request.timeout_ms.into()).min(LONGEST),
        term: request.term,
    })
}

fn to_wire(report: &AgentReport, took: Duration) -> RunAgentReply {
    let power = match report {
        Ok(Power::On) => WirePower::On,
        Ok(Power::Off) => WirePower::Off,
        Ok(Power::Unknown) | Err(_) => WirePower::Unknown,
    };
    RunAgentReply {
        succeeded: report.is_ok(),
        power: power.into(),
        message: report
            .as_ref()
            .err()
            .map(ToString::to_string)
            .unwrap_or_default(),
        took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
    }
}
