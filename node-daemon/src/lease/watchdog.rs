use super::WatchdogPolicy;
use quorate_proto::heartbeat::DaemonState;
use std::time::Duration;

/// What is done about the watchdog now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogAct {
    /// Nothing: it is not armed and is not to be.
    Leave,
    /// It is armed, and fed.
    Arm(Duration),
    /// It is fed.
    Feed,
    /// It is not fed: it will fire unless that changes.
    Starve,
    /// It is stopped.
    Disarm,
}

/// Rule R5: when the watchdog is fed.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchdogRules {
    armed: Option<Duration>,
}

impl WatchdogRules {
    /// For a watchdog that is not armed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do now.
    ///
    /// Where the watchdog makes the host safe, it is fed while the lease is fresh and by nothing else, and it is armed
    /// only once there is a lease: before that nothing was activated that it would have to end. Elsewhere it is fed
    /// while the daemon's own loops advance, or the daemon is just being started again.
    #[must_use]
    pub fn decide(
        &self,
        policy: &WatchdogPolicy,
        lease_fresh: bool,
        daemon: DaemonState,
    ) -> WatchdogAct {
        let well = if policy.bound_to_lease {
            lease_fresh
        } else {
            daemon != DaemonState::Stuck
        };
        match (policy.armed, self.armed) {
            (false, None) => WatchdogAct::Leave,
            (false, Some(_)) => WatchdogAct::Disarm,
            (true, None) if well => WatchdogAct::Arm(policy.timeout),
            (true, None) => WatchdogAct::Leave,
            (true, Some(timeout)) if well && timeout != policy.timeout => {
                WatchdogAct::Arm(policy.timeout)
            }
            (true, Some(_)) if well => WatchdogAct::Feed,
            (true, Some(_)) => WatchdogAct::Starve,
        }
    }

    /// It was armed with that time-out of the policy, or disarmed.
    pub fn now_armed(&mut self, timeout: Option<Duration>) {
        self.armed = timeout;
    }

    /// Whether it would fire.
    #[must_use]
    pub fn armed(&self) -> bool {
        self.armed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DaemonState::{Restarting, Stuck, Well};
    use WatchdogAct::{Arm, Disarm, Feed, Leave, Starve};

    #[test]
    fn the_watchdog_is_fed_by_the_lease_where_it_makes_the_host_safe_and_by_the_daemon_elsewhere() {
        let t = Duration::from_secs(30);
        // wanted, armed already, bound to the lease, lease fresh, daemon -> act
        let cases = [
            (false, false, true, true, Well, Leave),
            (false, true, true, true, Well, Disarm),
            (false, true, true, false, Stuck, Disarm),
            (true, false, true, true, Well, Arm(t)),
            (true, false, true, false, Well, Leave),
            (true, true, true, true, Well, Feed),
            (true, true, true, true, Stuck, Feed),
            (true, true, true, false, Well, Starve),
            (true, true, true, false, Restarting, Starve),
            (true, false, false, false, Well, Arm(t)),
            (true, false, false, false, Stuck, Leave),
            (true, true, false, false, Well, Feed),
            (true, true, false, false, Restarting, Feed),
            (true, true, false, true, Stuck, Starve),
        ];
        for case in cases {
            let (wanted, armed, bound_to_lease, fresh, daemon, act) = case;
            let policy = WatchdogPolicy {
                armed: wanted,
                bound_to_lease,
                timeout: t,
            };
            let mut rules = WatchdogRules::new();
            rules.now_armed(armed.then_some(t));
            assert_eq!(rules.decide(&policy, fresh, daemon), act, "{case:?}");
        }
    }

    #[test]
    fn another_time_out_is_taken_only_while_the_host_is_well() {
        let policy = WatchdogPolicy {
            armed: true,
            bound_to_lease: true,
            timeout: Duration::from_secs(60),
        };
        let mut rules = WatchdogRules::new();
        rules.now_armed(Some(Duration::from_secs(30)));
        assert_eq!(rules.decide(&policy, true, Well), Arm(policy.timeout));
        assert_eq!(rules.decide(&policy, false, Well), Starve);
    }
}
