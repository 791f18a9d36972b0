//! Tests on demand: every device in question is asked, and nothing is switched.

use std::time::Duration;

use quorate_crds::{FencePhase, PowerState};
use serde_json::json;

use crate::world::{Mood, World};

const SECOND: Duration = Duration::from_secs(1);

fn outlets() -> World {
    let mut world = World::new();
    for device in ["bmc1", "pdu1", "pdu2"] {
        world.device(device);
    }
    world.host(
        "node1",
        &[("ipmi", &["bmc1"]), ("power", &["pdu1/1", "pdu2/1"])],
    );
    world.change("nodes", "node1", "/status/state", json!("Online"));
    world.pass(SECOND);
    world.asked.clear();
    world
}

#[test]
fn a_test_of_a_level_asks_each_of_its_devices_and_switches_none() {
    let mut world = outlets();
    let test = world.operation("node1", json!({"action": "TestLevel", "level": "power"}));
    world.pass(SECOND);
    let status = world.status(&test);
    assert_eq!(status.phase, Some(FencePhase::Succeeded));
    assert!(
        status
            .results
            .iter()
            .all(|result| result.power == Some(PowerState::PoweredOn))
    );
    assert_eq!(world.shown(), ["status pdu1/1", "status pdu2/1"]);
    assert!(status.evidence.is_none());
}

#[test]
fn a_test_of_everything_asks_every_level() {
    let mut world = outlets();
    let test = world.operation("node1", json!({"action": "TestLevel"}));
    world.pass(SECOND);
    assert_eq!(world.status(&test).results.len(), 3);
}

#[test]
fn a_broken_device_fails_the_test_in_its_own_words() {
    let mut world = outlets();
    world.mood("pdu2", Mood::Refuses("login denied (code 3)"));
    let test = world.operation("node1", json!({"action": "TestLevel", "level": "power"}));
    world.pass(SECOND);
    assert_eq!(world.phase(&test), Some(FencePhase::Failed));
    let (_, reason, message) = world
        .condition("fenceoperations", &test, "Complete")
        .expect("said");
    assert_eq!(reason, "FenceTestFailed");
    assert_eq!(message, "pdu2: login denied (code 3)");
}

#[test]
fn what_is_not_there_cannot_be_tested() {
    let mut world = outlets();
    world.put(
        "fencedevices",
        "self",
        json!({"spec": {"type": "Watchdog"}}),
    );
    world.host("node2", &[("self", &["self"])]);
    for (host, spec, why) in [
        (
            "node1",
            json!({"action": "TestLevel", "level": "ups"}),
            "node1 has no level ups, found: ipmi, power",
        ),
        (
            "node1",
            json!({"action": "TestDevice", "device": "self"}),
            "no such level of node1 uses FenceDevice self",
        ),
        (
            "node9",
            json!({"action": "TestLevel"}),
            "there is no Node \"node9\"",
        ),
        (
            "node2",
            json!({"action": "TestLevel"}),
            "a watchdog or a person cannot be tested from here",
        ),
    ] {
        let test = world.operation(host, spec);
        world.pass(SECOND);
        assert_eq!(world.phase(&test), Some(FencePhase::Failed), "{why}");
        let (_, _, message) = world
            .condition("fenceoperations", &test, "Complete")
            .expect("said");
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn a_fence_takes_the_device_from_a_test_and_the_test_comes_afterwards() {
    let mut world = outlets();
    world.mood("bmc1", Mood::InTurn(vec![Mood::Silent, Mood::Works]));
    let test = world.operation("node1", json!({"action": "TestDevice", "device": "bmc1"}));
    world.pass(SECOND);
    assert_eq!(world.shown(), ["status bmc1"]);
    let operation = world.fence("node1");
    world.pass(SECOND);
    assert_eq!(
        world.phase(&operation),
        Some(FencePhase::Succeeded),
        "it does not wait for the test's time-out"
    );
    world.pass(5 * SECOND);
    assert_eq!(world.phase(&test), Some(FencePhase::Succeeded));
}
