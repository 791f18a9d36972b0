use std::{future::Future, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, advance, sleep_until},
};

use super::MachineId;

/// A simulated process: tasks on a runtime of its own, whose clock stands still unless the executor turns it.
pub(super) struct Process {
    pub(super) machine: MachineId,
    runtime: Runtime,
    /// The runtime's clock when the process began.
    began: Instant,
    /// How far the process' monotonic clock has come since then.
    elapsed: Duration,
    /// Stopped by a signal, or by a host that swaps: it does nothing, and its clock goes on.
    pub(super) paused: bool,
    /// By how much it has not been turned as far as the others, because it had nothing to do.
    pub(super) behind: Duration,
    /// Until when it is given every turn.
    pub(super) attentive_until: Duration,
}

impl Process {
    pub(super) fn start(
        machine: MachineId,
        main: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let began = runtime.block_on(async { Instant::now() });
        drop(runtime.spawn(main));
        Ok(Self {
            machine,
            runtime,
            began,
            elapsed: Duration::ZERO,
            paused: false,
            behind: Duration::ZERO,
            attentive_until: Duration::ZERO,
        })
    }

    /// What is done within is done by this process: what it spawns runs in it.
    pub(super) fn within<T>(&self, act: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        act()
    }

    /// Lets the process run for `tick` of its own time. What was missed while it was paused has passed at once, as it has
    /// for a process that is continued.
    pub(super) fn turn(&mut self, tick: Duration) {
        let before = self.began + self.elapsed;
        self.elapsed += tick;
        if self.paused {
            return;
        }
        let until = self.began + self.elapsed;
        self.runtime.block_on(async {
            let behind = before.saturating_duration_since(Instant::now());
            if behind > JITTER {
                advance(behind).await;
            }
            sleep_until(until).await;
        });
    }

    /// The process' clock, which the wire counts from.
    pub(super) fn turned_until(&self) -> Instant {
        self.began + self.elapsed
    }
}

/// The runtime's timers are exact to a millisecond.
const JITTER: Duration = Duration::from_millis(2);
