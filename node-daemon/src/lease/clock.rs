use std::time::Duration;

/// The time since the host booted, suspended time included: what a lease is measured by. It never jumps.
pub trait BootClock: Send + Sync {
    /// Now.
    fn now(&self) -> Duration;
}

/// The kernel's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemBootClock;

impl BootClock for SystemBootClock {
    fn now(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }
}
