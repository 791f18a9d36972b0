//! Power returns late, surely, and never into another fencing.

use std::time::Duration;

use quorate_crds::FencePhase;
use serde_json::json;

use crate::world::{Asked, Mood, World};

const SECOND: Duration = Duration::from_secs(1);

fn outlets() -> World {
    let mut world = World::new();
    for device in ["pdu1", "pdu2"] {
        world.device(device);
    }
    world.host("node1", &[("power", &["pdu1/1", "pdu2/1"])]);
    world.pass(SECOND);
    world.asked.clear();
    world
}

#[test]
fn power_returns_only_after_the_success_is_stored() {
    let mut world = outlets();
    let operation = world.fence("node1");
    world.pass_until(10 * SECOND, "the success", |world| {
        world.phase(&operation) == Some(FencePhase::Succeeded)
    });
    let stored = world
        .phases
        .iter()
        .find(|(_, _, phase)| *phase == FencePhase::Succeeded)
        .expect("stored")
        .0;
    world.pass(10 * SECOND);
    for asked in world
        .asked
        .iter()
        .filter(|asked| asked.shown().starts_with("on "))
    {
        assert!(asked.at >= stored);
    }
    assert!(!world.devices["pdu1"].is_off("1") && !world.devices["pdu2"].is_off("1"));
}

#[test]
fn power_waits_until_the_half_that_acts_alone_is_the_whole() {
    let mut world = outlets();
    let told_on = |world: &World| {
        let on = |asked: &&Asked| asked.shown().starts_with("on ");
        world.asked.iter().filter(on).count()
    };
    world.half_acts = true;
    let operation = world.fence("node1");
    world.pass(60 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
    assert_eq!(told_on(&world), 0);

    world.half_acts = false;
    world.pass_until(10 * SECOND, "an outlet is told to come on", |world| {
        told_on(world) == 1
    });
    // Another half begins to ask whether its outlets are off.
    world.half_acts = true;
    world.pass(60 * SECOND);
    assert_eq!(told_on(&world), 1);
    world.half_acts = false;
    world.pass(10 * SECOND);
    assert!(!world.devices["pdu1"].is_off("1") && !world.devices["pdu2"].is_off("1"));
}

#[test]
fn power_off_leaves_it_off() {
    let mut world = outlets();
    let operation = world.operation("node1", json!({"action": "PowerOff", "incarnation": 7}));
    world.pass(120 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
    assert!(world.devices["pdu1"].is_off("1") && world.devices["pdu2"].is_off("1"));
}

/// It stands in the log as an operation that switches off, and has switched nothing.
#[test]
fn that_a_host_has_booted_again_keeps_nothing_off() {
    let mut world = outlets();
    let operation = world.fence("node1");
    world.pass_until(10 * SECOND, "the success", |world| {
        world.phase(&operation) == Some(FencePhase::Succeeded)
    });
    world.mood("pdu1", Mood::Refuses("busy"));
    world.put(
        "fenceoperations",
        "node1-7-boot",
        json!({
            "spec": {"node": "node1", "reason": "the host booted again", "requestedBy": "quorated",
                     "action": "PowerOff", "incarnation": 7},
            "status": {"phase": "Succeeded", "finishedAt": "2027-01-15T08:00:00Z",
                       "evidence": {"at": "2027-01-15T08:00:00Z", "incarnation": 7, "kind": "NewBoot", "term": 1}},
        }),
    );
    world.pass(2 * SECOND);
    assert!(world.devices["pdu1"].is_off("1"));
    world.mood("pdu1", Mood::Works);
    world.pass(120 * SECOND);
    assert!(!world.devices["pdu1"].is_off("1") && !world.devices["pdu2"].is_off("1"));
}

#[test]
fn an_outlet_that_does_not_come_on_is_tried_again_and_then_said() {
    let mut world = outlets();
    let operation = world.fence("node1");
    world.pass_until(10 * SECOND, "the success", |world| {
        world.phase(&operation) == Some(FencePhase::Succeeded)
    });
    // The last one that was told is the first to have power again.
    world.mood("pdu1", Mood::Refuses("busy"));
    world.pass(600 * SECOND);
    let (so, reason, message) = world
        .condition("fenceoperations", &operation, "PowerReturned")
        .expect("said");
    assert_eq!(
        (so.as_str(), reason.as_str()),
        ("False", "PowerNotReturned")
    );
    assert!(
        message.contains("pdu1") && message.contains("by hand"),
        "{message}"
    );
    assert_eq!(
        world.phase(&operation),
        Some(FencePhase::Succeeded),
        "it is confirmed off all the same"
    );
}

#[test]
fn an_outlet_that_says_that_it_acts_and_does_not_is_told_again() {
    let mut world = outlets();
    let operation = world.fence("node1");
    world.pass_until(10 * SECOND, "the success", |world| {
        world.phase(&operation) == Some(FencePhase::Succeeded)
    });
    world.mood("pdu1", Mood::Stuck);
    world.pass(30 * SECOND);
    assert!(world.devices["pdu1"].is_off("1"));
    let returned = |world: &World| world.condition("fenceoperations", &operation, "PowerReturned");
    assert_eq!(returned(&world), None);

    world.mood("pdu1", Mood::Works);
    world.pass(60 * SECOND);
    assert!(!world.devices["pdu1"].is_off("1"));
    let (so, reason, _) = returned(&world).expect("said");
    assert_eq!((so.as_str(), reason.as_str()), ("True", "PowerReturned"));
}

#[test]
fn a_host_that_is_lost_again_is_not_switched_on_by_the_fence_before() {
    let mut world = outlets();
    let first = world.fence("node1");
    world.pass_until(10 * SECOND, "the success", |world| {
        world.phase(&first) == Some(FencePhase::Succeeded)
    });
    // One outlet suffices for a boot; the other is not switched on yet when the host is lost again.
    world.mood("pdu1", Mood::Refuses("busy"));
    world.pass(SECOND);
    assert!(!world.devices["pdu2"].is_off("1") && world.devices["pdu1"].is_off("1"));
    world.change("nodes", "node1", "/status/incarnation", json!(8));
    world.mood("pdu1", Mood::Works);
    world.asked.clear();
    let second = world.operation("node1", json!({"action": "PowerOff", "incarnation": 8}));
    world.pass(120 * SECOND);
    assert_eq!(world.phase(&second), Some(FencePhase::Succeeded));
    assert!(
        !world
            .switched()
            .iter()
            .any(|order| order.starts_with("on ")),
        "{:?}",
        world.switched()
    );
    assert!(world.devices["pdu1"].is_off("1") && world.devices["pdu2"].is_off("1"));
}

#[test]
fn a_second_cycle_is_not_disturbed_by_the_first_and_all_outlets_have_power_in_the_end() {
    let mut world = outlets();
    world.device("bmc1");
    let first = world.fence("node1");
    world.pass_until(10 * SECOND, "the success", |world| {
        world.phase(&first) == Some(FencePhase::Succeeded)
    });
    world.mood("pdu1", Mood::Refuses("busy"));
    world.pass(SECOND);
    world.change("nodes", "node1", "/status/incarnation", json!(8));
    let levels = json!([{"name": "ipmi", "devices": [{"device": "bmc1"}]}, {"name": "power", "devices": [
        {"device": "pdu1", "plug": "1"}, {"device": "pdu2", "plug": "1"},
    ]}]);
    world.change("nodes", "node1", "/spec/fencing/levels", levels);
    world.mood("bmc1", Mood::Silent);
    world.mood("pdu1", Mood::Works);
    world.asked.clear();
    let second = world.operation("node1", json!({"action": "PowerCycle", "incarnation": 8}));
    world.pass(30 * SECOND);
    assert!(
        !world
            .switched()
            .iter()
            .any(|order| order.starts_with("on pdu")),
        "{:?}",
        world.switched()
    );
    world.mood("bmc1", Mood::Works);
    world.pass(120 * SECOND);
    assert_eq!(world.phase(&second), Some(FencePhase::Succeeded));
    for (device, plug) in [("bmc1", ""), ("pdu1", "1"), ("pdu2", "1")] {
        assert!(!world.devices[device].is_off(plug), "{device}");
    }
}
