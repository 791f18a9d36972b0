use std::fmt;

use jiff::Timestamp;

/// Where this crate gets the time from, so that tests and simulated clusters can say what time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall clock now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands where it was put.
impl Clock for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }
}
