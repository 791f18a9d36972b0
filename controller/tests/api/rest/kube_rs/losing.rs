//! Watchers and writers when the leader, to whom they speak, is killed.

use std::time::Duration;

use kube::{Api, api::ListParams};
use quorate_crds::Secret;

use super::{
    balancer::Balancer,
    follower::{Follower, Told},
    secrets,
};
use crate::support::TestCluster;

/// Writes as a program does that outlives a leader: again, until it is known to be there.
async fn create(secrets: &Api<Secret>, name: &str) {
    loop {
        match super::create(secrets, name).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => return,
            Err(kube::Error::Api(status)) if ![429, 503, 504].contains(&status.code) => {
                panic!("{status:?}")
            }
            // Nobody leads for a while, or the connection broke.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_or_doubled_when_the_leader_is_killed() {
    let mut cluster = TestCluster::of_three().await;
    let balancer = Balancer::before(&cluster).await;
    let secrets = secrets(&cluster, &balancer.address).await;
    let followers = Follower::of_both_kinds(&secrets).await;

    for number in 0..40 {
        if number == 20 {
            balancer.lose_the_first();
            cluster.kill(0).await;
        }
        create(&secrets, &format!("s{number:02}")).await;
    }

    let listed = secrets.list(&ListParams::default()).await.expect("a list");
    assert_eq!(listed.items.len(), 40);
    // They were created one after the other, in the order of their names.
    let written: Vec<Told> = listed.items.iter().map(Told::applied).collect();
    for mut follower in followers {
        follower.has_told(&written).await;
        follower.holds_what_is_there(&secrets).await;
        assert_eq!(follower.seen.borrow().lists, 1, "it went on where it was");
    }
}
