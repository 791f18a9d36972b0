//! Fencing: whoever is lost is surely off before anything of theirs is recovered.
//!
//! The planner asks for it by a FenceOperation, and so may people. The [`Coordinator`] decides what is asked of which
//! device and what may be believed; it runs on the leader, inside [`Fencing::lead`]. Agents are run through
//! [`agents::Agents`], on this machine or, by [`RunAgentDesk`], on another member's.

pub mod agents;
mod coordinator;
mod member_agents;
pub mod mistake;
mod room;
mod run_agent;
mod shell;
mod void;

pub use coordinator::{
    Coordinator, Grants, HalfFencing, HalfReturn, HalfSteps, Outlets, Proof, Run, RunId,
    StatusWrite, Steps, told_by_operations,
};
pub use member_agents::{CallRunAgent, MemberAgents};
pub use room::{AgentMember, Now, Room};
pub use run_agent::{RunAgentDesk, RunAgentError};
pub use shell::Fencing;
pub use void::void;
