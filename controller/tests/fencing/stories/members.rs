//! Who runs an agent: a member that reaches the device and is not the victim.

use std::time::Duration;

use quorate_crds::FencePhase;
use serde_json::json;

use crate::world::{Mood, World};

const SECOND: Duration = Duration::from_secs(1);

fn board() -> World {
    let mut world = World::new();
    world.device("bmc1");
    world.host("node1", &[("ipmi", &["bmc1"])]);
    world
}

fn members_asked(world: &World) -> Vec<&str> {
    let mut members: Vec<_> = world
        .asked
        .iter()
        .filter(|asked| asked.shown() != "status bmc1")
        .map(|asked| asked.member.as_str())
        .collect();
    members.dedup();
    members
}

#[test]
fn the_leader_runs_the_agent_itself_when_it_may() {
    let mut world = board();
    world.fence("node1");
    world.pass(5 * SECOND);
    assert_eq!(members_asked(&world), ["alpha"]);
}

#[test]
fn a_host_never_runs_an_agent_against_itself() {
    let mut world = board();
    // The member alpha, which leads, is the machine node1.
    world.change(
        "clusters",
        "cluster",
        "/spec/members",
        json!([
            {"name": "alpha", "node": "node1"}, {"name": "beta"}, {"name": "gamma"},
        ]),
    );
    world.mood("bmc1", Mood::Refuses("no"));
    let operation = world.fence("node1");
    world.pass(120 * SECOND);
    let asked = members_asked(&world);
    assert!(
        asked.contains(&"beta") && asked.contains(&"gamma"),
        "{asked:?}"
    );
    assert!(!asked.contains(&"alpha"), "{asked:?}");
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
}

#[test]
fn a_host_that_is_alone_does_not_shoot_itself_and_says_why() {
    let mut world = board();
    world.set_members(&["node1"]);
    let operation = world.fence("node1");
    world.pass(5 * SECOND);
    assert!(world.switched().is_empty());
    let (_, _, message) = world
        .condition("fenceoperations", &operation, "Complete")
        .expect("said");
    assert!(
        message.contains("a host's own member never runs an agent against it"),
        "{message}"
    );
}

#[test]
fn only_the_members_that_a_device_names_are_asked() {
    let mut world = board();
    world.change("fencedevices", "bmc1", "/spec/runOn", json!(["gamma"]));
    world.fence("node1");
    world.pass(5 * SECOND);
    assert_eq!(members_asked(&world), ["gamma"]);
}

#[test]
fn when_one_member_does_not_reach_the_device_another_is_asked() {
    let mut world = board();
    world.devices.get_mut("bmc1").expect("there").reachable_from = Some(vec!["gamma"]);
    world.change("fencedevices", "bmc1", "/spec/retries", json!(2));
    let operation = world.fence("node1");
    world.pass(300 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn the_member_from_which_a_device_has_answered_is_asked_first() {
    let mut world = board();
    world.devices.get_mut("bmc1").expect("there").reachable_from = Some(vec!["gamma"]);
    world.pass(300 * SECOND);
    assert_eq!(
        world
            .fence_device("bmc1")
            .status
            .expect("status")
            .reachable_from[0]
            .as_str(),
        "gamma"
    );
    world.asked.clear();
    let operation = world.fence("node1");
    world.pass(2 * SECOND);
    assert_eq!(members_asked(&world), ["gamma"]);
    assert_eq!(
        world.phase(&operation),
        Some(FencePhase::Succeeded),
        "without a time-out"
    );
}

#[test]
fn a_member_that_is_away_is_passed_over_and_one_that_is_not_heard_comes_last() {
    let mut world = board();
    world.set_members(&["beta", "gamma", "delta"]);
    world.set_reachable("beta", false);
    world.mood("bmc1", Mood::MemberAway("gamma"));
    world.change("fencedevices", "bmc1", "/spec/retries", json!(0));
    let operation = world.fence("node1");
    world.pass(5 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
    assert_eq!(members_asked(&world)[..2], ["gamma", "delta"]);
}
