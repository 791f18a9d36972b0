//! What a host is told of its plan: everything once, then what changed, and nothing that it said itself.
//!
//! The cluster is in maintenance, so that nobody but the story writes plans.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use quorate_controller::hosts::Updates;
use quorate_crds::NodePlan;
use quorate_proto::host::v1::{
    FollowRequest, PlanUpdate, RecordReport, RegisterRequest, ReportRequest,
};
use serde_json::{Value, json};

use crate::support::World;

async fn quiet_world(members: u64) -> World {
    let world = World::of(members, 2).await;
    world
        .merge("Cluster", "test", json!({"spec": {"maintenance": true}}))
        .await;
    for host in ["an1", "an2"] {
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
    }
    world
}

async fn assign(world: &World, host: &str, guest: &str, generation: u64, active: bool) {
    let spec = json!({
        "node": host, "incarnation": 1, "term": 1, "planGeneration": generation,
        "assignment": {
            "object": {"kind": "VirtualMachine", "name": guest}, "objectGeneration": 1,
            "epoch": 1, "active": active,
        },
    });
    world
        .apply("NodePlan", &format!("{host}.virtualmachine.{guest}"), spec)
        .await;
}

async fn follow(world: &World, host: &str) -> (Updates, PlanUpdate) {
    let request = FollowRequest { incarnation: 1 };
    let mut updates = world
        .desk()
        .await
        .follow(host, request)
        .await
        .expect("its plan");
    let whole = next(&mut updates).await;
    assert!(whole.whole);
    (updates, whole)
}

async fn next(updates: &mut Updates) -> PlanUpdate {
    updates
        .next()
        .await
        .expect("it stays open")
        .expect("an update")
}

/// The next word about the watchdog; the Node changes for other reasons as well.
async fn next_bound(updates: &mut Updates) -> bool {
    loop {
        if let Some(bound) = next(updates).await.watchdog_bound {
            return bound;
        }
    }
}

fn records(update: &PlanUpdate) -> Vec<(String, bool)> {
    let read = |bytes| serde_json::from_slice::<NodePlan>(bytes).expect("a record");
    let named = |record: NodePlan| {
        let active = record
            .spec
            .assignment
            .is_some_and(|assigned| assigned.active);
        (record.metadata.name.unwrap_or_default(), active)
    };
    update
        .records
        .iter()
        .map(|bytes| named(read(bytes)))
        .collect()
}

fn objects(update: &PlanUpdate) -> Vec<String> {
    let read = |bytes| serde_json::from_slice::<Value>(bytes).expect("an object");
    let named = |object: Value| {
        object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    update
        .objects
        .iter()
        .map(|bytes| named(read(bytes)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_host_is_told_its_own_records_and_the_objects_that_they_assign() {
    let world = quiet_world(1).await;
    for guest in ["web", "mail"] {
        world.guest(guest).await;
    }
    assign(&world, "an1", "web", 1, true).await;
    assign(&world, "an2", "mail", 1, true).await;
    let (mut updates, whole) = follow(&world, "an1").await;
    assert_eq!(
        records(&whole),
        [("an1.virtualmachine.web".to_owned(), true)]
    );
    assert_eq!(objects(&whole), ["web"]);

    // Of another host's guest it hears nothing; of its own, whatever changes.
    world
        .merge("VirtualMachine", "mail", json!({"spec": {"memory": "3Gi"}}))
        .await;
    world
        .merge("VirtualMachine", "web", json!({"spec": {"memory": "3Gi"}}))
        .await;
    let update = next(&mut updates).await;
    assert_eq!(objects(&update), ["web"]);
    assert!(records(&update).is_empty());

    // A record comes with the object that it assigns.
    assign(&world, "an1", "mail", 2, true).await;
    let update = next(&mut updates).await;
    assert_eq!(
        records(&update),
        [("an1.virtualmachine.mail".to_owned(), true)]
    );
    assert_eq!(objects(&update), ["mail"]);

    world.delete("NodePlan", "an1.virtualmachine.web").await;
    assert_eq!(next(&mut updates).await.removed, ["an1.virtualmachine.web"]);
}

#[tokio::test(start_paused = true)]
async fn a_hosts_own_report_does_not_come_back_to_it() {
    let world = quiet_world(1).await;
    world.guest("web").await;
    assign(&world, "an1", "web", 1, true).await;
    let (mut updates, _) = follow(&world, "an1").await;
    let report = RecordReport {
        record: "an1.virtualmachine.web".to_owned(),
        status: json!({"observedPlanGeneration": 1}).to_string().into(),
    };
    let gone = RecordReport {
        record: "an1.virtualmachine.gone".to_owned(),
        status: json!({}).to_string().into(),
    };
    let others = RecordReport {
        record: "an2".to_owned(),
        status: json!({}).to_string().into(),
    };
    let request = ReportRequest {
        incarnation: 1,
        records: vec![report, gone, others],
        ..ReportRequest::default()
    };
    let reply = world
        .desk()
        .await
        .report("an1", request)
        .await
        .expect("taken");
    assert_eq!(reply.unknown, ["an1.virtualmachine.gone", "an2"]);
    let record = world.get("NodePlan", "an1.virtualmachine.web");
    assert_eq!(record["status"]["observedPlanGeneration"], 1);
    assert_eq!(
        record["status"]["incarnation"], 1,
        "the desk says who said it"
    );
    assert!(updates.next().now_or_never().is_none());
    assign(&world, "an1", "web", 2, false).await;
    let update = next(&mut updates).await;
    assert_eq!(
        records(&update),
        [("an1.virtualmachine.web".to_owned(), false)]
    );
}

/// A report that nobody waits for any more may be committed yet. What the host says after it is what counts, also when
/// the log holds just that so far.
#[tokio::test(start_paused = true)]
async fn words_that_were_given_up_do_not_stand_when_others_were_said_after_them() {
    let world = quiet_world(3).await;
    world.guest("web").await;
    assign(&world, "an1", "web", 1, true).await;
    let leader = world.leader().await;
    let desk = world.desk().await.clone();
    desk.report("an1", saying(1, "as planned"))
        .await
        .expect("taken");

    // The leader hears no other member for a moment, and the host does not wait for its answer.
    let others: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    world.cut_apart(&[leader], &others);
    let given_up = desk.report("an1", saying(2, "under way"));
    let given_up = tokio::time::timeout(Duration::from_millis(50), given_up).await;
    given_up.expect_err("nobody can commit it");
    let last = tokio::spawn({
        let (desk, words) = (desk.clone(), saying(3, "as planned"));
        async move { desk.report("an1", words).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.join_again();
    last.await.expect("no panic").expect("taken");
    assert_eq!(world.leader().await, leader, "it was only a moment");

    world.store(leader).settled().await.expect("applied");
    assert_eq!(said(&world).as_deref(), Some("as planned"));
}

/// A report may be held up on its way for as long as it likes. It changes nothing that the host has said since, and what
/// another boot of the host said is no measure.
#[tokio::test(start_paused = true)]
async fn words_that_arrive_late_do_not_stand_over_those_that_were_said_after_them() {
    let world = quiet_world(1).await;
    world.guest("web").await;
    assign(&world, "an1", "web", 1, true).await;
    let desk = world.desk().await.clone();
    let kernel = |number: u64, message: &str, kernel: &str| ReportRequest {
        facts: json!({"versions": {"kernel": kernel}}).to_string().into(),
        ..saying(number, message)
    };
    for (number, message, version) in [
        (70, "the third", "3"),
        (50, "the first", "1"),
        (60, "the second", "2"),
    ] {
        let report = kernel(number, message, version);
        desk.report("an1", report).await.expect("taken, or dropped");
        assert_eq!(said(&world).as_deref(), Some("the third"));
        let node = world.get("Node", "an1");
        assert_eq!(node["status"]["versions"]["kernel"], "3");
    }
    desk.report("an1", kernel(80, "the third", "3"))
        .await
        .expect("taken");
    desk.report("an1", kernel(75, "held up", "0"))
        .await
        .expect("dropped");
    assert_eq!(
        said(&world).as_deref(),
        Some("the third"),
        "also what was said twice stands over what was said between"
    );

    let booted = RegisterRequest {
        boot_id: "another-boot".to_owned(),
        facts: json!({"versions": {"kernel": "4"}}).to_string().into(),
        number: 5,
        feature_level: quorate_proto::FEATURE_LEVEL,
        ..RegisterRequest::default()
    };
    let registered = desk.register("an1", booted).await.expect("registered");
    assert_eq!(registered.incarnation, 2);
    let node = world.get("Node", "an1");
    assert_eq!(node["status"]["versions"]["kernel"], "4");
}

/// A report of the first boot of an1.
fn saying(number: u64, message: &str) -> ReportRequest {
    ReportRequest {
        incarnation: 1,
        records: vec![RecordReport {
            record: "an1.virtualmachine.web".to_owned(),
            status: json!({"message": message}).to_string().into(),
        }],
        number,
        ..ReportRequest::default()
    }
}

fn said(world: &World) -> Option<String> {
    let record = world.get("NodePlan", "an1.virtualmachine.web");
    record["status"]["message"].as_str().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn a_host_learns_at_once_that_its_watchdog_is_what_makes_it_safe() {
    let world = quiet_world(1).await;
    let (mut updates, whole) = follow(&world, "an1").await;
    assert_eq!(whole.watchdog_bound, Some(false));
    world
        .apply("FenceDevice", "dog", json!({"type": "Watchdog"}))
        .await;
    let levels = json!([{"name": "own", "devices": [{"device": "dog"}]}]);
    let watched = json!({"spec": {"fencing": {"levels": levels}}});
    let refused = AssertUnwindSafe(world.merge("Node", "an1", watched.clone())).catch_unwind();
    let refused = refused.await.expect_err("nobody has accepted that");
    let refused = refused.downcast_ref::<String>().expect("words");
    assert!(refused.contains("watchdogOnly"), "{refused}");
    world
        .merge(
            "Cluster",
            "test",
            json!({"spec": {"fencing": {"watchdogOnly": true}}}),
        )
        .await;
    world.merge("Node", "an1", watched).await;
    assert!(next_bound(&mut updates).await);
    world
        .merge(
            "Node",
            "an1",
            json!({"spec": {"fencing": {"levels": null}}}),
        )
        .await;
    assert!(!next_bound(&mut updates).await);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_boot_that_is_over_ends() {
    let world = quiet_world(1).await;
    let (mut updates, _) = follow(&world, "an1").await;
    let request = RegisterRequest {
        boot_id: "another boot".to_owned(),
        feature_level: quorate_proto::FEATURE_LEVEL,
        ..RegisterRequest::default()
    };
    world
        .desk()
        .await
        .register("an1", request)
        .await
        .expect("it is new");
    let ended = updates
        .next()
        .await
        .expect("a last word")
        .expect_err("it is over");
    assert!(
        ended.to_string().contains("2 is the present one"),
        "{ended}"
    );
    assert!(updates.next().await.is_none());
}
