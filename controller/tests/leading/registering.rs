//! Incarnations: which boot of a host counts.

use std::time::Duration;

use quorate_controller::hosts::DeskError;
use quorate_proto::host::v1::{RegisterReply, RegisterRequest, ReportRequest};
use quorate_store::{Bucket, Key, Transaction, Write};
use serde_json::json;

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

async fn register(
    world: &World,
    host: &str,
    boot_id: &str,
    kept: u64,
) -> Result<RegisterReply, DeskError> {
    let request = RegisterRequest {
        boot_id: boot_id.to_owned(),
        incarnation: kept,
        feature_level: quorate_proto::FEATURE_LEVEL,
        ..RegisterRequest::default()
    };
    world.desk().await.register(host, request).await
}

#[tokio::test(start_paused = true)]
async fn the_same_boot_is_the_same_incarnation_however_often_it_registers() {
    let world = World::of(1, 1).await;
    let first = register(&world, "an1", "boot-1", 0)
        .await
        .expect("it is one");
    // The reply was lost: it knows nothing of its number. The leader has its own to write about a new host; once it has
    // come to rest nothing is written.
    for _ in 0..100 {
        let before = world.store(1).view().revision();
        let again = register(&world, "an1", "boot-1", 0)
            .await
            .expect("it is one");
        assert_eq!(first.incarnation, again.incarnation);
        assert_eq!(first.heartbeat_key, again.heartbeat_key);
        if world.store(1).view().revision() == before {
            return;
        }
        world.pass(Duration::from_millis(50)).await;
    }
    panic!("something is written each time");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_nobody_declared_becomes_a_node() {
    let world = World::of(1, 0).await;
    register(&world, "an9", "boot-1", 0)
        .await
        .expect("it was invited");
    assert_eq!(world.state("an9"), "Joining");
}

#[tokio::test(start_paused = true)]
async fn a_new_boot_proves_the_former_one_over_and_its_guests_start_again() {
    let world = World::up(1, 1).await;
    world.guest("web").await;
    world.until_runs("web", "an1").await;

    // A reset that is faster than any detection.
    let host = world.host("an1");
    host.switch_off();
    let booted = register(&world, "an1", "another boot", 0)
        .await
        .expect("it is new");
    assert_eq!(booted.incarnation, 2);
    let proof = world.get("FenceOperation", "an1-1-boot");
    assert_eq!(proof["status"]["phase"], "Succeeded");
    assert_eq!(proof["status"]["evidence"]["kind"], "NewBoot");
    assert_eq!(proof["status"]["evidence"]["incarnation"], 1);
    assert_eq!(world.state("an1"), "Joining");
    assert!(
        world.boards.asked().is_empty(),
        "nothing was switched for it"
    );

    // What the dead boot still says is not heard.
    let late = ReportRequest {
        incarnation: 1,
        ..ReportRequest::default()
    };
    let refusal = world.desk().await.report("an1", late).await;
    assert!(matches!(refusal, Err(DeskError::IncarnationOver { .. })));

    host.switch_on();
    world.until_runs("web", "an1").await;
    assert_eq!(host.incarnation(), 3, "the machine itself booted once more");
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_was_confirmed_off_is_not_let_in_again() {
    let world = World::up(1, 2).await;
    world.boards.swap_cables("an1");
    world.host("an1").cut(true);
    world.until_state("an1", "Fenced").await;
    let boot_id = world.host("an1").boot_id();
    let refusal = register(&world, "an1", &boot_id, 1).await;
    assert!(matches!(refusal, Err(DeskError::IncarnationOver { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_number_is_never_given_twice_even_when_the_node_was_deleted() {
    let world = World::up(1, 1).await;
    world.host("an1").cut(true);
    world.until_state("an1", "Fenced").await;
    world.host("an1").switch_off();
    world.delete("Node", "an1").await;
    world.pass(SECOND).await;
    // The evidence about incarnation 1 is still there, and must not pass for evidence about this boot.
    let booted = register(&world, "an1", "another boot", 0)
        .await
        .expect("it is new");
    assert_eq!(booted.incarnation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_holds_something_goes_on_as_itself_when_its_node_was_deleted() {
    let world = World::up(1, 1).await;
    world.guest("web").await;
    world.until_runs("web", "an1").await;
    // The store was restored from a time at which there was no such Node.
    let key = Key::new(Bucket::new("nodes"), "an1");
    let gone = Transaction {
        conditions: Vec::new(),
        writes: vec![Write::Delete { key }],
    };
    world.store(1).propose(gone).await.expect("it leads");
    let stranger = register(&world, "an1", "another boot", 0).await;
    let refusal = stranger
        .expect_err("nobody knows whether the former boot is over")
        .to_string();
    assert!(refusal.contains("VirtualMachine/web"), "{refusal}");
    world.until_state("an1", "Online").await;
    assert_eq!(world.get("Node", "an1")["status"]["incarnation"], json!(1));
}

#[tokio::test(start_paused = true)]
async fn a_host_says_how_it_is_and_not_what_it_is() {
    let world = World::up(1, 1).await;
    let facts =
        json!({"state": "Left", "incarnation": 7, "capacity": {"memory": "1Ti", "cpus": 64}});
    let request = ReportRequest {
        incarnation: 1,
        facts: facts.to_string().into(),
        ..ReportRequest::default()
    };
    world
        .desk()
        .await
        .report("an1", request)
        .await
        .expect("it is taken");
    let node = world.get("Node", "an1");
    assert_eq!(node["status"]["state"], "Online");
    assert_eq!(node["status"]["incarnation"], 1);
    assert_eq!(node["status"]["capacity"]["memory"], "1Ti");
    assert!(node["status"]["since"].is_string(), "{node}");
}
