use std::{collections::BTreeMap, fmt, time::Duration};

use futures_util::future::BoxFuture;
use quorate_crds::AgentMetadata;
use thiserror::Error;

/// What an agent is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Switch the outlet or machine off.
    Off,
    /// Switch it on.
    On,
    /// Say whether it is on.
    Status,
    /// Say whether the device answers at all.
    Monitor,
}

impl Action {
    /// The word that agents know.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Status => "status",
            Self::Monitor => "monitor",
        }
    }

    /// The action of this word, if it is one that the coordinator ever asks for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Off, Self::On, Self::Status, Self::Monitor]
            .into_iter()
            .find(|action| action.as_str() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A parameter whose value is in a Secret. Only its place travels; the member that runs the agent reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReference {
    /// The agent's parameter.
    pub parameter: String,
    /// The Secret.
    pub secret: String,
    /// The entry of its data.
    pub key: String,
}

/// One run of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRequest {
    /// The FenceDevice.
    pub device: String,
    /// The host that it is about; none when only the device itself is asked.
    pub node: Option<String>,
    /// The outlet or machine on the device; empty where it has just one.
    pub plug: String,
    /// The program's name: `fence_ipmilan`.
    pub agent: String,
    /// What it is asked to do.
    pub action: Action,
    /// What it is told, the secrets excepted.
    pub parameters: BTreeMap<String, String>,
    /// What it is told in secret.
    pub secrets: Vec<SecretReference>,
    /// How long it may take.
    pub timeout: Duration,
    /// The term of the leader that asks.
    pub term: u64,
}

/// What a device says about an outlet or machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It is on.
    On,
    /// It is off, in so many words.
    Off,
    /// It was not asked, or did not say.
    Unknown,
}

/// Why an agent did not do what it was asked. The same run may succeed later unless it was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AgentFailure {
    /// It took too long and was killed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It said that it failed, or said nothing that can be relied on.
    #[error("{0}")]
    Failed(String),
    /// It was not even started, because of what it would have been told. Repeating it does not help until somebody
    /// changes the device.
    #[error("{0}")]
    Refused(String),
    /// The member that should have run it did not answer.
    #[error("member {member} did not run the agent: {reason}")]
    MemberAway {
        /// The member.
        member: String,
        /// What happened.
        reason: String,
    },
}

/// What became of one run.
pub type AgentReport = Result<Power, AgentFailure>;

/// Whatever runs agents.
pub trait Agents: Send + Sync {
    /// Runs an agent on the member of this name. Dropping the future kills the agent, where it can still be reached.
    fn run(&self, member: &str, request: AgentRequest) -> BoxFuture<'static, AgentReport>;

    /// What an agent says about itself.
    fn describe(&self, agent: &str) -> BoxFuture<'static, Result<AgentMetadata, AgentFailure>>;
}
