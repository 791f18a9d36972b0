use jiff::{SignedDuration, Timestamp};
use quorate_identity::Clock;
use quorate_store::WallClock;
use tokio::time::Instant;

/// The wall clock of the stories: it goes with the runtime's paused time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoryClock {
    begun: Instant,
}

impl StoryClock {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    /// For the store's entries.
    pub(crate) fn of_entries(self) -> WallClock {
        WallClock::new(move || u64::try_from(self.now().as_millisecond()).expect("after 1970"))
    }
}

impl Clock for StoryClock {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a moment");
        let passed = SignedDuration::try_from(self.begun.elapsed()).expect("a short story");
        start + passed
    }
}
