//! How long there was no quorum, as far as one was looked for.

use std::time::Duration;

use tokio::time::Instant;

/// Counts a silence. Time in which this member itself stood still does not count: what it did not hear then proves nothing.
#[derive(Debug, Default)]
pub(super) struct Patience {
    began: Option<Instant>,
    looked: Option<Instant>,
}

impl Patience {
    /// Looks, and says for how long there has been no quorum; looking must come at least every `stall`.
    pub(super) fn look(&mut self, quorum: bool, now: Instant, stall: Duration) -> Option<Duration> {
        let stood_still = self
            .looked
            .is_some_and(|looked| now.duration_since(looked) > stall);
        self.looked = Some(now);
        if quorum {
            self.began = None;
            return None;
        }
        if stood_still {
            self.began = None;
        }
        let began = *self.began.get_or_insert(now);
        Some(now.duration_since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_that_was_listened_to_counts() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let stall = Duration::from_millis(500);
        let mut patience = Patience::default();
        assert_eq!(patience.look(true, at(0), stall), None);
        assert_eq!(patience.look(false, at(200), stall), Some(Duration::ZERO));
        assert_eq!(
            patience.look(false, at(400), stall),
            Some(Duration::from_millis(200))
        );
        assert_eq!(
            patience.look(false, at(9_000), stall),
            Some(Duration::ZERO),
            "it stood still itself, and begins anew"
        );
        assert_eq!(patience.look(true, at(9_200), stall), None);
        assert_eq!(patience.look(false, at(9_400), stall), Some(Duration::ZERO));
    }
}
