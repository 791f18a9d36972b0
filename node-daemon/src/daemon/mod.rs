//! The daemon itself: registers, follows the plan, has the host made so, and reports.
//!
//! This is the thin asynchronous shell around [`crate::plan`] and [`crate::reconcile`]: one loop that waits for whatever
//! happens next and tells those, and tasks for everything that may wait. It may be killed at any moment; a daemon that
//! starts adopts what runs.

mod attention;
mod backoff;
mod event;
mod facts;
mod figures;
mod leasing;
mod leaving;
mod questions;
mod register;
mod relaying;
mod remembering;
mod reporting;
mod session;
mod visiting;
mod watching;

use crate::drivers::{Drivers, WatchdogFound};
use crate::lease::{BootClock, Lease};
use crate::link::ClusterLink;
use crate::plan::{Memory, MemoryError};
use quorate_identity::Clock;
use session::{End, Session};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// How often the lease process is told that the daemon's loops advance.
const ALIVE: Duration = Duration::from_millis(500);

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
    /// Where it says which addresses the host has on the cluster's networks.
    pub addresses: watch::Sender<BTreeSet<IpAddr>>,
}

/// Whether the daemon should go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// It should.
    #[default]
    No,
    /// It is about to be started again: everything runs on.
    Restart,
    /// The host is shutting down: it asks to be emptied, and leaves the cluster when it holds nothing any more.
    HostStops,
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to, and is expected back.
    Stopped,
    /// The host has left the cluster in order, and shuts down.
    Left,
}

/// Why the daemon could not go on. What runs on the host, runs on.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// What was to outlive the daemon cannot be read: only a reboot makes sure that nothing is started twice.
    #[error("what this host remembers of its present boot cannot be read")]
    Memory(#[source] MemoryError),
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
    stop: watch::Receiver<Stop>,
) -> Result<Outcome, DaemonError> {
    let lease = Arc::clone(&environment.lease);
    let visits = visiting::receive(
        environment.link.visits(),
        Arc::clone(&environment.drivers.guests),
    );
    let relaying = relaying::relay(
        Arc::clone(&environment.link),
        environment.drivers.lockspaces.talk(),
    );
    let outcome = tokio::select! {
        biased;
        outcome = live(environment, stop) => outcome,
        () = say_alive(&*lease) => Err(DaemonError::Broken("it no longer says that it lives".to_owned())),
        () = visits => Err(DaemonError::Broken("it no longer lets anybody to its guests".to_owned())),
        () = relaying => Err(DaemonError::Broken("it no longer talks with other hosts about locks".to_owned())),
    };
    lease.closing();
    outcome
}

/// On the same task as everything else, so that it says so only while that advances. Also before the host is registered:
/// a cluster that is away is no reason to reset hosts.
async fn say_alive(lease: &dyn Lease) {
    let mut alive = tokio::time::interval(ALIVE);
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        alive.tick().await;
        lease.alive();
    }
}

async fn live(
    environment: Environment,
    mut stop: watch::Receiver<Stop>,
) -> Result<Outcome, DaemonError> {
    loop {
        let Some(registered) = register::register(&environment, &mut stop).await? else {
            return Ok(Outcome::Stopped);
        };
        let session = Session::new(environment.clone(), registered);
        match session.serve(&mut stop).await? {
            End::Stopped => return Ok(Outcome::Stopped),
            End::Left => return Ok(Outcome::Left),
            End::Anew => {}
        }
    }
}
