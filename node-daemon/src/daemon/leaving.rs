use quorate_crds::NodeMode;
use std::time::Duration;
use tokio::time::Instant;

use crate::plan::Plan;

/// How often a host that still holds something asks again to be let go.
const AGAIN: Duration = Duration::from_secs(1);

/// A host that shuts down, and hears nothing of its cluster for so long, waits no more: the others may be off already.
const PATIENCE: Duration = Duration::from_secs(60);

/// Going in order: because the host shuts down, or because people have withdrawn it.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    host_stops: bool,
    withdrawn: bool,
    asking: bool,
    left: bool,
    due: Option<Instant>,
    heard: Option<Instant>,
}

impl Leaving {
    /// The host shuts down. It asks to be let go until it is; meanwhile it is emptied.
    pub(super) fn host_stops(&mut self, now: Instant) {
        self.host_stops = true;
        self.due = Some(now);
        self.heard = Some(now);
    }

    /// The cluster has answered, whatever it said.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// Whether to shut down without having been let go.
    pub(super) fn in_vain(&self, now: Instant) -> bool {
        self.host_stops && self.patience_ends().is_some_and(|end| end <= now)
    }

    fn patience_ends(&self) -> Option<Instant> {
        self.heard.map(|heard| heard + PATIENCE)
    }

    /// Whether the host is shutting down.
    pub(super) fn stopping(&self) -> bool {
        self.host_stops
    }

    /// Whether the host has left, and waits to be wanted again.
    pub(super) fn left(&self) -> bool {
        self.left
    }

    /// Looks at the plan. True: the host has left, and is wanted again.
    pub(super) fn look(&mut self, plan: &Plan, now: Instant) -> bool {
        let Some(node) = plan.node() else {
            return false;
        };
        let withdrawn = node.spec.mode == NodeMode::Withdrawn;
        if withdrawn && !self.withdrawn {
            self.due = Some(now);
        }
        self.withdrawn = withdrawn;
        self.left && !withdrawn && !self.host_stops
    }

    /// Whether to ask now. `silent`: the cluster knows everything that this host has to say.
    pub(super) fn ask(&mut self, plan: &Plan, silent: bool, now: Instant) -> bool {
        let wants = (self.host_stops || self.withdrawn) && !self.left;
        let due = self.due.is_some_and(|at| at <= now);
        if !wants || !due || self.asking {
            return false;
        }
        let known = plan.complete() || self.host_stops;
        if !silent || !known {
            self.due = Some(now + AGAIN);
            return false;
        }
        self.asking = true;
        true
    }

    /// When to ask again.
    pub(super) fn due(&self) -> Option<Instant> {
        let wants = (self.host_stops || self.withdrawn) && !self.left && !self.asking;
        let ask = self.due.filter(|_| wants);
        let end = self.patience_ends().filter(|_| self.host_stops);
        ask.into_iter().chain(end).min()
    }

    /// The cluster has let it go. True: the daemon ends with that.
    pub(super) fn granted(&mut self) -> bool {
        self.asking = false;
        self.left = true;
        self.host_stops
    }

    /// It still holds something, or nobody has answered.
    pub(super) fn refused(&mut self, now: Instant) {
        self.asking = false;
        self.due = Some(now + AGAIN);
    }
}
