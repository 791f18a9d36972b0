//! Ownership through creating, replacing and patching, one story per rule of Kubernetes.
//!
//! Each names the rule's place: a section of the documentation page "Server-Side Apply", or a test
//! of the upstream implementation (structured-merge-diff, or fieldmanager in apimachinery).

use crate::cluster::{Cluster, object};
use serde_json::{Value, json};

/// "Field management": who creates an object owns all of it, containers included.
#[test]
fn the_creator_owns_everything() {
    let mut cluster = Cluster::new();
    cluster.update("curl", |new| {
        *new = object(json!({"memory": "2Gi", "disks": [{"name": "root"}]}))
    });
    assert_eq!(
        cluster.entries(),
        [json!({
            "manager": "curl", "operation": "Update", "apiVersion": crate::cluster::VERSION,
            "time": "2030-01-01T00:00:01Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {".": {}, "f:memory": {}, "f:disks": {".": {}, "k:{\"name\":\"root\"}": {".": {}, "f:name": {}}}}},
        })]
    );
}

/// "Field management": "if a field's value is changed by an update, ownership moves".
#[test]
fn who_changes_a_field_owns_it_alone() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"memory": "2Gi", "cpus": 1}));
    cluster.update("bob", |object| object["spec"]["memory"] = json!("4Gi"));
    assert_eq!(cluster.owned("bob"), json!({"f:spec": {"f:memory": {}}}));
    assert_eq!(cluster.owned("alice"), json!({"f:spec": {"f:cpus": {}}}));
}

/// `TestUpdateNoOp` of structured-merge-diff: sending the same back owns nothing and changes nothing,
/// also when the client leaves managed fields out.
#[test]
fn an_update_without_a_change_changes_nothing() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"memory": "2Gi"}));
    let before = cluster.object().to_string();
    cluster.update("bob", |object| {
        object["metadata"]
            .as_object_mut()
            .expect("metadata")
            .remove("managedFields");
    });
    assert!(!cluster.changed);
    assert_eq!(cluster.object().to_string(), before);
}

/// `TestUpdateRemovesField`: what is removed is nobody's, and an entry without fields goes.
#[test]
fn what_an_update_removes_is_nobodys() {
    let mut cluster = Cluster::new();
    cluster
        .apply("alice", json!({"memory": "2Gi"}))
        .apply("bob", json!({"memory": "2Gi", "cpus": 1}));
    cluster.update("carol", |object| {
        object["spec"]
            .as_object_mut()
            .expect("spec")
            .remove("memory");
    });
    assert_eq!(cluster.owned("alice"), Value::Null);
    assert_eq!(cluster.owned("bob"), json!({"f:spec": {"f:cpus": {}}}));
    assert_eq!(cluster.owned("carol"), Value::Null);
}

/// `TestUpdateListItems`: items are owned one by one in updates too.
#[test]
fn a_changed_item_is_owned_by_its_changed_field() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "alice",
        json!({"disks": [{"name": "root", "size": "1Gi"}], "tags": ["a"]}),
    );
    cluster.update("bob", |object| {
        object["spec"]["disks"] = json!([{"name": "new"}, {"name": "root", "size": "2Gi"}]);
        object["spec"]["tags"] = json!(["b", "a"]);
    });
    assert_eq!(
        cluster.owned("bob"),
        json!({"f:spec": {
        "f:disks": {"k:{\"name\":\"new\"}": {".": {}, "f:name": {}}, "k:{\"name\":\"root\"}": {"f:size": {}}},
        "f:tags": {"v:\"b\"": {}}}})
    );
    assert_eq!(
        cluster.owned("alice"),
        json!({"f:spec": {
        "f:disks": {"k:{\"name\":\"root\"}": {".": {}, "f:name": {}}}, "f:tags": {"v:\"a\"": {}}}})
    );
}

/// "Subresources" of custom resources: through the main resource the status cannot be changed,
/// through `status` nothing else can.
#[test]
fn spec_and_status_are_updated_apart() {
    let mut cluster = Cluster::new();
    cluster.update("curl", |new| {
        *new = object(json!({"cpus": 1}));
        new["status"] = json!({"phase": "Running"});
    });
    assert_eq!(cluster.object().get("status"), None);
    cluster.update_through("daemon", Some("status"), |object| {
        object["status"] = json!({"phase": "Running"});
        object["spec"]["cpus"] = json!(9);
        object["metadata"]["labels"] = json!({"a": "b"});
    });
    assert_eq!(cluster.spec(), &json!({"cpus": 1}));
    assert_eq!(cluster.object()["status"], json!({"phase": "Running"}));
    let entry = cluster.entry("daemon").expect("the daemon owns its status");
    assert_eq!(entry["subresource"], "status");
    assert_eq!(
        entry["fieldsV1"],
        json!({"f:status": {".": {}, "f:phase": {}}})
    );
    cluster.update("curl", |object| object["status"] = json!({"phase": "Lost"}));
    assert!(!cluster.changed);
}

/// `buildManagerIdentifier` of fieldmanager: updates are told apart by manager, version and
/// subresource.
#[test]
fn one_manager_has_an_entry_for_each_way_it_writes() {
    let mut cluster = Cluster::new();
    cluster.apply("x", json!({"cpus": 1}));
    cluster.update("x", |object| object["spec"]["memory"] = json!("1Gi"));
    cluster.update_through("x", Some("status"), |object| {
        object["status"] = json!({"phase": "Running"})
    });
    let ways: Vec<(&Value, &Value)> = cluster
        .entries()
        .iter()
        .map(|entry| (&entry["operation"], &entry["subresource"]))
        .collect();
    assert_eq!(
        ways,
        [
            (&json!("Apply"), &Value::Null),
            (&json!("Update"), &Value::Null),
            (&json!("Update"), &json!("status"))
        ]
    );
}

/// "Clearing managedFields": one empty entry clears them; an empty list does not, "so managedFields
/// never get stripped by clients not aware of the field".
#[test]
fn one_empty_entry_clears_managed_fields_and_an_empty_list_does_not() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"cpus": 1}));
    cluster.update("bob", |object| {
        object["metadata"]["managedFields"] = json!([])
    });
    assert_eq!(cluster.entries().len(), 1);
    cluster.update("bob", |object| {
        object["metadata"]["managedFields"] = json!([{}])
    });
    assert!(cluster.changed);
    assert_eq!(cluster.object()["metadata"].get("managedFields"), None);
}

/// "Transferring ownership between managers": managed fields that a client sends back changed count.
#[test]
fn a_client_may_hand_ownership_over_by_editing_managed_fields() {
    let mut cluster = Cluster::new();
    cluster.update("kubectl-client", |new| *new = object(json!({"cpus": 1})));
    cluster.update("migration", |object| {
        let entry = &mut object["metadata"]["managedFields"][0];
        entry["manager"] = json!("kubectl");
        entry["operation"] = json!("Apply");
    });
    assert_eq!(cluster.entries().len(), 1);
    cluster.apply("kubectl", json!({}));
    assert_eq!(cluster.spec(), &json!({}));
}

/// Managed fields that cannot be read are ignored and the live ones kept.
#[test]
fn managed_fields_that_make_no_sense_change_nothing() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"cpus": 1}));
    for wrong in [
        json!(7),
        json!([7]),
        json!([{"manager": "x"}]),
        json!([{"operation": "Apply", "fieldsV1": {"x": {}}}]),
    ] {
        cluster.update("bob", |object| object["metadata"]["managedFields"] = wrong);
        assert!(!cluster.changed);
    }
}

/// `TestCapManagersManagerMergesEntries`: beyond ten updaters the oldest are put together.
#[test]
fn the_oldest_updaters_become_one_when_there_are_too_many() {
    let mut cluster = Cluster::new();
    cluster.apply("applier", json!({"cpus": 1}));
    for number in 0..15 {
        let name = format!("updater-{number:02}");
        cluster.update(&name, |object| {
            object["spec"]["params"][name.as_str()] = json!("x")
        });
    }
    let updaters: Vec<&str> = cluster
        .entries()
        .iter()
        .filter(|entry| entry["operation"] == "Update")
        .filter_map(|entry| entry["manager"].as_str())
        .collect();
    assert_eq!(updaters.len(), 10);
    assert_eq!(updaters[0], "ancient-changes");
    assert_eq!(updaters[9], "updater-14");
    let ancient = cluster.owned("ancient-changes");
    assert_eq!(ancient["f:spec"]["f:params"]["f:updater-05"], json!({}));
    assert_eq!(cluster.owned("applier"), json!({"f:spec": {"f:cpus": {}}}));
}

/// What was put together is still owned: an apply conflicts with it.
#[test]
fn fields_of_forgotten_updaters_still_conflict() {
    let mut cluster = Cluster::new();
    for number in 0..15 {
        let name = format!("updater-{number:02}");
        cluster.update(&name, |object| {
            object["spec"]["params"][name.as_str()] = json!("x")
        });
    }
    let conflicts = cluster.conflicts("kubectl", json!({"params": {"updater-00": "y"}}));
    assert_eq!(conflicts[0].manager, "ancient-changes");
}
