//! The leader's time: it never goes back behind the log's, and it never stands still.
//!
//! A leader whose wall clock was an hour ahead leaves an hour's lead in the log. Whoever leads after it counts on from there
//! by its monotonic clock, or everything that waits for a moment would wait for an hour.

use jiff::Timestamp;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct LeaderClock {
    last: Option<(Timestamp, Instant)>,
}

impl LeaderClock {
    /// The moment, by a wall clock and by the newest entry of the log.
    pub(super) fn now(&mut self, wall: Timestamp, logged: Option<Timestamp>) -> Timestamp {
        let at = Instant::now();
        let counted = self
            .last
            .and_then(|(then, since)| then.checked_add(at.duration_since(since)).ok());
        let now = wall
            .max(logged.unwrap_or(wall))
            .max(counted.unwrap_or(wall));
        self.last = Some((now, at));
        now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_from_where_a_leader_with_a_wrong_clock_has_left_it() {
        let mut clock = LeaderClock::default();
        let wall: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a moment");
        let logged: Timestamp = "2026-03-01T13:00:00Z".parse().expect("a moment");
        assert_eq!(clock.now(wall, Some(logged)), logged);
        tokio::time::advance(Duration::from_secs(3)).await;
        let later = clock.now(wall, Some(logged));
        assert_eq!(later.to_string(), "2026-03-01T13:00:03Z");
        // The wall clock has caught up.
        let right: Timestamp = "2026-03-01T14:00:00Z".parse().expect("a moment");
        assert_eq!(clock.now(right, Some(logged)), right);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_back_does_not_set_time_back() {
        let mut clock = LeaderClock::default();
        let wall: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a moment");
        let before: Timestamp = "2026-03-01T11:00:00Z".parse().expect("a moment");
        assert_eq!(clock.now(wall, None), wall);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(before, None).to_string(), "2026-03-01T12:00:01Z");
    }
}
