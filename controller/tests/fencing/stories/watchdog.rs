//! When a host's own watchdog is evidence, and when it is not.

use std::time::Duration;

use quorate_crds::{EvidenceKind, FencePhase};
use serde_json::{Value, json};

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);
/// A lease of 10 s and a watchdog of 30 s, with what is added for clocks that drift and for the reset itself.
const SURELY: Duration = Duration::from_millis(41_800);

fn armed() -> Value {
    json!({"armed": true, "leaseBound": true, "hardware": true, "timeout": "30s"})
}

fn watched() -> World {
    let mut world = World::new();
    world.put(
        "fencedevices",
        "self",
        json!({"spec": {"type": "Watchdog"}}),
    );
    world.host("node1", &[("self", &["self"])]);
    world.change("nodes", "node1", "/status/watchdog", armed());
    world.granted_now("node1");
    world
}

fn complaint(world: &World, operation: &str) -> String {
    world
        .condition("fenceoperations", operation, "Complete")
        .expect("said")
        .2
}

#[test]
fn it_is_believed_only_when_its_time_has_surely_passed() {
    let mut world = watched();
    world.pass(5 * SECOND);
    let operation = world.fence("node1");
    world.pass(SURELY - 6 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Running));
    world.pass(2 * SECOND);
    let evidence = world.status(&operation).evidence.expect("evidence");
    assert_eq!(evidence.kind, EvidenceKind::Watchdog);
    assert!(evidence.watchdog_expired_at.is_some());
}

#[test]
fn a_lease_that_was_granted_meanwhile_is_counted() {
    let mut world = watched();
    let operation = world.fence("node1");
    world.pass(20 * SECOND);
    world.granted_now("node1");
    world.pass(SURELY - SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Running));
    world.pass(2 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn a_new_leader_assumes_that_a_lease_was_granted_until_its_election() {
    let mut world = watched();
    let operation = world.fence("node1");
    world.pass(40 * SECOND);
    world.elect("beta");
    world.granted_now("node1");
    world.pass(SURELY - SECOND);
    assert_ne!(world.phase(&operation), Some(FencePhase::Succeeded));
    world.pass(2 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn it_proves_nothing_when_it_cannot_have_fired() {
    for (found, why) in [
        (json!({}), "was not armed"),
        (
            json!({"armed": true, "hardware": true, "timeout": "30s"}),
            "without regard to the lease",
        ),
        (
            json!({"armed": true, "leaseBound": true, "timeout": "30s"}),
            "softdogIsEvidence",
        ),
        (Value::Null, "never reported a watchdog"),
    ] {
        let mut world = watched();
        world.change("nodes", "node1", "/status/watchdog", found);
        let operation = world.fence("node1");
        world.pass(300 * SECOND);
        assert_eq!(world.phase(&operation), Some(FencePhase::Blocked), "{why}");
        let message = complaint(&world, &operation);
        assert!(message.contains(why), "{why}: {message}");
    }
}

#[test]
fn a_software_watchdog_counts_when_the_manifest_says_so_by_name() {
    let mut world = watched();
    world.change(
        "nodes",
        "node1",
        "/status/watchdog",
        json!({"armed": true, "leaseBound": true, "timeout": "30s"}),
    );
    world.change(
        "nodes",
        "node1",
        "/spec/watchdog",
        json!({"softdogIsEvidence": true}),
    );
    let operation = world.fence("node1");
    world.pass(60 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn it_certifies_no_even_split() {
    let mut world = watched();
    world.set_members(&["node1", "beta"]);
    let operation = world.fence("node1");
    world.pass(300 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Blocked));
    let message = complaint(&world, &operation);
    assert!(message.contains("2 voters are an even number"), "{message}");

    world.set_members(&["node1", "beta", "witness"]);
    world.pass(300 * SECOND);
    assert_eq!(world.phase(&operation), Some(FencePhase::Succeeded));
}

#[test]
fn what_it_means_to_have_nothing_else_is_said() {
    let mut world = watched();
    world.pass(SECOND);
    let ready = world
        .condition("nodes", "node1", "FencingReady")
        .expect("said");
    assert_eq!(ready.0, "True");
    assert!(ready.2.contains("only its own watchdog"), "{}", ready.2);
}

#[test]
fn beside_an_outlet_both_must_agree() {
    let mut world = watched();
    world.device("pdu1");
    world.host("node1", &[("both", &["self", "pdu1/1"])]);
    world.change("nodes", "node1", "/status/watchdog", armed());
    let operation = world.fence("node1");
    world.pass(20 * SECOND);
    assert_eq!(
        world.phase(&operation),
        Some(FencePhase::Running),
        "the outlet is off, the watchdog's time has not passed"
    );
    world.pass(30 * SECOND);
    let evidence = world.status(&operation).evidence.expect("evidence");
    assert_eq!(evidence.kind, EvidenceKind::Devices);
    assert!(evidence.watchdog_expired_at.is_some());
}
