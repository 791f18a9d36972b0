//! The Rust types and the schemas say the same: a program that reads an object through its type sees
//! what the API stored.

#[path = "support/examples.rs"]
mod support;

use quorate_crds::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use support::{folders, objects};

/// The object as the type `K` writes it after it has read it.
fn through<K: DeserializeOwned + Serialize>(place: &str, object: &Value) -> Value {
    let typed: K =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
    serde_json::to_value(typed).expect("every type can be written")
}

fn through_its_type(place: &str, kind: &str, object: &Value) -> Value {
    match kind {
        "Cluster" => through::<Cluster>(place, object),
        "Node" => through::<Node>(place, object),
        "FenceDevice" => through::<FenceDevice>(place, object),
        "FenceOperation" => through::<FenceOperation>(place, object),
        "Network" => through::<Network>(place, object),
        "StoragePool" => through::<StoragePool>(place, object),
        "Volume" => through::<Volume>(place, object),
        "VolumeSnapshot" => through::<VolumeSnapshot>(place, object),
        "SharedFilesystem" => through::<SharedFilesystem>(place, object),
        "FailoverDomain" => through::<FailoverDomain>(place, object),
        "VirtualMachine" => through::<VirtualMachine>(place, object),
        "VirtualMachineMigration" => through::<VirtualMachineMigration>(place, object),
        "Secret" => through::<Secret>(place, object),
        "Event" => through::<Event>(place, object),
        "Role" => through::<Role>(place, object),
        "RoleBinding" => through::<RoleBinding>(place, object),
        "NodePlan" => through::<NodePlan>(place, object),
        other => panic!("{place}: no type for {other}"),
    }
}

#[test]
fn a_type_reads_a_manifest_with_the_defaults_that_its_schema_would_have_put_in() {
    for folder in folders() {
        for (place, info, written) in objects(&folder) {
            let mut stored = written.clone();
            info.schema.apply_defaults(&mut stored);
            let mut typed = through_its_type(&place, info.kind, &written);
            // What the type leaves out because it is its default, the schema puts in again.
            info.schema.apply_defaults(&mut typed);
            assert_eq!(typed, stored, "{place}");
        }
    }
}

#[test]
fn a_type_loses_nothing_of_a_stored_object() {
    for folder in folders() {
        for (place, info, mut stored) in objects(&folder) {
            info.schema.apply_defaults(&mut stored);
            assert_eq!(
                through_its_type(&place, info.kind, &stored),
                stored,
                "{place}"
            );
        }
    }
}

#[test]
fn the_kinds_without_examples_are_read_through_their_types_too() {
    let event = json!({
        "apiVersion": API_VERSION,
        "kind": "Event",
        "metadata": {"name": "web.1"},
        "spec": {
            "regarding": {"kind": "VirtualMachine", "name": "web"},
            "reason": "Started",
            "note": "started on alpha",
            "type": "Normal",
            "count": 1,
            "firstTimestamp": "2026-03-01T12:00:00Z",
            "lastTimestamp": "2026-03-01T12:00:00Z",
            "reportingController": "quorated",
        },
    });
    let plan = json!({
        "apiVersion": API_VERSION,
        "kind": "NodePlan",
        "metadata": {"name": "alpha.volume.data"},
        "spec": {
            "node": "alpha", "incarnation": 7, "term": 3, "planGeneration": 41,
            "assignment": {
                "object": {"kind": "Volume", "name": "data"},
                "epoch": 2,
                "active": true,
                "replica": {
                    "minor": 1, "port": 7788, "nodeId": 0, "backingDevice": "/dev/vg/data",
                    "size": "10Gi", "role": "Primary", "allowTwoPrimaries": false,
                    "peers": [{"node": "beta", "nodeId": 1, "addresses": ["10.10.0.2"]}],
                },
            },
        },
    });
    for object in [event, plan] {
        let kind = object["kind"].as_str().expect("a kind");
        let info = find(kind).expect("a known kind");
        let violations = info.schema.validate(&object, None);
        assert!(violations.is_empty(), "{kind}: {violations:?}");
        assert!(info.schema.unknown_fields(&object).is_empty(), "{kind}");
        assert_eq!(through_its_type(kind, kind, &object), object);
    }
}
