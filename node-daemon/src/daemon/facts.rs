use super::Environment;
use crate::drivers::{DriverError, HostFacts};
use jiff::Timestamp;
use quorate_crds::{Condition, ConditionStatus, Duration, Time, WatchdogStatus};

/// How the host is, as it is reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HostReport {
    facts: HostFacts,
}

impl HostReport {
    pub(super) async fn look(environment: &Environment) -> Result<Self, DriverError> {
        let facts = environment.drivers.facts.observe().await?;
        Ok(Self { facts })
    }

    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.facts).unwrap_or_default()
    }

    /// Adds what the lease process does with the watchdog, and keeps the moments at which conditions last changed.
    pub(super) fn complete(
        mut self,
        environment: &Environment,
        bound: bool,
        wanted: bool,
        before: &Self,
    ) -> Self {
        let view = *environment.lease.view().borrow();
        if let Some(found) = &environment.watchdog {
            let timeout = view
                .watchdog_timeout
                .map(|timeout| Duration(format!("{}s", timeout.as_secs())));
            self.facts.watchdog = Some(WatchdogStatus {
                device: Some(found.device.clone()),
                identity: Some(found.identity.clone()),
                hardware: Some(found.hardware),
                armed: Some(view.watchdog_armed),
                lease_bound: Some(bound),
                timeout,
            });
        }
        let (so, reason, message) =
            match (view.watchdog_armed, wanted, environment.watchdog.is_some()) {
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
        self.facts
            .conditions
            .retain(|condition| condition.type_ != "WatchdogArmed");
        self.facts.conditions.push(Condition {
            type_: "WatchdogArmed".to_owned(),
            status: if so {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Time::from(environment.clock.now()),
            observed_generation: None,
        });
        self.keep_times(before, environment.clock.now());
        self
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
