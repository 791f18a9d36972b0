//! What bad things get: full and slow disks, members of another history, copies from the past, damage.

mod support;

use std::time::Duration;

use quorate_store::{
    DiskWork, Genesis, HistoryLimits, MemberId, Store, StoreConfig, StoreError, disk::sim::SimDisk,
    transport::Frame,
};
use support::{Cluster, config, genesis, key, put, revision, until};
use tokio::time::sleep;

fn long() -> String {
    "x".repeat(4000)
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let cluster = Cluster::alone(1, config()).await;
    let (store, disk) = (cluster.any(), &cluster.disks[&1]);
    revision(
        &store
            .propose(put("before", "1"))
            .await
            .expect("there is room"),
    );

    disk.set_capacity(Some(disk.used()));
    let mut acknowledged = Vec::new();
    let refused = loop {
        let name = format!("name-{}", acknowledged.len());
        match store.propose(put(&name, &long())).await {
            Ok(_) => acknowledged.push(name),
            Err(error) => break error,
        }
    };
    let text = refused.to_string();
    assert!(
        matches!(refused, StoreError::DiskFull { member: 1, .. }),
        "{text}"
    );
    assert!(refused.is_retryable());
    store.barrier().await.expect("reads go on");
    assert!(store.view().get(&key("before")).is_some());
    assert!(store.status().storage_problem.is_some());

    disk.set_capacity(None);
    until("there is room again", || {
        store.status().storage_problem.is_none()
    })
    .await;
    revision(
        &store
            .propose(put("after", "1"))
            .await
            .expect("it recovered by itself"),
    );
    for name in &acknowledged {
        assert!(
            store.view().get(&key(name)).is_some(),
            "{name} was acknowledged"
        );
    }
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_disk_is_full_gives_the_leadership_to_one_with_room() {
    let cluster = Cluster::of(3, 2, config()).await;
    let leader = cluster.leader().await;
    let disk = &cluster.disks[&leader];
    disk.set_capacity(Some(disk.used()));
    let mut full = false;
    for n in 0..100 {
        match cluster.stores[&leader]
            .propose(put(&format!("name-{n}"), &long()))
            .await
        {
            Ok(_) => {}
            Err(StoreError::DiskFull { member, .. }) => {
                assert_eq!(member, leader);
                full = true;
                break;
            }
            Err(other) => panic!("unexpected: {other}"),
        }
    }
    assert!(full, "the disk was small enough");
    let store = &cluster.stores[&leader];
    until("another leads", || {
        let now = *store.leadership().borrow();
        now.leader.is_some_and(|l| l != leader)
    })
    .await;
    revision(
        &store
            .propose(put("after", "1"))
            .await
            .expect("the others have room"),
    );
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_causes_no_election() {
    let slow = StoreConfig {
        // Far longer than an election takes to begin.
        disk_work: DiskWork::Delayed(Duration::from_secs(5)),
        propose_timeout: Duration::from_secs(60),
        ..config()
    };
    let cluster = Cluster::of(3, 3, slow).await;
    cluster.leader().await;
    let term = cluster.any().status().term;
    for n in 0..5 {
        let written = cluster.any().propose(put(&format!("name-{n}"), "1")).await;
        revision(&written.expect("slow, but written"));
    }
    for store in cluster.stores.values() {
        assert_eq!(store.status().term, term, "nobody asked for an election");
    }
    cluster.shutdown().await;
}

/// Copies a member's files to another disk.
fn copy(from: &SimDisk) -> SimDisk {
    let to = SimDisk::new(7);
    let disk = to.mount();
    for name in from.names() {
        let content = from.content(&name).expect("it is listed");
        let file = disk.create(&name).expect("a new file");
        file.write_at(0, &content).expect("there is room");
        file.sync_data().expect("a sound disk");
    }
    disk.sync_dir().expect("a sound disk");
    to
}

#[tokio::test(start_paused = true)]
async fn a_member_restored_from_an_old_copy_is_refused() {
    let mut cluster = Cluster::of(3, 4, config()).await;
    let leader = cluster.leader().await;
    let victim = cluster
        .ids()
        .into_iter()
        .find(|id| *id != leader)
        .expect("a follower");
    let old = copy(&cluster.disks[&victim]);
    for round in 0..3 {
        cluster.kill(victim).await;
        cluster.start(victim).await.expect("it starts again");
        revision(
            &cluster.stores[&leader]
                .propose(put("a", &round.to_string()))
                .await
                .expect("written"),
        );
        until("it is heard", || {
            let status = cluster.stores[&leader].status();
            status
                .members
                .iter()
                .any(|m| m.id == victim && m.lag == Some(0))
        })
        .await;
    }
    cluster.kill(victim).await;
    cluster.disks.insert(victim, old);
    cluster.start(victim).await.expect("it cannot know");
    sleep(Duration::from_secs(30)).await;

    let status = cluster.stores[&leader].status();
    let seen = status
        .members
        .iter()
        .find(|m| m.id == victim)
        .expect("still a member");
    assert_eq!(seen.reachable, Some(false), "nobody listens to it");
    let refused = cluster.stores[&leader]
        .receiver()
        .call(Frame {
            history_id: support::HISTORY.into(),
            from: victim,
            start_counter: 2,
            format: 1,
            method: 2,
            body: bytes::Bytes::new(),
            to_start: 0,
            pledge: None,
        })
        .await
        .expect_err("its counter is too low");
    assert!(refused.0.contains("restored from an old copy"), "{refused}");
    revision(
        &cluster.stores[&leader]
            .propose(put("a", "on"))
            .await
            .expect("two are a majority"),
    );
    let status = cluster.stores[&leader].status();
    let seen = status
        .members
        .iter()
        .find(|m| m.id == victim)
        .expect("still a member");
    assert_ne!(seen.lag, Some(0), "it gets nothing");
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_of_another_history_is_refused() {
    let cluster = Cluster::alone(5, config()).await;
    let refused = cluster
        .any()
        .receiver()
        .call(Frame {
            history_id: "history-0".into(),
            from: 2,
            start_counter: 1,
            format: 1,
            method: 2,
            body: bytes::Bytes::new(),
            to_start: 0,
            pledge: None,
        })
        .await
        .expect_err("another history");
    assert!(refused.0.contains("history-0"), "{refused}");
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_one_members_and_an_empty_one_is_nobodys() {
    let mut cluster = Cluster::alone(6, config()).await;
    cluster.kill(1).await;
    let disk = &cluster.disks[&1];
    let again: Genesis = genesis();
    let error = Store::create(config(), disk.mount(), cluster.net.transport(1), again)
        .await
        .expect_err("it is taken");
    assert!(error.to_string().contains("belongs to member 1"), "{error}");
    let empty = SimDisk::new(1);
    let error = Store::open(config(), empty.mount(), cluster.net.transport(1))
        .await
        .expect_err("nothing is there");
    assert!(error.to_string().contains("holds no member"), "{error}");
}

/// A cluster whose members have snapshots and a purged log.
async fn long_lived(seed: u64) -> (Cluster, MemberId, MemberId) {
    let snapshots = StoreConfig {
        snapshot_every: 50,
        segment_bytes: 8 << 10,
        history: HistoryLimits {
            changes: 100,
            bytes: 1 << 20,
        },
        ..config()
    };
    let cluster = Cluster::of(3, seed, snapshots).await;
    let leader = cluster.leader().await;
    for n in 0..400 {
        let name = format!("name-{}", n % 50);
        let written = cluster.stores[&leader]
            .propose(put(&name, &n.to_string()))
            .await;
        revision(&written.expect("written"));
        if n % 20 == 0 {
            sleep(Duration::from_secs(1)).await;
        }
    }
    sleep(Duration::from_secs(3)).await;
    let follower = cluster
        .ids()
        .into_iter()
        .find(|id| *id != leader)
        .expect("a follower");
    (cluster, leader, follower)
}

#[tokio::test(start_paused = true)]
async fn a_damaged_log_stops_the_member_with_instructions_and_it_rejoins_by_snapshot() {
    let (mut cluster, leader, victim) = long_lived(8).await;
    cluster.kill(victim).await;
    let disk = &cluster.disks[&victim];
    let segment = disk
        .names()
        .into_iter()
        .filter(|n| n.starts_with("log-"))
        .min()
        .expect("a segment");
    assert!(disk.flip_bit(&segment, 300, 1));
    let error = cluster.start(victim).await.expect_err("it is damaged");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(
        error.to_string().contains("set its data directory aside"),
        "{error}"
    );

    cluster.stores[&leader]
        .remove(victim)
        .await
        .expect("the others agree");
    let fresh = cluster.add_learner().await;
    cluster.stores[&leader]
        .promote(fresh)
        .await
        .expect("it caught up");
    let store = &cluster.stores[&fresh];
    store.barrier().await.expect("it has everything");
    let stored = store.view().get(&key("name-49")).expect("it is there");
    assert_eq!(&*stored.value, b"399");
    assert!(
        store.status().snapshot_index.is_some(),
        "it came by snapshot"
    );
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_costs_nothing_while_the_log_reaches_back() {
    let (mut cluster, _, victim) = long_lived(9).await;
    cluster.kill(victim).await;
    let disk = &cluster.disks[&victim];
    let newest = disk
        .names()
        .into_iter()
        .filter(|n| n.starts_with("snapshot-"))
        .max()
        .expect("a snapshot");
    assert!(disk.flip_bit(&newest, 200, 1));
    cluster
        .start(victim)
        .await
        .expect("the one before it and the log are enough");
    let store = &cluster.stores[&victim];
    store.barrier().await.expect("it has everything");
    assert_eq!(
        &*store.view().get(&key("name-49")).expect("there").value,
        b"399"
    );
    cluster.shutdown().await;
}
