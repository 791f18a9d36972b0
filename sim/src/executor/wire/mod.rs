//! What simulated processes meet on: datagrams, calls and streams between machines, over several rings, with faults.
//!
//! Everything that is sent waits here until it is due and the receiving process has its turn. Datagrams are lost,
//! doubled and overtaken. Calls and streams behave like TCP: what meets a cut is sent again until it gets through or the
//! connection is given up; a living kernel answers for a process that died, a machine without power answers nothing.

mod ask;
mod faults;
mod pipe;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{runtime::Handle, time::Instant};

use super::{MachineId, ProcessId, Random, Trace};
pub use faults::{Condition, Ring};
pub use pipe::{PipeEnd, PipeStart};

/// Why a call or a stream came to nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Broken {
    /// The other process surely got nothing.
    #[error("nobody can be reached there")]
    Unreachable,
    /// It may have got it.
    #[error("the connection broke")]
    Lost,
}

/// How long a connection tries to get something through a cut.
const PATIENCE: Duration = Duration::from_secs(12);
const SEND_AGAIN: Duration = Duration::from_millis(200);

/// What is done at the receiver.
type Deliver = Box<dyn FnOnce() + Send>;

/// Something on its way.
struct Parcel {
    from: MachineId,
    sent: Duration,
    way: Way,
    label: String,
    digest: u64,
    deliver: Deliver,
    /// Called when it surely will not arrive.
    undelivered: Option<Box<dyn FnOnce(Broken) + Send>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Datagram(Ring),
    /// To this life of the receiver.
    Connection(u64),
}

#[derive(Clone, Copy)]
struct Life {
    number: u64,
    machine: MachineId,
    alive: bool,
}

/// A connection's way to hear of its end.
struct Held {
    ends: [(ProcessId, u64); 2],
    /// Since when nothing gets through.
    silent: Option<Duration>,
    fail: Box<dyn FnOnce(Broken) + Send>,
}

/// Whose turn it is.
#[derive(Clone, Copy)]
struct Turn {
    /// Simulated time at the beginning of the turn.
    now: Duration,
    /// The clock of the process at that moment.
    clock: Option<Instant>,
    /// How long the turn is.
    tick: Duration,
}

/// The wire of a run. Clones are the same wire.
#[derive(Clone)]
pub struct Wire(Arc<Mutex<Inner>>);

struct Inner {
    random: Random,
    trace: Trace,
    /// Numbers everything that is sent or held.
    count: u64,
    turn: Turn,
    waiting: BTreeMap<ProcessId, BTreeMap<(Duration, u64), Parcel>>,
    lives: BTreeMap<ProcessId, Life>,
    held: BTreeMap<u64, Held>,
    down: BTreeSet<MachineId>,
    condition: Condition,
    rings: Ring,
    cut: BTreeSet<(MachineId, MachineId, Ring)>,
}

impl Wire {
    pub(super) fn new(random: Random, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            random,
            trace,
            count: 0,
            turn: Turn {
                now: Duration::ZERO,
                clock: None,
                tick: Duration::ZERO,
            },
            waiting: BTreeMap::new(),
            lives: BTreeMap::new(),
            held: BTreeMap::new(),
            down: BTreeSet::new(),
            condition: Condition::default(),
            rings: 2,
            cut: BTreeSet::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Simulated time, as exactly as the process whose turn it is knows it.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.lock().now()
    }

    /// A datagram on one ring. It may be lost, doubled or overtaken.
    pub fn cast(
        &self,
        from: MachineId,
        to: &str,
        ring: Ring,
        label: &str,
        digest: u64,
        deliver: impl Fn() + Send + Sync + 'static,
    ) {
        let mut inner = self.lock();
        let deliver = Arc::new(deliver);
        let lost = inner.condition.loss;
        let doubled = inner.condition.doubled;
        let copies = 1 + u32::from(inner.random.happens(doubled));
        for _ in 0..copies {
            if inner.random.happens(lost) {
                continue;
            }
            let deliver = deliver.clone();
            let parcel = Parcel {
                from,
                sent: inner.now(),
                way: Way::Datagram(ring),
                label: label.to_owned(),
                digest,
                deliver: Box::new(move || deliver()),
                undelivered: None,
            };
            let due = inner.now() + inner.travel();
            inner.put(to, due, parcel);
        }
    }

    pub(super) fn born(&self, name: &str, machine: MachineId) {
        let mut inner = self.lock();
        let number = inner.lives.get(name).map_or(1, |life| life.number + 1);
        let life = Life {
            number,
            machine,
            alive: true,
        };
        inner.lives.insert(name.to_owned(), life);
    }

    pub(super) fn died(&self, name: &str) {
        let broken = {
            let mut inner = self.lock();
            let Some(life) = inner.lives.get_mut(name) else {
                return;
            };
            life.alive = false;
            let machine = life.machine;
            if inner.down.contains(&machine) {
                Vec::new()
            } else {
                inner.release(|held| held.ends.iter().any(|(end, _)| end == name))
            }
        };
        for held in broken {
            (held.fail)(Broken::Lost);
        }
    }

    pub(super) fn turns_to(&self, now: Duration, clock: Instant, tick: Duration) {
        let clock = Some(clock);
        self.lock().turn = Turn { now, clock, tick };
    }

    /// No process' clock counts until the next turn: outside its runtime it would be the machine's.
    pub(super) fn turn_is_over(&self) {
        self.lock().turn.clock = None;
    }

    /// Whether nothing arrives anywhere before `until`.
    pub(super) fn is_quiet(&self, until: Duration) -> bool {
        let inner = self.lock();
        let mut firsts = inner.waiting.values().filter_map(BTreeMap::first_key_value);
        firsts.all(|((due, _), _)| *due >= until)
    }

    /// What has arrived at a process and is to be done there now.
    pub(super) fn arrived(&self, name: &str, now: Duration) -> Vec<Deliver> {
        let mut deliveries = Vec::new();
        let mut refused = Vec::new();
        // What a parcel holds may itself hang on the wire: it is let go of when the wire is free again.
        let mut vanished = Vec::new();
        let mut inner = self.lock();
        let Some(life) = inner.lives.get(name).copied() else {
            return deliveries;
        };
        let Some(mut waiting) = inner.waiting.remove(name) else {
            return deliveries;
        };
        let later = waiting.split_off(&(now + Duration::from_nanos(1), 0));
        inner.waiting.insert(name.to_owned(), later);
        for ((due, _), parcel) in waiting {
            match inner.fate(&parcel, life, now) {
                Fate::Arrives => {
                    inner.trace.note(due, &parcel.label, parcel.digest);
                    deliveries.push(parcel.deliver);
                }
                Fate::SentAgain => inner.put(name, now + SEND_AGAIN, parcel),
                Fate::Refused => refused.push(parcel),
                Fate::Vanishes => vanished.push(parcel),
            }
        }
        drop(inner);
        return_to_senders(refused, vanished);
        deliveries
    }

    /// Gives up connections through which nothing has come for long, and answers for processes that died. The executor calls
    /// it now and then.
    pub(super) fn tidy(&self, now: Duration) {
        let mut inner = self.lock();
        let (refused, vanished) = inner.answer_for_the_dead(now);
        let lives = inner.lives.clone();
        let mut given_up = Vec::new();
        let mut held = std::mem::take(&mut inner.held);
        for (id, connection) in &mut held {
            let [one, other] = &connection.ends;
            let (Some(from), Some(to)) = (lives.get(&one.0), lives.get(&other.0)) else {
                given_up.push(*id);
                continue;
            };
            if inner.reaches(from.machine, to.machine) {
                connection.silent = None;
                let gone = |life: &Life, number: u64| !life.alive || life.number != number;
                if gone(from, one.1) || gone(to, other.1) {
                    given_up.push(*id);
                }
            } else if now > *connection.silent.get_or_insert(now) + PATIENCE {
                given_up.push(*id);
            }
        }
        let broken: Vec<Held> = given_up.iter().filter_map(|id| held.remove(id)).collect();
        inner.held = held;
        drop(inner);
        for connection in broken {
            (connection.fail)(Broken::Lost);
        }
        return_to_senders(refused, vanished);
    }
}

/// A kernel that has sent something again and again in vain gives the whole connection up, also when the network is well again
/// the moment after.
fn return_to_senders(refused: Vec<Parcel>, vanished: Vec<Parcel>) {
    for (parcels, broken) in [(refused, Broken::Unreachable), (vanished, Broken::Lost)] {
        for undelivered in parcels.into_iter().filter_map(|it| it.undelivered) {
            undelivered(broken);
        }
    }
}

enum Fate {
    Arrives,
    SentAgain,
    Refused,
    Vanishes,
}

impl Inner {
    fn now(&self) -> Duration {
        let Turn { now, clock, tick } = self.turn;
        let Some(clock) = clock.filter(|_| Handle::try_current().is_ok()) else {
            return now;
        };
        now + Instant::now().saturating_duration_since(clock).min(tick)
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn travel(&mut self) -> Duration {
        let Condition { least, most, .. } = self.condition;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.between(micros(least), micros(most)))
    }

    fn put(&mut self, to: &str, due: Duration, parcel: Parcel) {
        let number = self.number();
        let waiting = self.waiting.entry(to.to_owned()).or_default();
        waiting.insert((due, number), parcel);
    }

    fn fate(&self, parcel: &Parcel, to: Life, now: Duration) -> Fate {
        match parcel.way {
            Way::Datagram(ring) if to.alive && self.passes(parcel.from, to.machine, ring) => {
                Fate::Arrives
            }
            Way::Datagram(_) => Fate::Vanishes,
            Way::Connection(life) if self.reaches(parcel.from, to.machine) => {
                if to.alive && to.number == life {
                    Fate::Arrives
                } else {
                    Fate::Refused
                }
            }
            Way::Connection(_) if now > parcel.sent + PATIENCE => Fate::Vanishes,
            Way::Connection(_) => Fate::SentAgain,
        }
    }

    /// What waits for processes that are gone is refused by their machines' kernels, or vanishes.
    fn answer_for_the_dead(&mut self, now: Duration) -> (Vec<Parcel>, Vec<Parcel>) {
        let dead: Vec<(ProcessId, Life)> = self
            .lives
            .iter()
            .filter(|(_, life)| !life.alive)
            .map(|(name, life)| (name.clone(), *life))
            .collect();
        let (mut refused, mut vanished) = (Vec::new(), Vec::new());
        for (name, life) in dead {
            let Some(waiting) = self.waiting.remove(&name) else {
                continue;
            };
            for ((due, _), parcel) in waiting {
                if due > now {
                    self.put(&name, due, parcel);
                    continue;
                }
                match self.fate(&parcel, life, now) {
                    Fate::Refused => refused.push(parcel),
                    Fate::SentAgain => self.put(&name, now + SEND_AGAIN, parcel),
                    Fate::Arrives | Fate::Vanishes => vanished.push(parcel),
                }
            }
        }
        (refused, vanished)
    }

    fn release(&mut self, which: impl Fn(&Held) -> bool) -> Vec<Held> {
        let found: Vec<u64> = self
            .held
            .iter()
            .filter(|(_, held)| which(held))
            .map(|(id, _)| *id)
            .collect();
        found.iter().filter_map(|id| self.held.remove(id)).collect()
    }
}
