//! Runs simulated processes in turn, on one thread and on simulated time.
//!
//! Each process has a runtime of its own with a clock that only the executor moves. Ticks are short and the order of the
//! processes within one is fixed, so that a seed gives one run and no other. To kill a process is to drop its
//! runtime: every task ends wherever it stood, as with `kill -9`. Processes meet only on the [`Wire`].

mod process;
mod random;
mod trace;
mod wire;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

pub use random::Random;
pub use trace::Trace;
pub use wire::{Broken, Condition, PipeEnd, PipeStart, Ring, Wire};

use process::Process;

/// A machine, by its place in the room.
pub type MachineId = usize;

/// Names a process for as long as the run lasts; a process that is started again has the same name and another life.
pub type ProcessId = String;

/// How far everything moves at once while something is on its way.
const BUSY: Duration = Duration::from_millis(5);
/// How far while nothing is.
const IDLE: Duration = Duration::from_millis(25);

/// For how long after something arrived a process is given every turn; others sleep until their next long one.
const ATTENTIVE: Duration = Duration::from_millis(40);

const TIDY_EVERY: Duration = Duration::from_millis(100);

/// All processes of a run.
pub struct Executor {
    now: Duration,
    next_tidy: Duration,
    wire: Wire,
    trace: Trace,
    processes: BTreeMap<ProcessId, Process>,
    /// Parts in a million by which a machine's monotonic clock is fast, or slow.
    drift: BTreeMap<MachineId, i64>,
    /// By how many nanoseconds each machine's clock is ahead by now.
    ahead: BTreeMap<MachineId, Arc<AtomicI64>>,
}

impl Executor {
    /// No process yet.
    #[must_use]
    pub fn new(seed: u64, trace: Trace) -> Self {
        Self {
            now: Duration::ZERO,
            next_tidy: Duration::ZERO,
            wire: Wire::new(Random::of(seed, "wire"), trace.clone()),
            trace,
            processes: BTreeMap::new(),
            drift: BTreeMap::new(),
            ahead: BTreeMap::new(),
        }
    }

    /// Simulated time since the beginning of the run.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What the processes meet on.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Starts a process. One that runs under the name is killed before.
    pub fn start(
        &mut self,
        name: &str,
        machine: MachineId,
        main: impl Future<Output = ()> + Send + 'static,
    ) {
        self.kill(name);
        self.wire.born(name, machine);
        let process =
            Process::start(machine, main).expect("a runtime without threads can be built");
        self.processes.insert(name.to_owned(), process);
    }

    /// `kill -9`. Peers learn of it from the machine's kernel, if that lives.
    pub fn kill(&mut self, name: &str) {
        let Some(process) = self.processes.remove(name) else {
            return;
        };
        // What its tasks still send while they are dropped belongs to no turn.
        self.wire.turn_is_over();
        drop(process);
        self.wire.died(name);
    }

    /// Whether the process exists, paused or not.
    #[must_use]
    pub fn runs(&self, name: &str) -> bool {
        self.processes.contains_key(name)
    }

    /// Whether the process exists and is not paused.
    #[must_use]
    pub fn goes_on(&self, name: &str) -> bool {
        self.processes.get(name).is_some_and(|known| !known.paused)
    }

    /// What is done within is done by the process, if it exists: by its clock.
    pub fn within<T>(&self, name: &str, act: impl FnOnce() -> T) -> Option<T> {
        self.processes.get(name).map(|process| process.within(act))
    }

    /// The processes of a machine.
    #[must_use]
    pub fn on_machine(&self, machine: MachineId) -> Vec<ProcessId> {
        let on = |process: &&Process| process.machine == machine;
        let found = self.processes.iter().filter(|(_, process)| on(process));
        found.map(|(name, _)| name.clone()).collect()
    }

    /// Stops a process without killing it, or lets it go on.
    pub fn pause(&mut self, name: &str, paused: bool) {
        if let Some(process) = self.processes.get_mut(name) {
            process.paused = paused;
        }
    }

    /// Makes a machine's monotonic clock fast or slow.
    pub fn set_drift(&mut self, machine: MachineId, parts_per_million: i64) {
        self.drift.insert(machine, parts_per_million);
    }

    /// By how many nanoseconds a machine's monotonic clock is ahead, as it changes.
    pub fn ahead(&mut self, machine: MachineId) -> Arc<AtomicI64> {
        self.ahead.entry(machine).or_default().clone()
    }

    /// Runs something in a process, as if it were a task of it.
    pub fn inject(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let Some(process) = self.processes.get(name) else {
            return false;
        };
        process.within(|| drop(tokio::spawn(task)));
        true
    }

    /// Lets everything run for one tick.
    pub fn tick(&mut self) {
        let tick = if self.wire.is_quiet(self.now + IDLE) {
            IDLE
        } else {
            BUSY
        };
        let names: Vec<ProcessId> = self.processes.keys().cloned().collect();
        for name in names {
            self.turn(&name, tick);
        }
        self.now += tick;
        for (machine, ahead) in &self.ahead {
            let drift = self.drift.get(machine).copied().unwrap_or(0);
            ahead.fetch_add(ahead_by(tick, drift), Ordering::Relaxed);
        }
        if self.now >= self.next_tidy {
            self.next_tidy = self.now + TIDY_EVERY;
            self.wire.tidy(self.now);
        }
    }

    fn turn(&mut self, name: &str, tick: Duration) {
        self.trace.turns_to(self.now, name);
        let Some(process) = self.processes.get_mut(name) else {
            return;
        };
        let drift = self.drift.get(&process.machine).copied().unwrap_or(0);
        let arrived = if process.paused {
            Vec::new()
        } else {
            self.wire.arrived(name, self.now)
        };
        if !arrived.is_empty() {
            process.attentive_until = self.now + ATTENTIVE;
        }
        let behind = process.behind + tick;
        if arrived.is_empty() && self.now >= process.attentive_until && behind < IDLE {
            process.behind = behind;
            return;
        }
        let from = self.now - process.behind;
        if !arrived.is_empty() && !process.behind.is_zero() {
            let missed = std::mem::take(&mut process.behind);
            self.wire.turns_to(from, process.turned_until(), missed);
            process.turn(drifted(missed, drift));
        }
        let now = self.now - process.behind;
        let turn = std::mem::take(&mut process.behind) + tick;
        self.wire.turns_to(now, process.turned_until(), turn);
        process.within(|| {
            for deliver in arrived {
                deliver();
            }
        });
        process.turn(drifted(turn, drift));
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let names: Vec<ProcessId> = self.processes.keys().cloned().collect();
        for name in names {
            self.kill(&name);
        }
    }
}

fn drifted(tick: Duration, parts_per_million: i64) -> Duration {
    let nanos = i64::try_from(tick.as_nanos()).unwrap_or(i64::MAX);
    let nanos = nanos + ahead_by(tick, parts_per_million);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

fn ahead_by(tick: Duration, parts_per_million: i64) -> i64 {
    let nanos = i64::try_from(tick.as_nanos()).unwrap_or(0);
    nanos * parts_per_million / 1_000_000
}
