//! Evidence that needs no device, and evidence that is refused.

use std::time::Duration;

use quorate_crds::{EvidenceKind, FencePhase};
use serde_json::{Value, json};

use crate::world::{Mood, World};

const SECOND: Duration = Duration::from_secs(1);

fn broken_board() -> World {
    let mut world = World::new();
    world.device("bmc1");
    world.mood("bmc1", Mood::Silent);
    world.host("node1", &[("ipmi", &["bmc1"])]);
    world
}

fn confirmation(incarnation: Option<u64>) -> Value {
    let mut spec = json!({
        "action": "Confirm",
        "confirmation": {"by": "ada", "statement": "unplugged both cords"},
    });
    if let Some(incarnation) = incarnation {
        spec["incarnation"] = json!(incarnation);
    }
    spec
}

#[test]
fn a_new_boot_proves_the_one_before_dead() {
    let mut world = broken_board();
    let operation = world.fence("node1");
    world.pass(60 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
    world.change("nodes", "node1", "/status/incarnation", json!(8));
    world.pass(SECOND);
    let evidence = world.status(&operation).evidence.expect("evidence");
    assert_eq!(
        (evidence.kind, evidence.incarnation),
        (EvidenceKind::NewBoot, 7)
    );
    world.asked.clear();
    world.pass(600 * SECOND);
    // It was told to switch off and may have done so after all.
    assert_eq!(
        world.switched(),
        ["on bmc1"],
        "the host that is back is left alone"
    );
}

#[test]
fn a_host_that_is_heard_cannot_be_confirmed_off() {
    let mut world = broken_board();
    world.change("nodes", "node1", "/status/state", json!("Online"));
    let operation = world.operation("node1", confirmation(None));
    world.pass(SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Failed));
    let (_, reason, message) = world
        .condition("fenceoperations", &operation, "Complete")
        .expect("said");
    assert_eq!(reason, "ConfirmationRefused");
    assert!(message.contains("heard at this moment"), "{message}");
    assert!(world.status(&operation).evidence.is_none());
}

#[test]
fn the_incarnation_that_is_confirmed_off_is_the_one_that_is_meant() {
    let mut world = broken_board();
    let future = world.operation("node1", confirmation(Some(9)));
    let past = world.operation("node1", confirmation(Some(6)));
    let present = world.operation("node1", confirmation(None));
    world.pass(SECOND);
    assert_eq!(
        world.phase(&future),
        Some(FencePhase::Failed),
        "there is no incarnation 9 yet"
    );
    assert_eq!(
        world.status(&past).evidence.expect("evidence").incarnation,
        6
    );
    assert_eq!(
        world
            .status(&present)
            .evidence
            .expect("evidence")
            .incarnation,
        7
    );
}

#[test]
fn evidence_about_another_incarnation_is_none() {
    let mut world = broken_board();
    let old = world.operation("node1", confirmation(Some(6)));
    let operation = world.fence("node1");
    world.pass(60 * SECOND);
    assert_eq!(world.phase(&old), Some(FencePhase::Succeeded));
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
}

#[test]
fn evidence_that_was_voided_is_none() {
    let mut world = broken_board();
    let first = world.operation("node1", confirmation(None));
    world.pass(SECOND);
    // The host is heard: whoever hears it stores the contradiction.
    world.change("fenceoperations", &first, "/status/phase", json!("Voided"));
    world.change(
        "fenceoperations",
        &first,
        "/status/voidedAt",
        json!("1970-01-01T00:01:00Z"),
    );
    let operation = world.fence("node1");
    world.pass(60 * SECOND);
    assert_eq!(
        world.phase(&first),
        Some(FencePhase::Voided),
        "nobody makes it good again"
    );
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
}

#[test]
fn a_device_that_was_contradicted_proves_nothing_until_it_was_tested() {
    let mut world = World::new();
    world.device("bmc1");
    world.host("node1", &[("ipmi", &["bmc1"])]);
    world.pass(SECOND);
    world.change(
        "fencedevices",
        "bmc1",
        "/status/state",
        json!("Contradicted"),
    );
    world.change(
        "fencedevices",
        "bmc1",
        "/status/lastError",
        json!("look for swapped cables"),
    );
    let operation = world.fence("node1");
    world.pass(120 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
    assert!(
        world.switched().is_empty(),
        "it may switch another host off"
    );
    let state = || Some(quorate_crds::FenceDeviceState::Contradicted);
    assert_eq!(
        world.fence_device("bmc1").status.expect("status").state,
        state(),
        "answering is not enough"
    );

    world.operation("node1", json!({"action": "TestDevice", "device": "bmc1"}));
    world.pass(200 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn an_operation_on_a_host_that_is_gone_is_void() {
    let mut world = World::new();
    let operation = world.fence("node9");
    world.pass(SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Voided));
    assert!(
        world
            .status(&operation)
            .void_reason
            .expect("said")
            .contains("node9")
    );
}

#[test]
fn a_proof_that_a_registration_stores_ends_a_blocked_fence_and_says_so() {
    let mut world = broken_board();
    let operation = world.fence("node1");
    world.pass(60 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
    let evidence = json!({"kind": "NewBoot", "incarnation": 7, "at": "1970-01-01T00:01:00Z"});
    world.change("fenceoperations", &operation, "/status/evidence", evidence);
    world.change(
        "fenceoperations",
        &operation,
        "/status/phase",
        json!("Succeeded"),
    );
    world.pass(SECOND);
    let said = |type_: &str| {
        let (so, reason, _) = world
            .condition("fenceoperations", &operation, type_)
            .expect("said");
        (so, reason)
    };
    assert_eq!(said("Complete"), ("True".into(), "NewBoot".into()));
    assert_eq!(said("Blocked").0, "False");
}
