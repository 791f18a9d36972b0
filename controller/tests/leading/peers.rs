//! May storage write without its peer? Only when the log says that the peer cannot.
//!
//! The cluster is in maintenance, so that nobody but the story decides.

use std::{sync::Arc, time::Duration};

use quorate_proto::host::v1::{PeerAnswer, PeerQuestion, RegisterRequest, peer_answer::Verdict};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

/// A volume with a replica on each of two hosts, both in sync.
async fn replicated() -> Arc<World> {
    let world = World::of(1, 2).await;
    world
        .merge("Cluster", "test", json!({"spec": {"maintenance": true}}))
        .await;
    let hosts = json!([
        {"node": "an1", "devices": ["/dev/sdb"]}, {"node": "an2", "devices": ["/dev/sdb"]},
    ]);
    world
        .apply("StoragePool", "local", json!({"hosts": hosts}))
        .await;
    world
        .apply(
            "Volume",
            "data",
            json!({"size": "1Gi", "pool": "local", "replicas": 2}),
        )
        .await;
    world
        .say("Volume", "data", json!({"inSync": ["an1", "an2"]}))
        .await;
    for (number, host) in ["an1", "an2"].into_iter().enumerate() {
        let request = RegisterRequest {
            boot_id: format!("{host}-boot"),
            feature_level: quorate_proto::FEATURE_LEVEL,
            ..RegisterRequest::default()
        };
        world
            .desk()
            .await
            .register(host, request)
            .await
            .expect("it is a host");
        let spec = record(host, number, 1);
        world
            .apply("NodePlan", &format!("{host}.volume.data"), spec)
            .await;
    }
    Arc::new(world)
}

fn record(host: &str, number: usize, generation: u64) -> Value {
    json!({
        "node": host, "incarnation": 1, "term": 1, "planGeneration": generation,
        "assignment": {
            "object": {"kind": "Volume", "name": "data"}, "objectGeneration": 1,
            "epoch": 1, "active": true,
            "replica": {
                "minor": 0, "port": 7788, "nodeId": number, "backingDevice": "/dev/vg/data",
                "size": "1Gi", "role": "Secondary", "allowTwoPrimaries": false,
            },
        },
    })
}

fn ask(world: &Arc<World>) -> JoinHandle<PeerAnswer> {
    let world = world.clone();
    tokio::spawn(async move {
        let question = PeerQuestion {
            incarnation: 1,
            volume: "data".to_owned(),
            peer: "an2".to_owned(),
        };
        let desk = world.desk().await.clone();
        desk.ask_about_peer("an1", question)
            .await
            .expect("an answer")
    })
}

#[tokio::test(start_paused = true)]
async fn the_question_is_put_where_the_planner_sees_it_and_is_not_answered_by_guessing() {
    let world = replicated().await;
    let answer = ask(&world).await.expect("it came back");
    assert_eq!(answer.verdict(), Verdict::Undecided);
    assert!(
        answer.message.contains("confirmed off"),
        "{}",
        answer.message
    );
    let record = world.get("NodePlan", "an1.volume.data");
    assert_eq!(record["status"]["replica"]["asksAbout"], json!(["an2"]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_fenced_once_it_is_confirmed_off_and_out_of_the_set() {
    let world = replicated().await;
    let asked = ask(&world);
    world.pass(SECOND).await;
    world.say("Node", "an2", json!({"state": "Fenced"})).await;
    world.pass(SECOND).await;
    assert!(!asked.is_finished(), "the set still counts on it");
    world
        .say("Volume", "data", json!({"inSync": ["an1"]}))
        .await;
    let answer = asked.await.expect("it came back");
    assert_eq!(answer.verdict(), Verdict::Fenced);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_lives_is_outdated_once_it_says_so_and_is_out_of_the_set() {
    let world = replicated().await;
    let asked = ask(&world);
    world.pass(SECOND).await;
    world
        .apply("NodePlan", "an2.volume.data", told_to_outdate(2))
        .await;
    let said = outdated(1);
    world.say("NodePlan", "an2.volume.data", said).await;
    world
        .say("Volume", "data", json!({"inSync": ["an1"]}))
        .await;
    world.pass(SECOND).await;
    assert!(!asked.is_finished(), "it spoke of an older plan");
    world.say("NodePlan", "an2.volume.data", outdated(2)).await;
    let answer = asked.await.expect("it came back");
    assert_eq!(answer.verdict(), Verdict::Outdated);
}

/// It was outdated once, and may have caught up since: that alone lets nobody write without it.
#[tokio::test(start_paused = true)]
async fn that_a_peer_was_outdated_before_it_was_told_to_be_is_no_answer() {
    let world = replicated().await;
    world.say("NodePlan", "an2.volume.data", outdated(1)).await;
    world
        .say("Volume", "data", json!({"inSync": ["an1"]}))
        .await;
    let asked = ask(&world);
    world.pass(SECOND).await;
    assert!(!asked.is_finished(), "nobody has told it anything");
    world
        .apply("NodePlan", "an2.volume.data", told_to_outdate(2))
        .await;
    world.pass(SECOND).await;
    assert!(!asked.is_finished(), "it has not answered the order");
    world.say("NodePlan", "an2.volume.data", outdated(2)).await;
    let answer = asked.await.expect("it came back");
    assert_eq!(answer.verdict(), Verdict::Outdated);
}

fn told_to_outdate(generation: u64) -> Value {
    let mut spec = record("an2", 1, generation);
    spec["assignment"]["replica"]["outdate"] = json!(true);
    spec
}

fn outdated(generation: u64) -> Value {
    json!({
        "incarnation": 1, "observedPlanGeneration": generation,
        "replica": {"node": "an2", "disk": "Outdated"},
    })
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_replica_is_not_answered() {
    let world = replicated().await;
    let question = PeerQuestion {
        incarnation: 1,
        volume: "data".to_owned(),
        peer: "an3".to_owned(),
    };
    let desk = world.desk().await;
    let refusal = desk
        .ask_about_peer("an1", question)
        .await
        .expect_err("no such replica");
    assert!(refusal.to_string().contains("an3"), "{refusal}");
}
