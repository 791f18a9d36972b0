//! Devices are asked all the time, so that a broken one is known before it is needed; and an idle cluster writes nothing.

use std::time::Duration;

use quorate_crds::{FenceDeviceState, FencePhase};
use serde_json::json;

use crate::world::{Mood, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn board() -> World {
    let mut world = World::new();
    world.device("bmc1");
    world.host("node1", &[("ipmi", &["bmc1"])]);
    world.change("nodes", "node1", "/status/state", json!("Online"));
    world.pass(SECOND);
    world
}

fn ready(world: &World) -> (String, String) {
    let (so, reason, _) = world
        .condition("nodes", "node1", "FencingReady")
        .expect("said");
    (so, reason)
}

#[test]
fn a_device_is_asked_every_minute_and_nothing_is_written_while_nothing_changes() {
    let mut world = board();
    assert_eq!(ready(&world), ("True".into(), "FenceLevelsReady".into()));
    // Until each of the members has found it reachable once.
    world.pass(5 * MINUTE);
    let (asked, writes) = (world.asked.len(), world.writes);
    world.pass(30 * MINUTE);
    assert!(
        (29..=31).contains(&(world.asked.len() - asked)),
        "{}",
        world.asked.len() - asked
    );
    assert_eq!(world.writes, writes);
    world.pass(60 * MINUTE);
    assert!(
        world.writes - writes <= 3,
        "the moment of the last answer is written rarely: {}",
        world.writes - writes
    );
}

#[test]
fn a_host_that_comes_after_its_device_was_asked_is_judged_at_once() {
    let mut world = World::new();
    world.device("pdu1");
    world.pass(10 * SECOND);
    world.host("node1", &[("power", &["pdu1/1"])]);
    world.pass(2 * SECOND);
    assert_eq!(ready(&world), ("True".into(), "FenceLevelsReady".into()));

    // It moves to another outlet, which nobody has asked about either.
    world.host("node1", &[("power", &["pdu1/2"])]);
    world.pass(2 * SECOND);
    assert_eq!(ready(&world), ("True".into(), "FenceLevelsReady".into()));
    let asked = world.asked.len();
    world.pass(30 * SECOND);
    assert_eq!(world.asked.len(), asked, "and then as rarely as ever");
}

#[test]
fn a_device_that_breaks_is_said_once_and_so_is_its_repair() {
    let mut world = board();
    world.mood("bmc1", Mood::Refuses("login denied (code 3)"));
    world.pass(10 * MINUTE);
    let status = world.fence_device("bmc1").status.expect("status");
    assert_eq!(status.state, Some(FenceDeviceState::Failed));
    assert_eq!(status.last_error.as_deref(), Some("login denied (code 3)"));
    assert_eq!(ready(&world), ("False".into(), "NoFenceLevelReady".into()));
    assert_eq!(
        world
            .told
            .iter()
            .filter(|(reason, _)| reason == "DeviceFails")
            .count(),
        1
    );
    let writes = world.writes;
    world.pass(20 * MINUTE);
    assert_eq!(
        world.writes, writes,
        "a device that stays broken is not written again"
    );

    world.mood("bmc1", Mood::Works);
    world.pass(3 * MINUTE);
    assert_eq!(ready(&world), ("True".into(), "FenceLevelsReady".into()));
}

#[test]
fn one_broken_level_of_two_is_shown_and_the_host_can_still_be_fenced() {
    let mut world = board();
    world.device("pdu1");
    world.host("node1", &[("ipmi", &["bmc1"]), ("power", &["pdu1/1"])]);
    world.change("nodes", "node1", "/status/state", json!("Online"));
    world.mood("pdu1", Mood::Silent);
    world.pass(5 * MINUTE);
    assert_eq!(ready(&world), ("True".into(), "FenceLevelFails".into()));
    let levels = world.node("node1").status.expect("status").fence_levels;
    assert_eq!(
        levels.iter().map(|level| level.ready).collect::<Vec<_>>(),
        [Some(true), Some(false)]
    );
}

#[test]
fn a_level_that_says_off_of_a_host_that_is_not_missed_yet_is_believed() {
    let mut world = board();
    world.pass(65 * SECOND);
    // It was halted: its connections were closed, and it is given the time of a restart.
    world
        .devices
        .get_mut("bmc1")
        .expect("there")
        .set_off("", true);
    world.pass(85 * SECOND);
    world.change("nodes", "node1", "/status/state", json!("Fencing"));
    let operation = world.fence("node1");
    world.pass(MINUTE);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn a_level_that_says_off_of_a_host_that_is_heard_proves_nothing_when_the_host_is_lost() {
    let mut world = board();
    // Somebody else's outlet.
    world
        .devices
        .get_mut("bmc1")
        .expect("there")
        .set_off("", true);
    world.pass(3 * MINUTE);
    let (so, _, message) = world
        .condition("nodes", "node1", "FencingReady")
        .expect("said");
    assert_eq!(so, "False");
    assert!(message.contains("swapped cables"), "{message}");

    world.change("nodes", "node1", "/status/state", json!("Fencing"));
    world.elect("beta");
    let operation = world.fence("node1");
    world.pass(5 * MINUTE);
    assert_eq!(
        world.phase(&operation),
        Some(FencePhase::Blocked),
        "off already is not enough"
    );

    // Nor is it enough after the device was away for a while.
    world.mood("bmc1", Mood::Refuses("no route to host"));
    world.pass(5 * MINUTE);
    world.mood("bmc1", Mood::Works);
    world.pass(5 * MINUTE);
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));

    // The plug is repaired: the right outlet is on.
    world
        .devices
        .get_mut("bmc1")
        .expect("there")
        .set_off("", false);
    world.pass(5 * MINUTE);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn a_host_that_has_just_been_switched_off_or_on_is_not_wired_wrongly() {
    let mut world = board();
    world.pass(2 * MINUTE);
    // It is switched off by hand: the cluster misses it seconds later, and a check may come between.
    world
        .devices
        .get_mut("bmc1")
        .expect("there")
        .set_off("", true);
    world.pass_until(2 * MINUTE, "the check", |world| {
        let status = world.fence_device("bmc1").status.expect("status");
        status.outlets[0].power == Some(quorate_crds::PowerState::PoweredOff)
    });
    world.pass(3 * SECOND);
    world.change("nodes", "node1", "/status/state", json!("Fencing"));
    let operation = world.fence("node1");
    world.pass(SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));

    // It is back before the board is asked again.
    world.change("nodes", "node1", "/status/incarnation", json!(8));
    world.change("nodes", "node1", "/status/state", json!("Online"));
    world.pass(5 * MINUTE);
    assert_eq!(ready(&world), ("True".into(), "FenceLevelsReady".into()));
}

#[test]
fn a_changed_device_is_asked_at_once() {
    let mut world = board();
    world.pass(5 * SECOND);
    let asked = world.asked.len();
    world.change(
        "fencedevices",
        "bmc1",
        "/spec/parameters",
        json!({"ip": "10.0.0.2"}),
    );
    world.pass(SECOND);
    assert_eq!(world.asked.len(), asked + 1);
}

#[test]
fn a_scheduled_test_asks_from_every_member() {
    let mut world = board();
    world.devices.get_mut("bmc1").expect("there").reachable_from = Some(vec!["alpha", "beta"]);
    world.change("fencedevices", "bmc1", "/spec/testInterval", json!("10m"));
    // The interval counts from when the leader first saw the device.
    world.elect("alpha");
    world.pass(20 * MINUTE);
    let status = world.fence_device("bmc1").status.expect("status");
    let members: Vec<_> = status
        .reachable_from
        .iter()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(members, ["alpha", "beta"]);
    let by_gamma = world
        .asked
        .iter()
        .filter(|asked| asked.member == "gamma")
        .count();
    assert!(by_gamma > 0);
}

#[test]
fn a_device_that_only_pretends_says_so() {
    let mut world = World::new();
    world.device_with("null", json!({"type": "Dummy"}));
    world.host("node1", &[("null", &["null"])]);
    world.pass(SECOND);
    let (so, reason, _) = world
        .condition("fencedevices", "null", "TestOnly")
        .expect("said");
    assert_eq!((so.as_str(), reason.as_str()), ("True", "PretendsOnly"));
    let operation = world.fence("node1");
    world.pass(SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn a_fence_does_not_wait_for_a_check_that_hangs() {
    let mut world = World::new();
    world.device("bmc1");
    world.mood("bmc1", Mood::InTurn(vec![Mood::Silent, Mood::Works]));
    world.host("node1", &[("ipmi", &["bmc1"])]);
    world.pass(SECOND);
    let operation = world.fence("node1");
    world.pass(SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}
