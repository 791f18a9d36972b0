//! Clocks of simulated machines: wall clocks may be wrong, and may jump; the time since boot drifts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use quorate_identity::Clock;
use quorate_node_daemon::lease::BootClock;

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

/// The time since one machine booted, by its own quartz. It never goes back.
#[derive(Clone)]
pub(crate) struct BootTime {
    wire: Wire,
    /// By how many nanoseconds the machine's quartz is ahead since the run began.
    ahead: Arc<AtomicI64>,
    /// When it booted, by its quartz.
    booted: Arc<AtomicU64>,
    /// The latest time that anybody was told.
    told: Arc<AtomicU64>,
}

impl BootTime {
    pub(crate) fn new(wire: Wire, ahead: Arc<AtomicI64>) -> Self {
        Self {
            wire,
            ahead,
            booted: Arc::default(),
            told: Arc::default(),
        }
    }

    /// The kernel starts.
    pub(crate) fn boots(&self) {
        self.booted.store(self.by_quartz(), Ordering::Relaxed);
        self.told.store(0, Ordering::Relaxed);
    }

    fn by_quartz(&self) -> u64 {
        let now = i64::try_from(self.wire.now().as_nanos()).unwrap_or(i64::MAX);
        u64::try_from(now + self.ahead.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl BootClock for BootTime {
    fn now(&self) -> Duration {
        let since = self
            .by_quartz()
            .saturating_sub(self.booted.load(Ordering::Relaxed));
        let before = self.told.fetch_max(since, Ordering::Relaxed);
        Duration::from_nanos(since.max(before))
    }
}
