//! What another leader has half done counts for nothing, and what is stored counts.

use std::time::Duration;

use quorate_crds::FencePhase;
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
        &[("power", &["pdu1/1", "pdu2/1"]), ("ipmi", &["bmc1"])],
    );
    world.pass(SECOND);
    world.asked.clear();
    world
}

#[test]
fn a_new_leader_begins_with_the_first_level_again_at_every_moment_of_a_fence() {
    for tenths in 0..30 {
        let mut world = outlets();
        world.mood(
            "pdu2",
            Mood::InTurn(vec![Mood::Refuses("busy"), Mood::Works]),
        );
        let operation = world.fence("node1");
        world.pass(Duration::from_millis(100 * tenths));
        let before = world.phase(&operation);
        world.elect("beta");
        let from = world.asked.len();
        world.pass(30 * SECOND);
        assert_eq!(
            world.phase(&operation),
            Some(FencePhase::Succeeded),
            "after {tenths} tenths"
        );
        let later: Vec<_> = world.asked[from..]
            .iter()
            .filter(|asked| asked.shown().starts_with("off"))
            .collect();
        if before == Some(FencePhase::Succeeded) {
            assert!(
                later.is_empty(),
                "what is committed is not done again: {later:?}"
            );
        } else {
            let plugs: Vec<_> = later.iter().take(2).map(|asked| asked.shown()).collect();
            assert_eq!(plugs, ["off pdu1/1", "off pdu2/1"], "after {tenths} tenths");
        }
        for device in ["pdu1", "pdu2"] {
            assert!(
                !world.devices[device].is_off("1"),
                "power has returned; after {tenths} tenths"
            );
        }
    }
}

#[test]
fn power_that_has_returned_does_not_return_twice() {
    let mut world = outlets();
    let operation = world.fence("node1");
    world.pass(10 * SECOND);
    assert!(world.status(&operation).powered_on_at.is_some());
    let before = world.switched().len();
    world.elect("beta");
    world.pass(120 * SECOND);
    assert_eq!(world.switched().len(), before);
}

#[test]
fn a_blocked_fence_stays_visible_under_the_next_leader() {
    let mut world = outlets();
    for device in ["bmc1", "pdu1", "pdu2"] {
        world.mood(device, Mood::Silent);
    }
    let operation = world.fence("node1");
    world.pass(200 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
    world.elect("beta");
    world.pass(SECOND);
    assert_eq!(
        world.phase(&operation),
        Some(FencePhase::Blocked),
        "until a level succeeds"
    );
    world.mood("bmc1", Mood::Works);
    world.pass(300 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn the_head_start_is_counted_anew_by_a_new_leader() {
    let mut world = outlets();
    world.change("nodes", "node1", "/spec/fencing/delay", json!("15s"));
    let operation = world.fence("node1");
    world.pass(10 * SECOND);
    world.elect("beta");
    world.pass(10 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Pending));
    world.pass(10 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn an_operation_that_is_deleted_is_not_gone_on_with() {
    let mut world = outlets();
    world.mood("pdu1", Mood::Silent);
    let operation = world.fence("node1");
    world.pass(SECOND);
    world.delete("fenceoperations", &operation);
    world.asked.clear();
    world.pass(300 * SECOND);
    assert!(world.switched().is_empty(), "{:?}", world.switched());
}

#[test]
fn what_a_former_leader_may_have_switched_off_has_power_again_in_the_end() {
    let mut world = outlets();
    world.mood("pdu1", Mood::Silent);
    world.change("nodes", "node1", "/spec/fencing/levels", json!([
        {"name": "ipmi", "devices": [{"device": "bmc1"}]},
        {"name": "power", "devices": [{"device": "pdu2", "plug": "1"}, {"device": "pdu1", "plug": "1"}]},
    ]));
    world.mood("bmc1", Mood::Refuses("busy"));
    let operation = world.fence("node1");
    world.pass_until(10 * SECOND, "the outlet off", |world| {
        world.devices["pdu2"].is_off("1")
    });
    world.elect("beta");
    world.mood("bmc1", Mood::Works);
    world.mood("pdu1", Mood::Works);
    world.pass(60 * SECOND);
    assert_eq!(
        world
            .status(&operation)
            .evidence
            .expect("evidence")
            .level
            .as_deref(),
        Some("ipmi")
    );
    assert!(!world.devices["pdu2"].is_off("1"));
}
