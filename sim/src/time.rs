//! Wall clocks of simulated machines: they may be wrong, and they may jump.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use quorate_identity::Clock;

use crate::executor::Wire;

/// When every run begins, in milliseconds since 1970.
pub const EPOCH_MS: i64 = 1_800_000_000_000;

/// The wall clock of one machine.
#[derive(Clone)]
pub struct MachineClock {
    wire: Wire,
    wrong_by_ms: Arc<AtomicI64>,
}

impl MachineClock {
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            wire,
            wrong_by_ms: Arc::default(),
        }
    }

    /// Lets the clock jump.
    pub fn set_wrong_by(&self, milliseconds: i64) {
        self.wrong_by_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        let now = i64::try_from(self.wire.now().as_millis()).unwrap_or(i64::MAX);
        let shown = EPOCH_MS + now + self.wrong_by_ms.load(Ordering::Relaxed);
        u64::try_from(shown).unwrap_or(0)
    }
}

impl std::fmt::Debug for MachineClock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MachineClock")
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let since = Duration::from_millis(self.unix_ms());
        Timestamp::UNIX_EPOCH + since
    }
}
