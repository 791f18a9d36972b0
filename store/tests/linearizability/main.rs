//! Recorded concurrent histories are linearizable: writes, compare-and-swaps and reads behind a barrier,
//! on any member, while members are killed and cut off. And the checker is no rubber stamp.
//!
//! `QUORATE_HISTORIES` sets how many histories are recorded.

mod checker;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use checker::{Action, Operation, Value, linearizable};
use quorate_store::{
    Condition, DiskWork, MemberId, Outcome, Revision, Store, StoreConfig, StoreError,
};
use support::{Cluster, config, key, put, put_if};
use tokio::time::sleep;

fn operation(called: u64, answered: u64, action: Action) -> Operation {
    Operation {
        called,
        answered,
        action,
    }
}

#[test]
fn the_checker_accepts_overlapping_operations_in_either_order() {
    let write = operation(1, 4, Action::Write(1));
    let new = operation(2, 3, Action::Read(Some(1)));
    let old = operation(2, 3, Action::Read(None));
    assert!(linearizable(&[write, new]));
    assert!(linearizable(&[write, old]));
}

#[test]
fn the_checker_rejects_a_stale_read() {
    let history = [
        operation(1, 2, Action::Write(1)),
        operation(3, 4, Action::Write(2)),
        operation(5, 6, Action::Read(Some(1))),
    ];
    assert!(!linearizable(&history));
}

#[test]
fn the_checker_rejects_a_lost_write_and_one_that_comes_back() {
    let lost = [
        operation(1, 2, Action::Write(1)),
        operation(3, 4, Action::Read(None)),
    ];
    assert!(!linearizable(&lost));
    let back = [
        operation(1, u64::MAX, Action::MaybeWrite(1)),
        operation(2, 3, Action::Read(Some(1))),
        operation(4, 5, Action::Read(None)),
    ];
    assert!(!linearizable(&back));
}

#[test]
fn the_checker_rejects_two_swaps_of_the_same_value() {
    let swap = |called, new| {
        let action = Action::Swap {
            expected: Some(1),
            new,
            done: true,
        };
        operation(called, called + 5, action)
    };
    let first = operation(1, 2, Action::Write(1));
    assert!(linearizable(&[first, swap(3, 2)]));
    assert!(!linearizable(&[first, swap(3, 2), swap(4, 3)]));
}

#[test]
fn the_checker_lets_an_unanswered_write_happen_late_or_never() {
    let maybe = operation(1, u64::MAX, Action::MaybeWrite(9));
    let before = operation(2, 3, Action::Read(None));
    let after = operation(4, 5, Action::Read(Some(9)));
    assert!(linearizable(&[maybe, before]));
    assert!(linearizable(&[maybe, before, after]));
}

type Running = Arc<Mutex<BTreeMap<MemberId, Store>>>;
type Histories = Arc<Mutex<BTreeMap<u64, Vec<Operation>>>>;

struct Client {
    number: u64,
    running: Running,
    histories: Histories,
    /// One tick per event: real time, as far as the order of events goes.
    clock: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    dice: u64,
}

impl Client {
    fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % below
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn member(&mut self) -> Option<Store> {
        let nth = self.roll(3);
        let running = self.running.lock().unwrap();
        let nth = usize::try_from(nth).unwrap().checked_rem(running.len())?;
        running.values().nth(nth).cloned()
    }

    async fn run(mut self) {
        let mut seen: BTreeMap<u64, (Option<Value>, Option<Revision>)> = BTreeMap::new();
        let mut count = 0;
        while !self.stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1 + self.roll(60))).await;
            let Some(store) = self.member() else {
                continue;
            };
            let place = self.roll(4);
            count += 1;
            let new = self.number * 1_000_000 + count;
            let called = self.tick();
            let action = match self.roll(3) {
                0 => read(&store, place, &mut seen).await,
                1 => write(&store, place, new).await,
                _ => swap(&store, place, new, &seen).await,
            };
            let Some(action) = action else { continue };
            let open = matches!(action, Action::MaybeWrite(_) | Action::MaybeSwap { .. });
            let answered = if open { u64::MAX } else { self.tick() };
            self.histories
                .lock()
                .unwrap()
                .entry(place)
                .or_default()
                .push(operation(called, answered, action));
        }
    }
}

fn name(place: u64) -> String {
    format!("register-{place}")
}

async fn read(
    store: &Store,
    place: u64,
    seen: &mut BTreeMap<u64, (Option<Value>, Option<Revision>)>,
) -> Option<Action> {
    store.barrier().await.ok()?;
    let stored = store.view().get(&key(&name(place)));
    let value = stored
        .as_ref()
        .map(|s| String::from_utf8_lossy(&s.value).parse().unwrap());
    seen.insert(place, (value, stored.map(|s| s.modified)));
    Some(Action::Read(value))
}

async fn write(store: &Store, place: u64, new: Value) -> Option<Action> {
    match store.propose(put(&name(place), &new.to_string())).await {
        Ok(_) => Some(Action::Write(new)),
        Err(StoreError::Unknown { .. }) => Some(Action::MaybeWrite(new)),
        // Any other error promises that nothing was written.
        Err(_) => None,
    }
}

async fn swap(
    store: &Store,
    place: u64,
    new: Value,
    seen: &BTreeMap<u64, (Option<Value>, Option<Revision>)>,
) -> Option<Action> {
    let (expected, revision) = *seen.get(&place)?;
    let name = name(place);
    let condition = match revision {
        Some(revision) => Condition::AtRevision(key(&name), revision),
        None => Condition::Absent(key(&name)),
    };
    let swapped = |done| Action::Swap {
        expected,
        new,
        done,
    };
    match store
        .propose(put_if(condition, &name, &new.to_string()))
        .await
    {
        Ok(Outcome::Committed { .. }) => Some(swapped(true)),
        Ok(Outcome::Refused(_)) => Some(swapped(false)),
        Err(StoreError::Unknown { .. }) => Some(Action::MaybeSwap { expected, new }),
        Err(_) => None,
    }
}

/// A history of many clients on three members in trouble, per key.
async fn record(seed: u64) -> BTreeMap<u64, Vec<Operation>> {
    let config = StoreConfig {
        disk_work: DiskWork::Delayed(Duration::from_millis(2)),
        snapshot_every: 100,
        segment_bytes: 16 << 10,
        propose_timeout: Duration::from_secs(2),
        ..config()
    };
    let mut cluster = Cluster::of(3, seed, config).await;
    cluster
        .net
        .set_delay(Duration::from_micros(100), Duration::from_millis(10));
    cluster.net.set_loss(5_000);
    let running: Running = Arc::new(Mutex::new(cluster.stores.clone()));
    let histories = Histories::default();
    let clock = Arc::new(AtomicU64::new(1));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (1..=6)
        .map(|number| {
            let client = Client {
                number,
                running: running.clone(),
                histories: histories.clone(),
                clock: clock.clone(),
                stop: stop.clone(),
                dice: (seed * 1000 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            };
            tokio::spawn(client.run())
        })
        .collect();
    let ids = cluster.ids();
    for round in 0..6 {
        sleep(Duration::from_millis(700)).await;
        let id = ids[(seed + round) as usize % 3];
        if round % 2 == 0 {
            cluster.net.isolate(id, ids.clone());
            sleep(Duration::from_secs(3)).await;
            cluster.net.heal();
        } else {
            running.lock().unwrap().remove(&id);
            cluster.cut_power(id).await;
            sleep(Duration::from_millis(300)).await;
            cluster.start(id).await.expect("it starts again");
            let store = cluster.stores[&id].clone();
            running.lock().unwrap().insert(id, store);
        }
    }
    sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("clients do not fail");
    }
    cluster.shutdown().await;
    std::mem::take(&mut *histories.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn histories_recorded_under_faults_are_linearizable() {
    let seeds: u64 = std::env::var("QUORATE_HISTORIES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2);
    for seed in 1..=seeds {
        for (place, history) in record(seed).await {
            assert!(
                history.len() > 50,
                "a history of {} says little",
                history.len()
            );
            assert!(
                linearizable(&history),
                "seed {seed}: the history of register {place} is not linearizable"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorded_history_with_one_read_made_stale_is_rejected() {
    let histories = record(99).await;
    let mut history = histories.into_values().next().expect("a history");
    assert!(linearizable(&history));
    // The last read that found something now says that it found nothing.
    let stale = history
        .iter_mut()
        .filter(|op| matches!(op.action, Action::Read(Some(_))))
        .max_by_key(|op| op.called)
        .expect("something was read");
    stale.action = Action::Read(None);
    assert!(!linearizable(&history));
}
