//! Members are killed at random points under load, again and again.
//!
//! What must hold (R6): every acknowledged write is there, at its revision, for ever; every watch tells
//! the same changes in the same order, without a gap or a duplicate, whichever members it was served by.
//!
//! `QUORATE_CRASHES` sets how many kills are made in all; the default takes some ten seconds.

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use quorate_store::{
    DiskWork, HistoryLimits, MemberId, Outcome, Revision, Store, StoreConfig, StoreError,
    WatchError, WatchScope,
};
use support::{Cluster, config, key, put};
use tokio::time::sleep;

/// Repeatable choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// What the clients and watchers have seen.
#[derive(Default)]
struct Seen {
    /// Revision to key and value, as acknowledged.
    acknowledged: Mutex<BTreeMap<Revision, (String, String)>>,
    /// Revision to key and value, as told by any watch.
    told: Mutex<BTreeMap<Revision, (String, String)>>,
    relists: AtomicU64,
}

/// The members that run now; clients and watchers look here for one to talk to.
type Running = Arc<Mutex<BTreeMap<MemberId, Store>>>;

fn pick(running: &Running, turn: usize) -> Option<(MemberId, Store)> {
    let running = running.lock().unwrap();
    let nth = turn.checked_rem(running.len())?;
    running.iter().nth(nth).map(|(id, s)| (*id, s.clone()))
}

async fn client(number: usize, running: Running, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    for turn in number.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Some((_, store)) = pick(&running, turn) else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let name = format!("key-{}", turn % 7);
        let value = format!("{number}-{turn}");
        match store.propose(put(&name, &value)).await {
            Ok(Outcome::Committed { revision, .. }) => {
                let before = seen
                    .acknowledged
                    .lock()
                    .unwrap()
                    .insert(revision, (name, value));
                assert_eq!(before, None, "revision {revision} was given out twice");
            }
            Ok(Outcome::Refused(refusals)) => panic!("nothing was asked: {refusals:?}"),
            Err(StoreError::NoQuorum { .. } | StoreError::Unknown { .. } | StoreError::Stopped) => {
                sleep(Duration::from_millis(5)).await;
            }
            Err(other) => panic!("unexpected: {other}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn watcher(number: usize, running: Running, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    let mut position: Revision = 0;
    for turn in number.. {
        let Some((_, store)) = pick(&running, turn) else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(mut watch) = store.watch(WatchScope::default(), position) else {
            relist(&store, &mut position, &seen).await;
            continue;
        };
        loop {
            match tokio::time::timeout(Duration::from_secs(1), watch.next_batch()).await {
                Ok(Ok(changes)) => {
                    let mut told = seen.told.lock().unwrap();
                    for change in changes {
                        assert_eq!(
                            change.revision,
                            position + 1,
                            "a watch after {position} was told {} next",
                            change.revision
                        );
                        position = change.revision;
                        let value = change.value.as_ref().expect("nothing is deleted");
                        let now = (
                            change.key.name.to_string(),
                            String::from_utf8(value.to_vec()).unwrap(),
                        );
                        let before = told.insert(position, now.clone());
                        assert!(
                            before.is_none_or(|before| before == now),
                            "two watches were told different things at {position}"
                        );
                    }
                }
                Ok(Err(WatchError::Expired { .. })) => {
                    relist(&store, &mut position, &seen).await;
                    break;
                }
                Ok(Err(WatchError::Stopped)) | Err(_) => break,
            }
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The member has forgotten the past: go on from its present.
async fn relist(store: &Store, position: &mut Revision, seen: &Seen) {
    if store.barrier().await.is_ok() {
        *position = store.view().revision();
        seen.relists.fetch_add(1, Ordering::Relaxed);
    } else {
        sleep(Duration::from_millis(20)).await;
    }
}

fn crash_config() -> StoreConfig {
    StoreConfig {
        disk_work: DiskWork::Delayed(Duration::from_millis(2)),
        segment_bytes: 16 << 10,
        snapshot_every: 150,
        history: HistoryLimits {
            changes: 100_000,
            bytes: 64 << 20,
        },
        propose_timeout: Duration::from_secs(3),
        ..config()
    }
}

/// Kills members `kills` times under load, then checks everything.
async fn ordeal(seed: u64, kills: u64) -> (usize, u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut cluster = Cluster::of(3, seed, crash_config()).await;
    cluster
        .net
        .set_delay(Duration::from_micros(100), Duration::from_millis(3));
    cluster.net.set_loss(2_000);
    let ids = cluster.ids();
    let running: Running = Arc::new(Mutex::new(cluster.stores.clone()));
    let seen = Arc::new(Seen::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..4 {
        tasks.push(tokio::spawn(client(
            number,
            running.clone(),
            seen.clone(),
            stop.clone(),
        )));
    }
    for number in 0..3 {
        tasks.push(tokio::spawn(watcher(
            number,
            running.clone(),
            seen.clone(),
            stop.clone(),
        )));
    }
    let mut killed = 0;
    while killed < kills {
        sleep(Duration::from_millis(dice.roll(300))).await;
        if dice.roll(8) == 0 {
            let cut_off = ids[usize::try_from(dice.roll(3)).unwrap()];
            cluster.net.isolate(cut_off, ids.clone());
            sleep(Duration::from_millis(dice.roll(2000))).await;
            cluster.net.heal();
        }
        // Mostly one, sometimes more, sometimes all at once: a power cut of the whole site.
        let victims = match dice.roll(12) {
            0 => 3,
            1 | 2 => 2,
            _ => 1,
        };
        let first = usize::try_from(dice.roll(3)).unwrap();
        let victims: Vec<MemberId> = (0..victims).map(|n| ids[(first + n) % 3]).collect();
        for id in &victims {
            if dice.roll(2) == 0 {
                // The end comes in the middle of some write.
                cluster.disks[id].fail_after(dice.roll(12));
                sleep(Duration::from_millis(dice.roll(40))).await;
            }
            running.lock().unwrap().remove(id);
            if dice.roll(3) == 0 {
                cluster.kill(*id).await;
            } else {
                cluster.cut_power(*id).await;
            }
            killed += 1;
        }
        for id in victims {
            sleep(Duration::from_millis(dice.roll(600))).await;
            cluster
                .start(id)
                .await
                .unwrap_or_else(|e| panic!("seed {seed}: member {id} does not start: {e}"));
            let store = cluster.stores[&id].clone();
            running.lock().unwrap().insert(id, store);
        }
    }
    cluster.net.set_loss(0);
    sleep(Duration::from_secs(5)).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("clients and watchers saw nothing wrong");
    }
    verify(seed, &cluster, &seen).await;
    let acknowledged = seen.acknowledged.lock().unwrap().len();
    cluster.shutdown().await;
    (acknowledged, killed)
}

async fn verify(seed: u64, cluster: &Cluster, seen: &Seen) {
    let acknowledged = seen.acknowledged.lock().unwrap().clone();
    let told = seen.told.lock().unwrap().clone();
    for (revision, written) in &acknowledged {
        if let Some(told) = told.get(revision) {
            assert_eq!(
                told, written,
                "seed {seed}: revision {revision} became another"
            );
        }
    }
    let mut states = Vec::new();
    for (id, store) in &cluster.stores {
        store
            .barrier()
            .await
            .unwrap_or_else(|e| panic!("seed {seed}: member {id} does not recover: {e}"));
        let view = store.view();
        for (revision, (name, value)) in &acknowledged {
            let stored = view
                .get(&key(name))
                .unwrap_or_else(|| panic!("seed {seed}: member {id} lost {name}"));
            assert!(
                stored.modified >= *revision,
                "seed {seed}: member {id} lost revision {revision}"
            );
            if stored.modified == *revision {
                assert_eq!(&*stored.value, value.as_bytes());
            }
        }
        states.push(view.list(&key("").bucket, None, usize::MAX));
    }
    assert!(
        states.windows(2).all(|pair| pair[0] == pair[1]),
        "seed {seed}: the members differ"
    );
}

#[tokio::test(start_paused = true)]
async fn no_acknowledged_write_is_lost_and_no_watch_has_a_gap_however_often_members_die() {
    let wanted: u64 = std::env::var("QUORATE_CRASHES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(300);
    let from: u64 = std::env::var("QUORATE_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let (mut killed, mut acknowledged) = (0, 0);
    for seed in from.. {
        let (writes, kills) = ordeal(seed, 100).await;
        killed += kills;
        acknowledged += writes;
        if killed >= wanted {
            break;
        }
    }
    println!("{killed} kills, {acknowledged} acknowledged writes, none lost");
}
