//! Real processes, killed with SIGKILL under load: no acknowledged write is lost, no watch has a gap, and writes
//! resume after one election. The figures are printed (`--nocapture`).
//!
//! `QUORATE_KILLS` sets how often a member is killed (default 4).

mod cluster;
mod ledger;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cluster::DevCluster;
use ledger::{Ledger, follow, write_the_last, write_until};

const CLIENTS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn members_killed_at_random_lose_no_acknowledged_write_and_no_watch_event() {
    let kills: usize = std::env::var("QUORATE_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4);
    let cluster = Arc::new(DevCluster::start().await);
    let ledger = Arc::new(Ledger::default());
    let stop = Arc::new(AtomicBool::new(false));
    let start = cluster.revision().await;
    let writers: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(write_until(
                cluster.clone(),
                ledger.clone(),
                client,
                stop.clone(),
            ))
        })
        .collect();
    let watcher = tokio::spawn(follow(cluster.clone(), start));
    ledger.grown_by(CLIENTS).await;

    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut gaps = Vec::new();
    for kill in 0..kills {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let leader = cluster.leader().await;
        // Every other time the leader, which is the harder case.
        let victim = if kill % 2 == 0 {
            leader
        } else {
            usize::try_from((random >> 33) % 3).expect("small")
        };
        let at = Instant::now();
        cluster.kill(victim);
        cluster.until_whole().await;
        ledger.grown_by(CLIENTS).await;
        let gap = ledger.longest_gap_since(at);
        if victim == leader {
            gaps.push(gap);
        }
        println!(
            "killed {} m{}; no write was acknowledged for {} ms",
            if victim == leader {
                "the leader"
            } else {
                "a follower"
            },
            victim + 1,
            gap.as_millis()
        );
    }

    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("the writer ran");
    }
    write_the_last(&cluster).await;
    let present = cluster.names().await;
    let acknowledged = ledger.names();
    let lost: Vec<_> = acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let told = tokio::time::timeout(Duration::from_secs(300), watcher).await;
    let told = told.expect("the watch reaches the end");
    let told = told.expect("the watcher ran");
    assert_eq!(told, present, "the watch told every object, each once");
    println!(
        "{} writes acknowledged by {CLIENTS} clients, {kills} kills, none lost; after a leader's death: {gaps:?}",
        acknowledged.len()
    );
}
