use crate::plan::Plan;
use std::time::Duration;
use tokio::time::Instant;

/// More often nobody is looked at, however soon an end is to be noticed.
const SHORTEST: Duration = Duration::from_secs(1);

/// When guests are looked at although nobody tells of them: so often that the end of one is noticed within the time that
/// its manifest gives for that.
#[derive(Debug, Default)]
pub(super) struct Attention {
    every: Option<Duration>,
    next: Option<Instant>,
}

impl Attention {
    pub(super) fn plan_changed(&mut self, plan: &Plan, now: Instant) {
        let wanted = plan.guests().filter_map(|guest| {
            // What is not readable was never stored.
            let within = guest.spec.recovery.detect_within.parse().ok()?;
            // Whatever ends just after a look is seen by the next one, and that one takes time too.
            Some(SHORTEST.max(within / 2))
        });
        let every = wanted.min();
        if every != self.every {
            self.every = every;
            self.next = every.map(|every| now + every);
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is time to look.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = self.every.map(|every| now + every);
        }
        due
    }
}
