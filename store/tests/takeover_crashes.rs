//! The survivor's power fails at every single write of a takeover. What comes up again must stand by the rules: what was
//! acknowledged is there, it goes on alone only with a proof, and together with the other it always goes on.

mod support;

use std::time::Duration;

use quorate_store::{
    MemberId, Store, StoreConfig,
    takeover::{Obstacle, Phase},
};
use support::{Cluster, config, key, put, until};

/// The same boot all along: the file that tells of it may be lost, its content may not be wrong.
fn booted() -> StoreConfig {
    StoreConfig {
        boot: Some("the only boot".to_owned()),
        propose_timeout: Duration::from_secs(3),
        ..config()
    }
}

/// Begins, proves the other off, and waits for the end of it. False: a crash of before is in the way.
async fn take_over(store: &Store, other: MemberId) -> bool {
    until("the quorum is lost", || {
        !store.has_quorum() || store.status().members.len() == 1
    })
    .await;
    let round = loop {
        if store.status().members.len() == 1 {
            return true;
        }
        match store.begin_takeover().await {
            Ok(round) => break round,
            // It may be alone by now, and elect itself in a moment.
            Err(
                Obstacle::NotHalf { .. }
                | Obstacle::Unsettled
                | Obstacle::Odd
                | Obstacle::QuorumSeen,
            ) => {
                if store.has_quorum() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(Obstacle::NeverInQuorum) => return false,
            Err(obstacle) => panic!("{obstacle}"),
        }
    };
    store.confirm_off(round, other, "off".to_owned());
    let over = async {
        store
            .takeover()
            .wait_for(|phase| *phase == Phase::Idle)
            .await
            .is_ok()
    };
    // A member whose disk is gone never comes to an end.
    let _ = tokio::time::timeout(Duration::from_secs(5), over).await;
    true
}

/// The survivor leads when its peer is lost, or follows; its power fails at its `fuse`th write. Whether it did.
async fn story(fuse: u64, leads: bool) -> bool {
    let mut cluster = Cluster::of(2, 1_000 + fuse, booted()).await;
    let leader = cluster.leader().await;
    let (survivor, other) = if leads {
        (leader, 3 - leader)
    } else {
        (3 - leader, leader)
    };
    let write = cluster.any().propose(put("kept", "1"));
    write.await.expect("it is acknowledged");
    cluster.stores[&survivor].barrier().await.expect("a quorum");
    cluster.cut_power(other).await;
    cluster.disks[&survivor].fail_after(fuse);
    take_over(&cluster.stores[&survivor].clone(), other).await;
    let written = cluster.stores[&survivor].propose(put("alone", "1")).await;
    let crashed = written.is_err();
    cluster.cut_power(survivor).await;

    // Alone first; then, whatever came of it, with the other.
    cluster
        .start(survivor)
        .await
        .expect("its directory is whole");
    let store = cluster.stores[&survivor].clone();
    if take_over(&store, other).await {
        until("it goes on alone", || store.has_quorum()).await;
        let again = store.propose(put("after", "1")).await;
        again.unwrap_or_else(|error| panic!("fuse {fuse}: {error}"));
        assert!(crashed || store.view().get(&key("alone")).is_some());
    } else {
        store.give_up_takeover();
    }
    cluster.start(other).await.expect("its directory is whole");
    let voters = |store: &Store| {
        let status = store.status();
        let votes =
            |member: &&quorate_store::MemberStatus| member.role == quorate_store::Role::Voter;
        status.members.iter().filter(votes).count()
    };
    until("both vote again", || {
        cluster
            .stores
            .values()
            .all(|store| store.has_quorum() && voters(store) == 2)
    })
    .await;
    for store in cluster.stores.values() {
        store.barrier().await.expect("a quorum");
        assert!(store.view().get(&key("kept")).is_some(), "fuse {fuse}");
    }
    let last = cluster.stores[&other].propose(put("last", "1")).await;
    last.expect("both go on");
    cluster.shutdown().await;
    crashed
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_of_a_takeover_leaves_what_can_go_on() {
    for leads in [true, false] {
        let mut fuse = 0;
        while story(fuse, leads).await {
            fuse += 1;
        }
        println!("survivor leads: {leads}; {fuse} crashes");
        assert!(fuse > 10, "a takeover writes more than that");
    }
}
