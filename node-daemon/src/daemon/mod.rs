//! The daemon itself: registers, follows the plan, has the host made so, and reports.
//!
//! This is the thin asynchronous shell around [`crate::plan`] and [`crate::reconcile`]: one loop that waits for whatever
//! happens next and tells those, and tasks for everything that may wait. It may be killed at any moment; a daemon that
//! starts adopts what runs.

mod backoff;
mod facts;
mod figures;
mod questions;
mod register;
mod session;

use crate::drivers::{Drivers, WatchdogFound};
use crate::lease::{BootClock, Lease};
use crate::link::{ClusterLink, LinkError};
use crate::plan::{Memory, MemoryError};
use quorate_identity::Clock;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// Everything that a daemon needs of the world.
#[derive(Clone)]
pub struct Environment {
    /// The host's name.
    pub node: String,
    /// The cluster.
    pub link: Arc<dyn ClusterLink>,
    /// The host's subsystems.
    pub drivers: Drivers,
    /// What outlives the daemon.
    pub memory: Arc<dyn Memory>,
    /// The lease process.
    pub lease: Arc<dyn Lease>,
    /// The watchdog that the lease process holds, if the host has one.
    pub watchdog: Option<WatchdogFound>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What leases are measured by.
    pub boot_clock: Arc<dyn BootClock>,
}

/// Whether the daemon should go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// It should.
    #[default]
    No,
    /// It is about to be started again: everything runs on.
    Restart,
    /// The host is shutting down: it leaves the cluster when it holds nothing any more.
    HostStops,
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to, and is expected back.
    Stopped,
    /// The host has left the cluster in order.
    Left,
}

/// Why the daemon could not go on. What runs on the host, runs on.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// What was to outlive the daemon cannot be read: only a reboot makes sure that nothing is started twice.
    #[error("what this host remembers of its present boot cannot be read")]
    Memory(#[source] MemoryError),
    /// The cluster does not want this host as it is. A person has to act.
    #[error("the cluster does not take this host")]
    NotTaken(#[source] LinkError),
    /// A part of the daemon itself failed; a new one begins with an observation.
    #[error("a task of the daemon broke off: {0}")]
    Broken(String),
}

/// Runs until `stop` says otherwise.
///
/// # Errors
/// When going on would be wrong, or senseless.
pub async fn run(
    environment: Environment,
    mut stop: watch::Receiver<Stop>,
) -> Result<Outcome, DaemonError> {
    let Some(registered) = register::register(&environment, &mut stop).await? else {
        environment.lease.closing();
        return Ok(Outcome::Stopped);
    };
    session::Session::new(environment, registered)
        .serve(stop)
        .await
}
