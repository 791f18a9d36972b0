//! Watchers whose connections break, and whose versions are no longer kept.

use std::{collections::BTreeSet, pin::pin};

use futures_util::StreamExt;
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use quorate_crds::Secret;

use super::{
    balancer::Balancer,
    create, delete,
    follower::{Follower, Told},
    label, secrets, version,
};
use crate::support::{TestCluster, network};

/// Creates, changes and deletes, and notes what the watchers must tell.
struct Storm {
    secrets: Api<Secret>,
    there: BTreeSet<String>,
    written: Vec<Told>,
}

impl Storm {
    async fn blow(&mut self, round: usize) {
        let name = format!("s{}", round % 7);
        let told = if self.there.insert(name.clone()) {
            let created = create(&self.secrets, &name).await;
            Told::applied(&created.expect("created"))
        } else if round.is_multiple_of(3) {
            self.there.remove(&name);
            assert!(delete(&self.secrets, &name).await);
            Told::Deleted { name }
        } else {
            Told::applied(&label(&self.secrets, &name, round).await)
        };
        self.written.push(told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_or_doubled_when_connections_break_in_a_storm() {
    let cluster = TestCluster::of_one().await;
    let direct = secrets(&cluster, &cluster.sites[0].config.addresses[0]).await;
    for name in ["old-1", "old-2", "old-3", "old-4"] {
        create(&direct, name).await.expect("created");
    }
    let balancer = Balancer::before(&cluster).await;
    let balanced = secrets(&cluster, &balancer.address).await;
    let followers = Follower::of_both_kinds(&balanced).await;

    let mut storm = Storm {
        secrets: direct.clone(),
        there: BTreeSet::new(),
        written: Vec::new(),
    };
    for round in 0..90 {
        storm.blow(round).await;
        if round % 30 == 15 {
            balancer.cut();
        }
    }

    for mut follower in followers {
        follower.has_told(&storm.written).await;
        follower.holds_what_is_there(&direct).await;
        assert_eq!(follower.seen.borrow().lists, 1, "it went on where it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_whose_version_is_gone_lists_again_and_is_right() {
    let cluster = TestCluster::that_keeps(8).await;
    let direct = secrets(&cluster, &cluster.sites[0].config.addresses[0]).await;
    for name in ["changed", "deleted", "kept"] {
        create(&direct, name).await.expect("created");
    }
    let balancer = Balancer::before(&cluster).await;
    let balanced = secrets(&cluster, &balancer.address).await;
    let followers = Follower::of_both_kinds(&balanced).await;

    balancer.hold();
    label(&direct, "changed", 1).await;
    delete(&direct, "deleted").await;
    cluster.admin(0).await.make_others().await;
    balancer.let_through(&cluster);

    for (round, mut follower) in followers.into_iter().enumerate() {
        let again = follower.seen.wait_for(|seen| seen.lists == 2).await;
        assert_eq!(again.expect("it goes on").expired, 1);
        follower.holds_what_is_there(&direct).await;
        // And it goes on from there.
        let told = Told::applied(&label(&direct, "kept", round).await);
        let heard = follower.seen.wait_for(|seen| seen.told.contains(&told));
        heard.await.expect("it goes on");
    }
}

/// A watch that had nothing to tell still says how far it is when it ends, so that the next one does not begin with a
/// version that is no longer kept.
#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_carry_a_quiet_watch_past_compaction() {
    let cluster = TestCluster::that_keeps(16).await;
    let grpc = cluster.admin(0).await;
    let secrets = secrets(&cluster, &cluster.sites[0].config.addresses[0]).await;
    let first = version(&create(&secrets, "a").await.expect("created"));

    let mut at = first.clone();
    for round in 0..3 {
        for other in 0..8 {
            let name = format!("n{round}-{other}");
            grpc.create(network(&name)).await.expect("created");
        }
        let params = WatchParams::default().timeout(1);
        let events = secrets.watch(&params, &at).await.expect("a watch");
        let events: Vec<_> = events.collect().await;
        let [Ok(WatchEvent::Bookmark(mark))] = events.as_slice() else {
            panic!("one bookmark and nothing else: {events:?}");
        };
        at = mark.metadata.resource_version.clone();
    }
    let number = |version: &str| version.parse::<u64>().expect("a number");
    assert!(number(&at) >= number(&first) + 24);

    let events = secrets.watch(&WatchParams::default(), &first).await;
    let mut events = pin!(events.expect("a watch"));
    let Some(Ok(WatchEvent::Error(status))) = events.next().await else {
        panic!("the first version is gone");
    };
    assert_eq!(status.code, 410);

    let without = WatchParams::default().timeout(1).disable_bookmarks();
    let events = secrets.watch(&without, &at).await.expect("a watch");
    assert_eq!(events.count().await, 0, "nobody asked for bookmarks");
}
