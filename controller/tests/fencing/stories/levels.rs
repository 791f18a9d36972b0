//! Levels in their order, and what counts as off.

use std::time::Duration;

use quorate_controller::fencing::agents::Action;
use quorate_crds::{EvidenceKind, FencePhase, PowerState};
use serde_json::json;

use crate::world::{Mood, World};

const SECOND: Duration = Duration::from_secs(1);

fn boards_and_outlets() -> World {
    let mut world = World::new();
    for device in ["bmc1", "pdu1", "pdu2"] {
        world.device(device);
    }
    world.host(
        "node1",
        &[("ipmi", &["bmc1"]), ("power", &["pdu1/1", "pdu2/1"])],
    );
    // Devices that were asked before are not asked at once when the story begins.
    world.pass(SECOND);
    world.asked.clear();
    world
}

#[test]
fn a_lost_host_is_off_when_its_board_says_so_after_it_was_told() {
    let mut world = boards_and_outlets();
    let operation = world.fence("node1");
    world.pass(SECOND);

    let status = world.status(&operation);
    assert_eq!(status.phase, Some(FencePhase::Succeeded));
    let evidence = status.evidence.expect("evidence");
    assert_eq!(evidence.kind, EvidenceKind::Devices);
    assert_eq!(
        (evidence.incarnation, evidence.level.as_deref()),
        (7, Some("ipmi"))
    );
    assert_eq!(status.results[0].power, Some(PowerState::PoweredOff));
    assert_eq!(
        world.shown(),
        ["off bmc1", "status bmc1", "on bmc1", "status bmc1"]
    );
    assert!(status.powered_on_at.is_some());
    assert!(!world.devices["bmc1"].is_off(""), "it has power again");
}

#[test]
fn when_the_board_is_silent_both_outlets_are_off_before_either_is_asked() {
    let mut world = boards_and_outlets();
    world.mood("bmc1", Mood::Silent);
    let operation = world.fence("node1");
    world.pass(60 * SECOND);

    let status = world.status(&operation);
    assert_eq!(status.phase, Some(FencePhase::Succeeded));
    assert_eq!(
        status.evidence.expect("evidence").level.as_deref(),
        Some("power")
    );
    assert_eq!(
        world.shown()[..10],
        [
            "off bmc1",
            "off bmc1", // the device's one repetition
            "off pdu1/1",
            "off pdu2/1",
            "status pdu1/1",
            "status pdu2/1",
            "on pdu2/1",
            "status pdu2/1", // whether it did
            "on pdu1/1",
            "status pdu1/1",
        ]
    );
    let board = &status.results[0];
    assert_eq!(board.message.as_deref(), Some("no answer within 20 s"));
    assert_eq!(
        world
            .told
            .iter()
            .filter(|(reason, _)| reason == "FenceLevelFails")
            .count(),
        1
    );
}

#[test]
fn one_outlet_that_stays_on_fails_the_level_whatever_the_other_says() {
    let mut world = boards_and_outlets();
    world.mood("bmc1", Mood::Silent);
    world.mood("pdu2", Mood::Stuck);
    let operation = world.fence("node1");
    world.pass(60 * SECOND);

    let status = world.status(&operation);
    assert_eq!(status.phase, Some(FencePhase::Blocked));
    assert!(status.evidence.is_none());
    let said = |device: &str| {
        let result = status
            .results
            .iter()
            .find(|result| result.device.as_str() == device);
        result.and_then(|result| result.power)
    };
    assert_eq!(said("pdu1"), Some(PowerState::PoweredOff));
    assert_eq!(said("pdu2"), Some(PowerState::PoweredOn));
    let (_, reason, message) = world
        .condition("fenceoperations", &operation, "Blocked")
        .expect("said");
    assert_eq!(reason, "FenceBlocked");
    assert!(
        message.contains("pdu2 plug 1") || message.contains("pdu2: it was told to switch off"),
        "{message}"
    );
}

#[test]
fn off_already_counts_even_when_the_device_refuses_to_switch_it_off_again() {
    let mut world = boards_and_outlets();
    world.mood("bmc1", Mood::RefusesTwice);
    world
        .devices
        .get_mut("bmc1")
        .expect("there")
        .set_off("", true);
    let operation = world.fence("node1");
    world.pass(5 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn a_device_that_switches_and_loses_its_answer_is_asked_and_believed() {
    let mut world = boards_and_outlets();
    world.mood(
        "bmc1",
        Mood::InTurn(vec![Mood::LosesAnswers, Mood::LosesAnswers, Mood::Works]),
    );
    let operation = world.fence("node1");
    world.pass(5 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
    assert_eq!(
        world
            .status(&operation)
            .evidence
            .expect("evidence")
            .level
            .as_deref(),
        Some("ipmi")
    );
}

#[test]
fn an_outlet_that_is_slow_to_go_off_is_waited_for() {
    let mut world = boards_and_outlets();
    world.change("fencedevices", "bmc1", "/spec/powerWait", json!("4s"));
    world.devices.get_mut("bmc1").expect("there").lag = 3 * SECOND;
    world.pass(SECOND);
    let operation = world.fence("node1");
    world.pass(3 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Running));
    world.pass(2 * SECOND);
    assert_eq!(
        world
            .status(&operation)
            .evidence
            .expect("evidence")
            .level
            .as_deref(),
        Some("ipmi")
    );
}

#[test]
fn levels_are_tried_for_ever_at_growing_distance_and_say_so() {
    let mut world = boards_and_outlets();
    for device in ["bmc1", "pdu1", "pdu2"] {
        world.mood(device, Mood::Refuses("login denied"));
    }
    world.change(
        "clusters",
        "cluster",
        "/spec/fencing",
        json!({"retryInitial": "5s", "retryMax": "30s"}),
    );
    let operation = world.fence("node1");
    world.pass(300 * SECOND);

    let rounds: Vec<u64> = world
        .asked
        .iter()
        .filter(|asked| asked.shown() == "off bmc1")
        .map(|asked| asked.at.as_secs())
        .collect();
    // Every device is asked twice; then 5, 10, 20 and from then on 30 seconds pass.
    let begun: Vec<u64> = rounds.chunks(2).map(|twice| twice[0]).collect();
    for (pair, wait) in begun.windows(2).zip([5, 10, 20, 30, 30, 30]) {
        assert!((wait..wait + 3).contains(&(pair[1] - pair[0])), "{begun:?}");
    }
    let status = world.status(&operation);
    assert_eq!(status.phase, Some(FencePhase::Blocked));
    assert!(status.attempts >= Some(14), "{:?}", status.attempts);
    let (_, _, message) = world
        .condition("fenceoperations", &operation, "Complete")
        .expect("said");
    assert!(
        message.contains("login denied") && message.contains("confirm-fenced"),
        "{message}"
    );
    let blocked = world
        .told
        .iter()
        .filter(|(reason, _)| reason == "FenceBlocked")
        .count();
    assert_eq!(blocked, 1, "people are told once");

    world.mood("pdu1", Mood::Works);
    world.mood("pdu2", Mood::Works);
    world.pass(40 * SECOND);
    let status = world.status(&operation);
    assert_eq!(status.phase, Some(FencePhase::Succeeded));
    assert_eq!(
        status.evidence.expect("evidence").level.as_deref(),
        Some("power")
    );
    let (blocked, ..) = world
        .condition("fenceoperations", &operation, "Blocked")
        .expect("said");
    assert_eq!(blocked, "False");
}

#[test]
fn a_host_without_levels_says_what_to_do_and_goes_on_when_it_gets_one() {
    let mut world = World::new();
    world.device("bmc1");
    world.host("node1", &[]);
    let operation = world.fence("node1");
    world.pass(SECOND);
    let (_, reason, message) = world
        .condition("fenceoperations", &operation, "Complete")
        .expect("said");
    assert_eq!(reason, "CannotFence");
    assert!(message.contains("confirm-fenced"), "{message}");

    world.change(
        "nodes",
        "node1",
        "/spec/fencing/levels",
        json!([{"name": "ipmi", "devices": [{"device": "bmc1"}]}]),
    );
    world.pass(30 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn a_device_that_is_missing_fails_its_level_and_is_named() {
    let mut world = World::new();
    world.host("node1", &[("ipmi", &["bmc9"])]);
    let operation = world.fence("node1");
    world.pass(SECOND);
    let (_, _, message) = world
        .condition("fenceoperations", &operation, "Complete")
        .expect("said");
    assert!(
        message.contains("bmc9") && message.contains("apply it"),
        "{message}"
    );
}

#[test]
fn a_person_as_a_level_is_waited_for_and_the_devices_are_tried_meanwhile() {
    let mut world = World::new();
    world.device("bmc1");
    world.mood("bmc1", Mood::Silent);
    world.put(
        "fencedevices",
        "operator",
        json!({"spec": {"type": "Manual"}}),
    );
    world.host("node1", &[("ipmi", &["bmc1"]), ("person", &["operator"])]);
    let operation = world.fence("node1");
    world.pass(60 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));

    let confirmed = world.operation(
        "node1",
        json!({
            "action": "Confirm",
            "incarnation": 7,
            "confirmation": {"by": "ada", "statement": "unplugged both cords"},
        }),
    );
    world.pass(SECOND);
    let evidence = world.status(&confirmed).evidence.expect("evidence");
    assert_eq!(evidence.kind, EvidenceKind::Person);
    assert_eq!(evidence.confirmed_by.as_deref(), Some("ada"));
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
    let before = world.switched().len();
    world.pass(300 * SECOND);
    assert_eq!(
        world.switched().len(),
        before,
        "what a person has unplugged nobody switches on"
    );
}

#[test]
fn a_planned_fence_waits_for_the_head_start_and_a_persons_does_not() {
    let mut world = boards_and_outlets();
    world.change("nodes", "node1", "/spec/fencing/delay", json!("15s"));
    let operation = world.fence("node1");
    world.pass(14 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Pending));
    assert!(world.switched().is_empty());
    world.pass(3 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));

    let mut world = boards_and_outlets();
    world.change("nodes", "node1", "/spec/fencing/delay", json!("15s"));
    let operation = world.operation(
        "node1",
        json!({"action": "PowerOff", "incarnation": 7, "requestedBy": "ada"}),
    );
    world.pass(SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn two_hosts_on_one_outlet_strip_are_made_safe_one_after_the_other() {
    let mut world = World::new();
    world.device("pdu1");
    world.host("node1", &[("power", &["pdu1/1"])]);
    world.host("node2", &[("power", &["pdu1/2"])]);
    world.pass(SECOND);
    world.asked.clear();
    let first = world.fence("node1");
    let second = world.fence("node2");
    world.pass(5 * SECOND);
    assert_eq!(world.phase(&first), Some(FencePhase::Succeeded));
    assert_eq!(world.phase(&second), Some(FencePhase::Succeeded));
    // An order to switch on is taken back for a fence, and is no second question.
    let fences: Vec<_> = world
        .asked
        .iter()
        .filter(|asked| asked.action != Action::On)
        .collect();
    for pair in fences.windows(2) {
        assert!(
            pair[1].at > pair[0].at,
            "the strip answers one question at a time: {pair:?}"
        );
    }
}
