//! What the lease process is told, and what its lease allows.

use super::Environment;
use crate::lease::{LeaseView, Rings, Setup, WatchdogPolicy};
use crate::mistake::{Mistake, makes};
use crate::plan::Plan;
use crate::reconcile::Right;
use quorate_crds::WatchdogMode;
use quorate_proto::heartbeat::KEY_LENGTH;
use quorate_proto::host::v1::{MemberAddress, PlanUpdate, Timing};
use std::time::Duration;

/// For how long a silent daemon is not yet stuck.
const DAEMON_PATIENCE: Duration = Duration::from_secs(10);
const DEFAULT_WATCHDOG: Duration = Duration::from_secs(30);
const SHORTEST_INTERVAL_MS: u32 = 10;

/// What one incarnation's lease rests on.
#[derive(Debug)]
pub(super) struct Leasing {
    boot_id: String,
    incarnation: u64,
    key: [u8; KEY_LENGTH],
    members: Vec<Rings>,
    timing: Timing,
    watchdog_bound: bool,
    said: Option<Setup>,
}

impl Leasing {
    pub(super) fn new(
        boot_id: String,
        incarnation: u64,
        key: [u8; KEY_LENGTH],
        members: &[MemberAddress],
        timing: Timing,
        watchdog_bound: bool,
    ) -> Self {
        Self {
            boot_id,
            incarnation,
            key,
            members: rings(members),
            timing,
            watchdog_bound,
            said: None,
        }
    }

    /// Takes what an update of the plan says about it.
    pub(super) fn updated(&mut self, update: &PlanUpdate) {
        if !update.members.is_empty() {
            self.members = rings(&update.members);
        }
        if let Some(timing) = update.timing {
            self.timing = timing;
        }
        if let Some(bound) = update.watchdog_bound {
            self.watchdog_bound = bound;
        }
    }

    /// Whether the host relies on its own watchdog to be made safe.
    pub(super) fn watchdog_bound(&self) -> bool {
        self.watchdog_bound
    }

    /// Whether the watchdog is to be armed.
    pub(super) fn watchdog_wanted(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.watchdog.armed)
    }

    /// What the lease process is to be told, when that has changed.
    pub(super) fn set_up(&mut self, environment: &Environment, plan: &Plan) -> Option<&Setup> {
        let spec = plan.node().map(|node| &node.spec.watchdog);
        let enabled = spec.is_none_or(|watchdog| watchdog.mode != WatchdogMode::Disabled);
        let milliseconds = |ms: u32| Duration::from_millis(u64::from(ms));
        let setup = Setup {
            boot_id: self.boot_id.clone(),
            node: environment.node.clone(),
            incarnation: self.incarnation,
            key: self.key,
            members: self.members.clone(),
            interval: milliseconds(self.timing.heartbeat_interval_ms.max(SHORTEST_INTERVAL_MS)),
            daemon_patience: DAEMON_PATIENCE,
            restart_grace: milliseconds(self.timing.restart_grace_ms),
            watchdog: WatchdogPolicy {
                armed: enabled && environment.watchdog.is_some() && protects(plan),
                bound_to_lease: self.watchdog_bound,
                timeout: spec
                    .and_then(|watchdog| watchdog.timeout.parse().ok())
                    .unwrap_or(DEFAULT_WATCHDOG),
            },
        };
        if self.said.as_ref() == Some(&setup) {
            return None;
        }
        Some(self.said.insert(setup))
    }

    /// Rule R5: whether the host may activate anything at this moment of the boot-time clock.
    pub(super) fn right(&self, plan: &Plan, view: &LeaseView, now: Duration) -> Right {
        if makes(Mistake::LeaseIgnored) {
            return Right::Granted;
        }
        let denied = |why: &str| Right::Denied(why.to_owned());
        if !view.fresh(now) {
            return denied("the host has no fresh lease, so it starts nothing; what runs, runs on");
        }
        if !plan.valid_from(view.lowest_valid_generation) {
            return denied("the leader knows of a newer plan than this host has");
        }
        if self.watchdog_bound && self.watchdog_wanted() && !view.watchdog_armed {
            return denied("the watchdog that makes this host safe is not armed yet");
        }
        Right::Granted
    }
}

fn rings(members: &[MemberAddress]) -> Vec<Rings> {
    members
        .iter()
        .map(|member| member.addresses.clone())
        .collect()
}

/// Whether the plan has the host run anything that is to be recovered when the host is lost.
fn protects(plan: &Plan) -> bool {
    plan.records().values().any(|record| {
        let name = record.assignment.object.name.as_str();
        let guest = record.assignment.guest.is_some() && record.assignment.active;
        guest && plan.guest(name).is_none_or(|guest| guest.spec.protected)
    })
}
