//! Half of the voters goes on when the other half is proven off, and never otherwise.

mod support;

use std::time::Duration;

use quorate_store::{
    Condition, MemberId, NewHistory, Role, Salvage, Store, StoreConfig,
    disk::sim::SimDisk,
    takeover::{Obstacle, Phase, Round},
};
use support::{Cluster, config, key, member, put, put_if, until};

/// Members whose machines all run since before the cluster was founded.
fn booted() -> StoreConfig {
    StoreConfig {
        boot: Some("the first boot".to_owned()),
        propose_timeout: Duration::from_secs(3),
        ..config()
    }
}

async fn pair(seed: u64) -> (Cluster, MemberId, MemberId) {
    let cluster = Cluster::of(2, seed, booted()).await;
    let leader = cluster.leader().await;
    for store in cluster.stores.values() {
        store.propose(put("a", "1")).await.expect("it is written");
    }
    (cluster, leader, 3 - leader)
}

/// Half of four voters, whose other half has lost its power, and which has begun to prove that.
struct Half {
    cluster: Cluster,
    leader: MemberId,
    mate: MemberId,
    lost: [MemberId; 2],
    store: Store,
    round: Round,
}

impl Half {
    async fn of_four(seed: u64) -> Self {
        let mut cluster = Cluster::of(4, seed, booted()).await;
        let leader = cluster.leader().await;
        let first = cluster.any().propose(put("a", "1")).await;
        first.expect("it is written");
        let ids = cluster.ids().into_iter();
        let others: Vec<_> = ids.filter(|id| *id != leader).collect();
        let (mate, lost) = (others[0], [others[1], others[2]]);
        for id in lost {
            cluster.cut_power(id).await;
        }
        let store = cluster.stores[&leader].clone();
        let round = begin(&store).await;
        let mut phase = store.takeover();
        phase
            .wait_for(|phase| matches!(phase, Phase::Fencing(..)))
            .await
            .expect("the other promises");
        Self {
            cluster,
            leader,
            mate,
            lost,
            store,
            round,
        }
    }
}

fn voters(store: &Store) -> Vec<MemberId> {
    let status = store.status();
    let voters = status
        .members
        .iter()
        .filter(|member| member.role == Role::Voter);
    voters.map(|member| member.id).collect()
}

async fn lost(store: &Store) {
    until("the quorum is seen to be lost", || !store.status().quorum).await;
}

/// Begins as soon as nothing of the other is being worked on any more.
async fn begin(store: &Store) -> Round {
    lost(store).await;
    loop {
        match store.begin_takeover().await {
            Ok(round) => return round,
            // The other may have answered a question just before it fell silent.
            Err(Obstacle::NotHalf { .. } | Obstacle::Unsettled) => {
                tokio::time::sleep(Duration::from_millis(100)).await
            }
            Err(obstacle) => panic!("it was in a quorum and hears nobody else: {obstacle}"),
        }
    }
}

async fn taken_over(store: &Store) {
    until("it is over", || *store.takeover().borrow() == Phase::Idle).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_follower_is_proven_off_goes_on_alone() {
    let (mut cluster, leader, other) = pair(1).await;
    cluster.cut_power(other).await;
    let store = cluster.stores[&leader].clone();
    let round = begin(&store).await;
    let refused = store.propose(put("a", "2")).await;
    assert!(refused.is_err(), "nothing is proven yet: {refused:?}");

    let proven = tokio::time::Instant::now();
    let once = |name: &str| put_if(Condition::Absent(key(name)), name, "off");
    store.tell_beside(round, once("machine"));
    let former = Round {
        number: round.number - 1,
        ..round
    };
    store.confirm_off(round, other, "its outlet is off".to_owned());
    store.tell_beside(former, once("of another round"));
    taken_over(&store).await;
    assert!(
        proven.elapsed() < Duration::from_secs(1),
        "{:?}",
        proven.elapsed()
    );
    assert!(store.view().get(&key("machine")).is_some());
    assert!(store.view().get(&key("of another round")).is_none());

    assert_eq!(voters(&store), [leader]);
    store.propose(put("a", "3")).await.expect("it is written");
    let [record] = &store.takeovers()[..] else {
        panic!("the log tells of one takeover");
    };
    assert_eq!(record.round, round);
    assert_eq!(record.evidence[0].proof, "its outlet is off");
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_whose_leader_is_proven_off_goes_on_alone_with_all_that_was_acknowledged() {
    let (mut cluster, leader, other) = pair(2).await;
    let acknowledged = cluster.stores[&leader].propose(put("b", "acknowledged"));
    acknowledged.await.expect("it is written");
    cluster.cut_power(leader).await;
    let store = cluster.stores[&other].clone();
    let round = begin(&store).await;
    store.confirm_off(round, leader, "its outlet is off".to_owned());
    taken_over(&store).await;
    assert_eq!(voters(&store), [other]);
    store.propose(put("a", "3")).await.expect("it is written");
    let kept = store.view().get(&key("b")).expect("it is there");
    assert_eq!(&*kept.value, b"acknowledged");
    cluster.shutdown().await;
}

/// Of members that wait long for their leaders, as those far apart do.
#[tokio::test(start_paused = true)]
async fn a_half_that_is_proven_to_be_alone_waits_for_no_heartbeat() {
    let slow = StoreConfig {
        propose_timeout: Duration::from_secs(20),
        ..booted().waiting_for_leaders(Duration::from_secs(5))
    };
    for seed in 0..4 {
        for leader_is_lost in [false, true] {
            let mut cluster = Cluster::of(2, seed, slow.clone()).await;
            let leader = cluster.leader().await;
            let written = cluster.any().propose(put("a", "1")).await;
            written.expect("it is written");
            let victim = if leader_is_lost { leader } else { 3 - leader };
            cluster.cut_power(victim).await;
            let store = cluster.stores[&(3 - victim)].clone();
            let round = begin(&store).await;
            let proven = tokio::time::Instant::now();
            store.confirm_off(round, victim, "its outlet is off".to_owned());
            taken_over(&store).await;
            assert!(
                proven.elapsed() < Duration::from_millis(200),
                "{:?} after the proof, the leader lost: {leader_is_lost}",
                proven.elapsed()
            );
            cluster.shutdown().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_one_that_was_off_comes_back_as_a_learner_and_votes_when_it_has_caught_up() {
    let (mut cluster, leader, other) = pair(3).await;
    // What the leader writes alone is acknowledged to nobody, and dropped when it comes back.
    cluster.net.isolate(leader, [other]);
    let alone = cluster.stores[&leader].clone();
    let unheard = tokio::spawn(async move { alone.propose(put("alone", "1")).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.cut_power(leader).await;
    assert!(unheard.await.expect("it ends").is_err());

    let store = cluster.stores[&other].clone();
    let round = begin(&store).await;
    store.confirm_off(round, leader, "its outlet is off".to_owned());
    taken_over(&store).await;
    store.propose(put("b", "2")).await.expect("it is written");
    assert_eq!(store.set_aside().len(), 1);

    cluster.net.heal();
    cluster.start(leader).await.expect("it starts");
    let returned = cluster.stores[&leader].clone();
    until("both vote again", || {
        voters(&store).len() == 2 && store.set_aside().is_empty()
    })
    .await;
    returned.barrier().await.expect("there is a leader");
    assert!(returned.view().get(&key("alone")).is_none());
    let learnt = returned.view().get(&key("b")).expect("it has caught up");
    assert_eq!(&*learnt.value, b"2");

    // And once more, the other way round.
    cluster.cut_power(other).await;
    let round = begin(&returned).await;
    returned.confirm_off(round, other, "its outlet is off".to_owned());
    taken_over(&returned).await;
    returned
        .propose(put("b", "3"))
        .await
        .expect("it is written");
    cluster.shutdown().await;
}

/// It is lost while it learns, as its vote is being given back. By its own log it has none, so that it never asks for one.
#[tokio::test(start_paused = true)]
async fn one_that_is_lost_again_before_it_knows_of_its_vote_comes_back() {
    let (mut cluster, leader, other) = pair(14).await;
    cluster.cut_power(other).await;
    let store = cluster.stores[&leader].clone();
    let round = begin(&store).await;
    store.confirm_off(round, other, "its outlet is off".to_owned());
    taken_over(&store).await;

    cluster.start(other).await.expect("it starts");
    let returned = cluster.stores[&other].clone();
    while !returned
        .status()
        .members
        .iter()
        .any(|member| member.id == other && member.role == Role::Learner)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cluster.net.isolate(leader, [other]);
    let round = begin(&store).await;
    assert_eq!(voters(&returned), [leader]);
    store.confirm_off(round, other, "its outlet is off again".to_owned());
    taken_over(&store).await;

    cluster.net.heal();
    until("both vote again", || {
        voters(&store).len() == 2 && store.set_aside().is_empty()
    })
    .await;
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_has_just_booted_may_not_shoot() {
    let (mut cluster, leader, other) = pair(4).await;
    cluster.cut_power(leader).await;
    cluster.cut_power(other).await;
    cluster.config.boot = Some("the second boot".to_owned());
    cluster.start(other).await.expect("it starts");
    let store = cluster.stores[&other].clone();
    lost(&store).await;
    assert_eq!(
        store.begin_takeover().await,
        Err(Obstacle::NeverInQuorum),
        "the other may be well and ahead"
    );
    cluster.start(leader).await.expect("it starts");
    cluster.leader().await;
    store.propose(put("a", "4")).await.expect("it is written");
    cluster.cut_power(leader).await;
    begin(&store).await;
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_of_the_program_alone_does_not_end_the_right_to_shoot() {
    let (mut cluster, leader, other) = pair(5).await;
    cluster.cut_power(leader).await;
    cluster.kill(other).await;
    cluster.start(other).await.expect("it starts");
    let store = cluster.stores[&other].clone();
    let round = begin(&store).await;
    store.confirm_off(round, leader, "its outlet is off".to_owned());
    taken_over(&store).await;
    store.propose(put("a", "5")).await.expect("it is written");
    cluster.shutdown().await;
}

/// A device said off of a machine that runs, and the member on it was started anew.
#[tokio::test(start_paused = true)]
async fn one_that_was_taken_out_by_mistake_shoots_nobody_and_votes_again() {
    for seed in 0..4 {
        let (mut cluster, leader, other) = pair(seed).await;
        for victim in [other, leader] {
            cluster.kill(victim).await;
            let store = cluster.stores[&(3 - victim)].clone();
            let round = begin(&store).await;
            store.confirm_off(round, victim, "the wrong outlet is off".to_owned());
            taken_over(&store).await;
            cluster.start(victim).await.expect("it starts");
            let mistaken = cluster.stores[&victim].clone();
            // It tries from its first moment on, as often as it can.
            let started = tokio::time::Instant::now();
            while voters(&store).len() < 2 || !store.set_aside().is_empty() {
                let begun = mistaken.begin_takeover().await;
                assert!(begun.is_err(), "it would shoot: {begun:?}");
                assert!(started.elapsed() < Duration::from_secs(60), "{begun:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(*mistaken.takeover().borrow(), Phase::Idle);
            until("it sees the quorum", || mistaken.status().quorum).await;
        }
        cluster.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_of_another_round_counts_for_nothing() {
    let (mut cluster, leader, other) = pair(6).await;
    cluster.cut_power(other).await;
    let store = cluster.stores[&leader].clone();
    let former = begin(&store).await;
    store.give_up_takeover();
    let round = begin(&store).await;
    assert_ne!(former, round);
    store.confirm_off(former, other, "too late".to_owned());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(matches!(&*store.takeover().borrow(), Phase::Fencing(..)));
    assert!(store.takeovers().is_empty());
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_shoots_neither_hears_nor_answers_the_other() {
    let (mut cluster, leader, other) = pair(7).await;
    cluster.net.isolate(leader, [other]);
    let store = cluster.stores[&other].clone();
    let round = begin(&store).await;
    cluster.net.heal();
    let cut_off = cluster.stores[&leader].clone();
    let answer = tokio::spawn(async move { cut_off.propose(put("c", "1")).await });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(
        answer.await.expect("it ends").is_err(),
        "the former leader gets no majority"
    );
    cluster.cut_power(leader).await;
    store.confirm_off(round, leader, "its outlet is off".to_owned());
    taken_over(&store).await;
    assert!(store.view().get(&key("c")).is_none());
    store.propose(put("c", "2")).await.expect("it is written");
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn three_voters_and_a_pair_in_quorum_take_over_from_nobody() {
    let cluster = Cluster::of(3, 8, booted()).await;
    let leader = cluster.leader().await;
    cluster.net.isolate(leader, cluster.ids());
    let store = cluster.stores[&leader].clone();
    lost(&store).await;
    assert_eq!(store.begin_takeover().await, Err(Obstacle::Odd));
    cluster.shutdown().await;

    let (cluster, leader, _) = pair(9).await;
    let store = &cluster.stores[&leader];
    assert_eq!(store.begin_takeover().await, Err(Obstacle::QuorumSeen));
    cluster.shutdown().await;
}

/// It hears its leader, which hears nobody else.
#[tokio::test(start_paused = true)]
async fn who_follows_a_leader_without_a_majority_says_that_there_is_no_quorum() {
    let cluster = Cluster::of(4, 13, booted()).await;
    let leader = cluster.leader().await;
    let others: Vec<_> = cluster
        .ids()
        .into_iter()
        .filter(|id| *id != leader)
        .collect();
    let mate = cluster.stores[&others[0]].clone();
    assert!(mate.status_of_all().await.quorum);
    for id in &others[1..] {
        cluster.net.isolate(*id, cluster.ids());
    }
    lost(&cluster.stores[&leader]).await;
    assert!(mate.has_quorum(), "by itself it cannot know");
    assert!(!mate.status_of_all().await.quorum);
    cluster.net.heal();
    let begun = tokio::time::Instant::now();
    while !mate.status_of_all().await.quorum {
        assert!(begun.elapsed() < Duration::from_secs(60), "it comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn two_of_four_promise_each_other_and_go_on_when_the_other_two_are_off() {
    let Half {
        mut cluster,
        mate,
        lost: lost_half,
        store,
        round,
        ..
    } = Half::of_four(10).await;
    store.confirm_off(round, lost_half[0], "off".to_owned());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        matches!(&*store.takeover().borrow(), Phase::Fencing(..)),
        "one of the other half may still be on"
    );
    store.confirm_off(round, lost_half[1], "off".to_owned());
    taken_over(&store).await;
    assert_eq!(voters(&store).len(), 2);
    cluster.stores[&mate]
        .propose(put("a", "2"))
        .await
        .expect("both take writes");
    for id in lost_half {
        cluster.start(id).await.expect("it starts");
    }
    until("all four vote again", || voters(&store).len() == 4).await;
    cluster.shutdown().await;
}

/// It believes that the voter it stood in for has what it lacks. When the takeover comes to nothing it steps down, and
/// stands for election again like anybody else.
#[tokio::test(start_paused = true)]
async fn a_leader_that_stood_in_for_a_voter_for_nothing_leads_no_longer() {
    let Half {
        mut cluster,
        leader,
        mate,
        lost: lost_half,
        store,
        round,
    } = Half::of_four(11).await;
    let term = store.status().term;
    cluster.net.isolate(leader, [mate]);
    for id in lost_half {
        store.confirm_off(round, id, "off".to_owned());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(matches!(&*store.takeover().borrow(), Phase::Certified(..)));
    store.give_up_takeover();
    until("it leads no longer", || {
        let leadership = *store.leadership().borrow();
        leadership.leader != Some(leader) && store.status().term > term
    })
    .await;

    cluster.net.heal();
    for id in lost_half {
        cluster.start(id).await.expect("it starts");
    }
    until("there is a quorum", || store.status().quorum).await;
    let again = store.propose(put("a", "2")).await;
    again.expect("it is a member like the others");
    // That the lost half goes may be in its log already; a quorum of all four may still decide so.
    let left = voters(&store);
    assert!(left.contains(&leader) && left.contains(&mate), "{left:?}");
    cluster.shutdown().await;
}

/// The half is cut off in the middle of taking the others out, which begin to vote again, and what was begun is then
/// completed. They come back all the same.
#[tokio::test(start_paused = true)]
async fn who_is_taken_out_by_a_change_that_another_leader_completes_comes_back() {
    let Half {
        mut cluster,
        leader,
        mate,
        lost: lost_half,
        store,
        round,
    } = Half::of_four(12).await;
    for id in lost_half {
        store.confirm_off(round, id, "off".to_owned());
    }
    let written = async {
        while store.takeovers().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let limit = Duration::from_secs(60);
    let written = tokio::time::timeout(limit, written).await;
    written.expect("the takeover is written down");
    cluster
        .net
        .isolate(mate, [leader, lost_half[0], lost_half[1]]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(voters(&store).len(), 4, "the change is not committed");
    cluster.cut_power(leader).await;
    cluster.start(leader).await.expect("it starts");
    for id in lost_half {
        cluster.start(id).await.expect("it starts");
    }
    // Only the log of the former leader has the change that was begun, and only the former leader hears everybody.
    cluster.net.heal();
    cluster.net.isolate(mate, lost_half);
    assert_eq!(cluster.leader().await, leader);
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.net.heal();
    let store = cluster.stores[&leader].clone();
    until("all four vote, and the change is over", || {
        voters(&store).len() == 4 && store.takeovers().len() == 1 && store.status().quorum
    })
    .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(voters(&store).len(), 4);
    let newest = store.propose(put("a", "2")).await;
    newest.expect("it is written");
    for other in cluster.stores.values() {
        until("it has what is written", || {
            other.view().revision() >= store.view().revision()
        })
        .await;
    }
    cluster.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_lets_one_go_on_alone_under_a_new_history() {
    let (mut cluster, leader, other) = pair(11).await;
    let acknowledged = cluster.stores[&leader].propose(put("b", "acknowledged"));
    let outcome = acknowledged.await.expect("it is written");
    cluster.cut_power(leader).await;
    cluster.cut_power(other).await;

    let read = Salvage::read(&cluster.config, cluster.disks[&other].mount()).await;
    let salvage = read.expect("its directory is whole");
    assert_eq!(salvage.others().into_keys().collect::<Vec<_>>(), [leader]);
    let kept = salvage
        .view()
        .get(&key("b"))
        .expect("also when nobody told it that it was committed");
    assert_eq!(&*kept.value, b"acknowledged");
    let disk = SimDisk::new(99);
    let store = salvage
        .found(
            cluster.config.clone(),
            disk.mount(),
            cluster.net.transport(3),
            NewHistory {
                history_id: "history-2".to_owned(),
                member: member("m3"),
                proof: "a person saw that it is off".to_owned(),
                told: put("told", "beside"),
            },
        )
        .await
        .expect("it is founded");
    store.barrier().await.expect("it leads");
    assert!(store.view().get(&key("told")).is_some());
    assert_eq!(voters(&store), [3], "ids are never used again");
    store
        .propose(put("b", "after"))
        .await
        .expect("it goes on alone");
    assert!(store.view().revision() > support::revision(&outcome) + 1_000_000);
    assert_eq!(
        store.takeovers()[0].evidence[0].proof,
        "a person saw that it is off"
    );
    cluster.net.attach(3, store.receiver());

    // The other comes back: it belongs to another history, and is refused.
    cluster.start(leader).await.expect("it starts");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!cluster.stores[&leader].has_quorum());
    assert_eq!(voters(&store), [3]);
    store.shutdown().await;
    cluster.shutdown().await;
}

/// The two that a person has seen off are a majority of the former history: they find each other when they come back.
#[tokio::test(start_paused = true)]
async fn a_majority_that_a_person_has_seen_off_does_not_go_on_when_it_comes_back() {
    let mut cluster = Cluster::of(3, 14, booted()).await;
    let ids = cluster.ids();
    let (left, lost) = (ids[0], [ids[1], ids[2]]);
    let first = cluster.any().propose(put("a", "1")).await;
    first.expect("it is written");
    for id in ids {
        cluster.cut_power(id).await;
    }
    let salvage = Salvage::read(&cluster.config, cluster.disks[&left].mount()).await;
    let disk = SimDisk::new(98);
    let store = salvage
        .expect("its directory is whole")
        .found(
            cluster.config.clone(),
            disk.mount(),
            cluster.net.transport(4),
            NewHistory {
                history_id: "history-2".to_owned(),
                member: member("m1"),
                proof: "a person saw that they are off".to_owned(),
                told: put("told", "beside"),
            },
        )
        .await
        .expect("it is founded");
    store.barrier().await.expect("it leads");
    cluster.net.attach(4, store.receiver());

    for id in lost {
        cluster.start(id).await.expect("it starts");
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    for id in lost {
        let former = &cluster.stores[&id];
        assert!(!former.status_of_all().await.quorum);
        assert!(former.succeeded().is_some());
        let refused = former
            .propose(put("a", "2"))
            .await
            .expect_err("it decides nothing");
        assert!(refused.to_string().contains("history-2"), "{refused}");
        assert!(former.view().get(&key("told")).is_none());
    }

    // Nor after a start, when there is nobody who would tell them.
    store.shutdown().await;
    cluster.net.isolate(4, lost);
    for id in lost {
        cluster.cut_power(id).await;
        cluster.start(id).await.expect("it starts");
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    for id in lost {
        assert!(!cluster.stores[&id].has_quorum());
        assert!(cluster.stores[&id].begin_takeover().await.is_err());
    }
    cluster.shutdown().await;
}
