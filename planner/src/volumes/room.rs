//! The space of a pool, or of a host's part of it.

use crate::amounts::words;

/// What there is, and what of it is promised.
pub(crate) struct Room {
    capacity: u64,
    /// How much of it may be promised, in percent.
    percent: u64,
    promisable: u64,
    reserve: u64,
    promised: u64,
    /// What is left.
    pub(crate) free: u64,
}

impl Room {
    pub(crate) fn of(capacity: u64, percent: u64, reserve: u64, promised: u64) -> Self {
        let promisable = u128::from(capacity) * u128::from(percent) / 100;
        let promisable = u64::try_from(promisable).unwrap_or(u64::MAX);
        Self {
            capacity,
            percent,
            promisable,
            reserve,
            promised,
            free: promisable.saturating_sub(reserve).saturating_sub(promised),
        }
    }

    pub(crate) fn arithmetic(&self) -> String {
        let whole = match self.percent {
            100 => format!("of {}", words(self.capacity)),
            percent => format!(
                "of {} ({percent} % of {})",
                words(self.promisable),
                words(self.capacity)
            ),
        };
        format!(
            "{whole}, {} are reserved and {} promised, {} are left",
            words(self.reserve),
            words(self.promised),
            words(self.free)
        )
    }
}
