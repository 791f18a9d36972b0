//! Members together: writes, reads, watches, membership, faults.

mod support;

use support::{Cluster, config, key, put, revision};

#[tokio::test(start_paused = true)]
async fn one_member_alone_writes_and_reads() {
    let cluster = Cluster::alone(1, config()).await;
    let store = cluster.any();

    let first = store.propose(put("a", "1")).await.expect("it is written");
    let second = store.propose(put("a", "2")).await.expect("it is written");
    assert_eq!((revision(&first), revision(&second)), (1, 2));

    let at = store.barrier().await.expect("it leads");
    assert_eq!(at, 2);
    let stored = store.view().get(&key("a")).expect("it is there");
    assert_eq!(
        (&*stored.value, stored.created, stored.modified),
        (&b"2"[..], 1, 2)
    );
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn three_members_agree_and_every_member_takes_writes() {
    let cluster = Cluster::of(3, 2, config()).await;
    for id in cluster.ids() {
        let store = &cluster.stores[&id];
        let outcome = store.propose(put("a", &id.to_string())).await;
        revision(&outcome.expect("it is written"));
    }
    for store in cluster.stores.values() {
        store.barrier().await.expect("there is a leader");
        let stored = store.view().get(&key("a")).expect("it is there");
        assert_eq!((&*stored.value, stored.modified), (&b"3"[..], 3));
    }
    cluster.shutdown().await;
}
