use quorate_proto::heartbeat::Grant;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many beats may be under way. At the shortest interval this covers the longest lease by far.
const REMEMBERED: usize = 256;

/// The lease, as others see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseView {
    /// The host may activate things before this moment of the boot-time clock.
    pub until: Option<Duration>,
    /// When the newest beat was sent for which a lease was granted. A former release does not say.
    pub answered: Option<Duration>,
    /// Only by a plan that is at least so new.
    pub lowest_valid_generation: u64,
    /// The newest term of a leader that answered.
    pub term: u64,
    /// Whether the watchdog would fire.
    pub watchdog_armed: bool,
    /// After how long it fires.
    pub watchdog_timeout: Option<Duration>,
}

impl LeaseView {
    /// Whether the host may activate things at that moment.
    #[must_use]
    pub fn fresh(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// Counts beats and keeps the lease that is granted for them. It allocates nothing after it was made.
///
/// A grant counts from the moment at which the beat was *sent* that it answers, on this host's own clock; so a grant
/// that was long on its way gives nothing away, and no two clocks need to agree.
#[derive(Debug)]
pub struct Keeper {
    incarnation: u64,
    sequence: u64,
    sent: [(u64, Duration); REMEMBERED],
    next: usize,
    newest_answer: (u64, u64),
    view: LeaseView,
}

impl Keeper {
    /// Without a lease.
    #[must_use]
    pub fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            sequence: 0,
            sent: [(0, Duration::ZERO); REMEMBERED],
            next: 0,
            newest_answer: (0, 0),
            view: LeaseView::default(),
        }
    }

    /// The number of the beat that is sent now, on all rings. It rises also over restarts of the process, because it
    /// is never less than the boot-time clock's milliseconds.
    pub fn beat(&mut self, now: Duration) -> u64 {
        let clock = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.sequence = clock.max(self.sequence.saturating_add(1));
        self.sent[self.next] = (self.sequence, now);
        self.next = (self.next + 1) % REMEMBERED;
        self.sequence
    }

    /// A grant came that the key has authenticated. Returns whether it was taken.
    pub fn granted(&mut self, now: Duration, grant: &Grant) -> bool {
        let sent = self
            .sent
            .iter()
            .find(|(sequence, _)| *sequence == grant.sequence && *sequence != 0);
        let Some((_, sent)) = sent else { return false };
        if grant.incarnation != self.incarnation || grant.term < self.view.term || *sent > now {
            return false;
        }
        let until = *sent + Duration::from_millis(u64::from(grant.lease_ms));
        if grant.lease_ms > 0 {
            let later = |known: Option<Duration>, new: Duration| {
                Some(known.map_or(new, |known| known.max(new)))
            };
            self.view.until = later(self.view.until, until);
            self.view.answered = later(self.view.answered, *sent);
        }
        self.view.term = grant.term;
        // Grants overtake each other; the newest answer knows of the newest withdrawal.
        if (grant.term, grant.sequence) >= self.newest_answer {
            self.newest_answer = (grant.term, grant.sequence);
            self.view.lowest_valid_generation = self
                .view
                .lowest_valid_generation
                .max(grant.lowest_valid_generation);
        }
        true
    }

    /// The lease.
    #[must_use]
    pub fn view(&self) -> LeaseView {
        self.view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn grant(sequence: u64, term: u64, lease_ms: u32) -> Grant {
        Grant {
            ring: 0,
            sequence,
            term,
            member: 1,
            lease_ms,
            lowest_valid_generation: 3,
            incarnation: 7,
        }
    }

    #[test]
    fn a_lease_counts_from_the_sending_of_the_beat_and_not_from_the_answer() {
        let mut keeper = Keeper::new(7);
        assert!(
            !keeper.view().fresh(ms(1_000)),
            "nobody has granted anything"
        );
        let beat = keeper.beat(ms(1_000));
        assert!(keeper.granted(ms(5_000), &grant(beat, 1, 10_000)));
        assert!(keeper.view().fresh(ms(10_999)));
        assert!(!keeper.view().fresh(ms(11_000)));
    }

    #[test]
    fn what_may_not_renew_a_lease_does_not() {
        let cases = [
            ("a beat that was never sent", grant(99, 5, 10_000)),
            ("a leader whose term is over", grant(1_000, 4, 10_000)),
            (
                "another incarnation",
                Grant {
                    incarnation: 6,
                    ..grant(1_000, 5, 10_000)
                },
            ),
        ];
        for (what, wrong) in cases {
            let mut keeper = Keeper::new(7);
            keeper.beat(ms(500));
            keeper.granted(ms(501), &grant(500, 5, 0));
            keeper.beat(ms(1_000));
            assert!(!keeper.granted(ms(1_001), &wrong), "{what}");
            assert_eq!(keeper.view().until, None, "{what}");
        }
    }

    #[test]
    fn an_answer_without_a_lease_neither_gives_nor_takes_one() {
        let mut keeper = Keeper::new(7);
        let first = keeper.beat(ms(1_000));
        keeper.granted(ms(1_001), &grant(first, 1, 10_000));
        let second = keeper.beat(ms(1_250));
        assert!(
            keeper.granted(ms(1_251), &grant(second, 2, 0)),
            "it is an answer"
        );
        assert_eq!(keeper.view().until, Some(ms(11_000)));
        assert_eq!(keeper.view().answered, Some(ms(1_000)));
        assert_eq!(keeper.view().term, 2);
    }

    #[test]
    fn grants_that_overtake_each_other_never_shorten_the_lease_or_lower_the_generation() {
        let mut keeper = Keeper::new(7);
        let first = keeper.beat(ms(1_000));
        let second = keeper.beat(ms(1_250));
        let newer = Grant {
            lowest_valid_generation: 9,
            ..grant(second, 1, 10_000)
        };
        keeper.granted(ms(1_300), &newer);
        keeper.granted(ms(1_400), &grant(first, 1, 10_000));
        assert_eq!(keeper.view().until, Some(ms(11_250)));
        assert_eq!(keeper.view().answered, Some(ms(1_250)));
        assert_eq!(keeper.view().lowest_valid_generation, 9);
    }

    #[test]
    fn numbers_rise_over_a_restart_of_the_process_and_between_beats_of_one_millisecond() {
        let mut keeper = Keeper::new(7);
        let last = (0..5).map(|_| keeper.beat(ms(2_000))).last();
        assert_eq!(last, Some(2_004));
        assert_eq!(Keeper::new(7).beat(ms(2_250)), 2_250);
    }

    #[test]
    fn an_answer_to_a_forgotten_beat_is_no_answer() {
        let mut keeper = Keeper::new(7);
        let first = keeper.beat(ms(1_000));
        for round in 0..REMEMBERED as u64 {
            keeper.beat(ms(2_000 + round));
        }
        assert!(!keeper.granted(ms(3_000), &grant(first, 1, 10_000)));
    }
}
