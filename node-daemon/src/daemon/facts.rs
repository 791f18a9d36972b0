use super::Environment;
use crate::drivers::{DriverError, HostFacts};
use crate::lease::LeaseView;
use jiff::Timestamp;
use quorate_crds::{
    Condition, ConditionStatus, Duration, Node, NodeResources, Size, Time, WatchdogStatus,
};

/// How the host is, as it is reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HostReport {
    pub(super) facts: HostFacts,
}

/// What the daemon knows about its host, and no driver does.
pub(super) struct Around<'a> {
    pub(super) view: &'a LeaseView,
    pub(super) node: Option<&'a Node>,
    pub(super) watchdog_bound: bool,
    pub(super) watchdog_wanted: bool,
    pub(super) host_stops: bool,
}

impl HostReport {
    pub(super) async fn look(environment: &Environment) -> Result<Self, DriverError> {
        let facts = environment.drivers.facts.observe().await?;
        Ok(Self { facts })
    }

    /// As it is reported; nothing leaves the cluster with what it knows.
    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.facts).unwrap_or_else(|error| {
            tracing::error!(%error, "the host's facts cannot be written");
            Vec::new()
        })
    }

    /// Adds what only the daemon knows, and keeps the moments at which conditions last changed.
    pub(super) fn complete(
        mut self,
        environment: &Environment,
        around: &Around<'_>,
        before: &Self,
    ) -> Self {
        let view = around.view;
        let now = environment.clock.now();
        if self.facts.allocatable.is_none() {
            self.facts.allocatable = self
                .facts
                .capacity
                .as_ref()
                .map(|capacity| allocatable(capacity, around.node));
        }
        if let Some(found) = &environment.watchdog {
            let timeout = view
                .watchdog_timeout
                .map(|timeout| Duration(format!("{}s", timeout.as_secs())));
            self.facts.watchdog = Some(WatchdogStatus {
                device: Some(found.device.clone()),
                identity: Some(found.identity.clone()),
                hardware: Some(found.hardware),
                armed: Some(view.watchdog_armed),
                lease_bound: Some(around.watchdog_bound),
                timeout,
            });
        }
        let there = environment.watchdog.is_some();
        let (so, reason, message) = match (view.watchdog_armed, around.watchdog_wanted, there) {
            (true, _, _) => (true, "Armed", "it fires when it is not fed"),
            (false, _, false) => (
                false,
                "NoWatchdog",
                "this host has no watchdog that Quorate may use",
            ),
            (false, true, true) => (
                false,
                "NotArmedYet",
                "it is armed once the host has a lease",
            ),
            (false, false, true) => (
                false,
                "NothingToProtect",
                "it is armed when the host carries protected work",
            ),
        };
        self.say("WatchdogArmed", so, reason, message, now);
        if around.host_stops {
            self.say(
                "ShuttingDown",
                true,
                "HostStops",
                "the host is being shut down, and asks to be emptied",
                now,
            );
        }
        self.keep_times(before, now);
        self
    }

    fn say(&mut self, type_: &str, so: bool, reason: &str, message: &str, now: Timestamp) {
        self.facts
            .conditions
            .retain(|condition| condition.type_ != type_);
        self.facts.conditions.push(Condition {
            type_: type_.to_owned(),
            status: if so {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Time::from(now),
            observed_generation: None,
        });
    }

    fn keep_times(&mut self, before: &Self, now: Timestamp) {
        for condition in &mut self.facts.conditions {
            let old = before
                .facts
                .conditions
                .iter()
                .find(|old| old.type_ == condition.type_);
            condition.last_transition_time = match old {
                Some(old) if old.status == condition.status => old.last_transition_time.clone(),
                _ => Time::from(now),
            };
        }
    }
}

/// What the manifest's reserve leaves for guests.
fn allocatable(capacity: &NodeResources, node: Option<&Node>) -> NodeResources {
    let reserve = node.map(|node| &node.spec.reserve);
    let memory = capacity.memory.as_ref().map(|memory| {
        let kept = reserve.map_or(0, |reserve| bytes(&reserve.memory));
        Size(format!("{}Mi", bytes(memory).saturating_sub(kept) >> 20))
    });
    NodeResources {
        memory,
        ..capacity.clone()
    }
}

fn bytes(size: &Size) -> u64 {
    size.parse()
        .ok()
        .and_then(|size| size.as_u64())
        .unwrap_or(0)
}
