//! A cluster of one: nobody answers it, and nobody has to.

mod support;

use std::time::Duration;

use support::{Cluster, config, put, revision};

#[tokio::test(start_paused = true)]
async fn a_lone_voter_writes_and_reads_after_a_long_silence() {
    let cluster = Cluster::alone(1, config()).await;
    let store = cluster.any();
    store.propose(put("a", "1")).await.expect("it is written");

    // Simulated time: nothing waits here.
    tokio::time::sleep(Duration::from_secs(60)).await;

    let second = store.propose(put("a", "2")).await;
    assert_eq!(revision(&second.expect("it needs nobody's answer")), 2);
    assert_eq!(store.barrier().await.expect("it leads"), 2);
    cluster.shutdown().await;
}
