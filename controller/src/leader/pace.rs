use std::time::Duration;

/// After this many commits in a row that nothing but the own ones called for, something is wrong with a decision.
const IN_A_ROW: u32 = 64;
const BREATHE: Duration = Duration::from_secs(1);

/// Slows a leader down whose decisions call for decisions, so that a mistake in one of them does not fill the log.
/// A cluster in which much happens is not slowed: others' changes begin the count anew.
#[derive(Debug, Default)]
pub(super) struct Pace {
    own: u32,
}

impl Pace {
    /// Somebody else has changed something, or there was nothing to decide.
    pub(super) fn begin_anew(&mut self) {
        self.own = 0;
    }

    /// The leader has written. How long it is to pause.
    pub(super) fn wrote(&mut self) -> Option<Duration> {
        self.own += 1;
        (self.own > IN_A_ROW).then(|| {
            tracing::warn!(
                in_a_row = self.own,
                "decisions call for decisions; the leader pauses for {BREATHE:?}"
            );
            BREATHE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_only_answers_itself_is_slowed_down() {
        let mut pace = Pace::default();
        let free = (0..IN_A_ROW).filter_map(|_| pace.wrote()).count();
        assert_eq!((free, pace.wrote()), (0, Some(BREATHE)));
    }

    #[test]
    fn a_leader_that_answers_others_is_not() {
        let mut pace = Pace::default();
        for _ in 0..10 * IN_A_ROW {
            assert_eq!(pace.wrote(), None);
            pace.begin_anew();
        }
    }
}
