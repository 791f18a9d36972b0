//! Fence agents: the programs of the fence-agents package, which are what really switches a host off.
//!
//! The coordinator knows them only as [`Agents`]. [`LocalAgents`] runs the real programs on this machine;
//! a simulated cluster puts simulated devices behind the same trait.

mod answer;
mod catalogue;
mod local;
mod metadata;
mod parameters;
mod process;
mod redact;
mod request;
mod secrets;
mod xml;

pub use catalogue::{AgentError, Catalogue};
pub use local::LocalAgents;
pub use metadata::{Content, Metadata, MetadataError, Parameter};
pub use parameters::ParameterError;
pub use request::{
    Action, AgentFailure, AgentReport, AgentRequest, Agents, Power, SecretReference,
};
pub use secrets::{SecretError, SecretSource, StoredSecrets};
