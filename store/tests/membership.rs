//! Members come and go, under load; backups become new clusters.

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use quorate_store::{
    Bucket, Genesis, Role, Store, StoreConfig, StoreError, Transaction, WatchScope, Write,
    disk::sim::SimDisk,
};
use support::{Cluster, EPOCH_MS, config, genesis, key, member, put, revision, until};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_member_is_added_promoted_and_removed_under_load() {
    let mut cluster = Cluster::alone(1, config()).await;
    let load = {
        let store = cluster.any().clone();
        tokio::spawn(async move {
            for n in 0..2000 {
                let written = store.propose(put(&format!("name-{}", n % 20), &n.to_string()));
                revision(&written.await.expect("one member or three, writes go on"));
                sleep(Duration::from_millis(2)).await;
            }
        })
    };
    let second = cluster.add_learner().await;
    let third = cluster.add_learner().await;
    let roles = |cluster: &Cluster| -> Vec<Role> {
        let status = cluster.any().status();
        status.members.iter().map(|m| m.role).collect()
    };
    assert_eq!(roles(&cluster), [Role::Voter, Role::Learner, Role::Learner]);
    cluster
        .any()
        .promote(second)
        .await
        .expect("it has caught up");
    cluster
        .any()
        .promote(third)
        .await
        .expect("it has caught up");
    assert_eq!(roles(&cluster), [Role::Voter; 3]);
    load.await.expect("no write failed");

    cluster.any().remove(second).await.expect("two are left");
    assert_eq!(cluster.any().status().members.len(), 2);
    let error = cluster
        .any()
        .add_learner(second, member("again"))
        .await
        .expect_err("ids are never used again");
    assert!(error.to_string().contains("never used again"), "{error}");
    let error = cluster
        .any()
        .add_learner(77, member("invented"))
        .await
        .expect_err("nobody granted it");
    assert!(
        matches!(error, StoreError::Member { member: 77, .. }),
        "{error}"
    );
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_voter_is_replaced_and_the_last_voter_stays() {
    let mut cluster = Cluster::of(3, 2, config()).await;
    let leader = cluster.leader().await;
    let old = cluster
        .ids()
        .into_iter()
        .find(|id| *id != leader)
        .expect("a follower");
    let new = cluster.add_learner().await;
    // Asked of a member that does not lead: it goes to the leader by itself.
    cluster.stores[&new]
        .replace(old, new)
        .await
        .expect("it has caught up");
    let status = cluster.stores[&leader].status();
    let ids: Vec<u64> = status.members.iter().map(|m| m.id).collect();
    assert!(ids.contains(&new) && !ids.contains(&old), "{ids:?}");
    cluster.shutdown().await;

    let alone = Cluster::alone(3, config()).await;
    let error = alone
        .any()
        .remove(1)
        .await
        .expect_err("nobody would be left");
    assert!(error.to_string().contains("last voter"), "{error}");
    alone.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_leadership_is_handed_over_without_a_lost_write() {
    let cluster = Cluster::of(3, 4, config()).await;
    let leader = cluster.leader().await;
    let next = cluster
        .ids()
        .into_iter()
        .find(|id| *id != leader)
        .expect("a follower");
    cluster
        .any()
        .transfer_leadership(Some(next))
        .await
        .expect("it is well");
    until("all know it", || {
        cluster
            .stores
            .values()
            .all(|s| s.leadership().borrow().leader == Some(next))
    })
    .await;
    revision(
        &cluster
            .any()
            .propose(put("a", "1"))
            .await
            .expect("writes go on"),
    );
    // The leader itself may go, too.
    cluster.any().remove(next).await.expect("two are left");
    until("another leads", || {
        let now = *cluster.stores[&leader].leadership().borrow();
        now.leader.is_some_and(|l| l != next)
    })
    .await;
    revision(
        &cluster.stores[&leader]
            .propose(put("a", "2"))
            .await
            .expect("writes go on"),
    );
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_writes_fail_reads_marked_stale_go_on_and_all_is_well_afterwards() {
    let mut cluster = Cluster::of(3, 5, config()).await;
    revision(
        &cluster
            .any()
            .propose(put("a", "1"))
            .await
            .expect("three are well"),
    );
    let leader = cluster.leader().await;
    let others: Vec<u64> = cluster
        .ids()
        .into_iter()
        .filter(|id| *id != leader)
        .collect();
    for id in &others {
        cluster.kill(*id).await;
    }
    sleep(Duration::from_secs(5)).await;
    let store = cluster.stores[&leader].clone();
    let error = store.propose(put("a", "2")).await.expect_err("no majority");
    assert!(matches!(error, StoreError::NoQuorum { .. }), "{error}");
    assert!(matches!(
        store.barrier().await,
        Err(StoreError::NoQuorum { .. })
    ));
    assert_eq!(
        &*store.view().get(&key("a")).expect("stale, but there").value,
        b"1"
    );
    assert!(!store.status().quorum);
    for id in &others {
        cluster.start(*id).await.expect("it starts again");
    }
    revision(
        &store
            .propose(put("a", "3"))
            .await
            .expect("a majority again"),
    );
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn values_expire_by_the_logs_clock_and_an_idle_cluster_writes_nothing() {
    let cluster = Cluster::of(3, 6, config()).await;
    let expiring = Transaction {
        conditions: Vec::new(),
        writes: vec![Write::Put {
            key: key("event"),
            value: Bytes::from_static(b"x"),
            expires_at_ms: Some(EPOCH_MS + 100_000),
        }],
    };
    revision(&cluster.any().propose(expiring).await.expect("written"));
    let store = cluster.any();
    sleep(Duration::from_secs(10)).await;
    let before = store.status().last_index;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.status().last_index, before, "nothing was due");
    assert!(store.view().get(&key("event")).is_some());
    until("it expires", || store.view().get(&key("event")).is_none()).await;
    assert_eq!(
        store.status().last_index,
        before + 1,
        "one entry removed it"
    );
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_backup_becomes_a_new_cluster_with_a_new_history_and_higher_revisions() {
    let cluster = Cluster::of(3, 7, config()).await;
    for n in 0..500 {
        revision(
            &cluster
                .any()
                .propose(put(&format!("name-{n}"), &n.to_string()))
                .await
                .expect("written"),
        );
    }
    let blocks: Vec<_> = cluster
        .any()
        .backup()
        .await
        .expect("a backup")
        .collect()
        .await;
    let file: Vec<u8> = blocks
        .into_iter()
        .flat_map(|b| b.expect("no disk is read"))
        .collect();
    let issued = cluster.any().view().revision();
    let term = cluster.any().status().term;
    cluster.shutdown().await;

    let net = quorate_store::transport::sim::SimNet::new(1);
    let disk = SimDisk::new(70);
    let new = Genesis {
        history_id: "history-2".to_owned(),
        ..genesis()
    };
    let pieces = |file: &[u8]| {
        let pieces: Vec<_> = file
            .chunks(1000)
            .map(|c| Ok(Bytes::copy_from_slice(c)))
            .collect();
        stream::iter(pieces).boxed()
    };
    let torn = Store::restore(
        config(),
        disk.mount(),
        net.transport(4),
        new.clone(),
        pieces(&file[..file.len() - 3]),
    )
    .await;
    assert!(matches!(torn, Err(StoreError::Damaged { .. })), "{torn:?}");

    let store = Store::restore(config(), disk.mount(), net.transport(4), new, pieces(&file))
        .await
        .expect("it is whole");
    net.attach(4, store.receiver());
    let written = revision(
        &store
            .propose(put("name-7", "new"))
            .await
            .expect("it leads alone"),
    );
    assert!(written > issued + 1_000_000);
    assert_eq!(store.view().count(&Bucket::new("things")), 500);
    let status = store.status();
    assert_eq!((status.member_id, &*status.history_id), (4, "history-2"));
    assert!(status.term > term, "terms go on");
    assert!(
        store.watch(WatchScope::default(), issued).is_err(),
        "the past is another history's"
    );
    assert_eq!(store.allocate_member_id().await.expect("it leads"), 5);

    // And it starts again like any other.
    disk.cut_power();
    store.shutdown().await;
    let store = Store::open(config(), disk.mount(), net.transport(4))
        .await
        .expect("it starts");
    store.barrier().await.expect("it leads alone");
    assert_eq!(
        &*store.view().get(&key("name-7")).expect("there").value,
        b"new"
    );
    store.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_too_large_is_refused_before_it_is_sent() {
    let small = StoreConfig {
        max_transaction: 1000,
        ..config()
    };
    let cluster = Cluster::alone(8, small).await;
    let error = cluster
        .any()
        .propose(put("a", &"x".repeat(2000)))
        .await
        .expect_err("too large");
    assert!(
        matches!(error, StoreError::TooLarge { allowed: 1000, .. }),
        "{error}"
    );
    cluster.shutdown().await;
}
