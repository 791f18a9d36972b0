//! A machine that slept (suspended, or a virtual one that was saved) does not know it by its monotonic clock: what a
//! majority acknowledged before would seem to have been a moment ago, and hosts would be given leases of a leader that was
//! replaced long since.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::time::Instant;

use crate::detector::Acknowledged;

/// The clocks are not read at the same moment.
const SLACK: Duration = Duration::from_millis(50);

/// Passes on what was acknowledged while the machine was awake.
pub(super) fn while_awake(
    acknowledged: impl Fn() -> Acknowledged + Send + Sync + 'static,
) -> impl Fn() -> Acknowledged + Send + Sync + 'static {
    let sleep = Mutex::new(Sleep::default());
    move || {
        let mut sleep = sleep.lock().unwrap_or_else(PoisonError::into_inner);
        sleep.look(slept(), Instant::now());
        sleep.believe(acknowledged())
    }
}

/// Names this run of the machine.
pub(super) fn this_boot() -> Option<String> {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(boot) => Some(boot.trim().to_owned()),
        Err(error) => {
            tracing::warn!(%error, "the system does not say which boot this is: each start of this member counts as one");
            None
        }
    }
}

/// What is known of the machine's sleep.
#[derive(Debug, Default)]
struct Sleep {
    known: Option<Duration>,
    woke: Option<Instant>,
}

impl Sleep {
    fn look(&mut self, slept: Duration, now: Instant) {
        if self.known.is_some_and(|known| slept > known + SLACK) {
            self.woke = Some(now);
        }
        self.known = Some(slept);
    }

    fn believe(&self, acknowledged: Acknowledged) -> Acknowledged {
        acknowledged.filter(|(_, at)| self.woke.is_none_or(|woke| *at > woke))
    }
}

/// For how long the machine has slept since it booted.
fn slept() -> Duration {
    let monotonic = length(clock_gettime(ClockId::Monotonic));
    length(clock_gettime(ClockId::Boottime)).saturating_sub(monotonic)
}

fn length(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_before_the_machine_slept_gives_no_lease_afterwards() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut sleep = Sleep::default();
        sleep.look(3 * second, begun);
        let before = Some((1, begun));
        assert_eq!(sleep.believe(before), before);

        // It slept for a minute, which took no time by its own clock.
        sleep.look(63 * second, begun + second);
        assert_eq!(sleep.believe(before), None);
        let after = Some((1, begun + 2 * second));
        assert_eq!(sleep.believe(after), after);
    }

    #[test]
    fn clocks_that_are_read_one_after_the_other_are_no_sleep() {
        let begun = Instant::now();
        let mut sleep = Sleep::default();
        sleep.look(Duration::ZERO, begun);
        sleep.look(Duration::from_millis(20), begun);
        assert_eq!(sleep.believe(Some((1, begun))), Some((1, begun)));
    }
}
