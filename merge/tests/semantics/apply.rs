//! Server-side apply, one story per rule of Kubernetes.
//!
//! Each names the rule's place: a section of the documentation page "Server-Side Apply", or a test
//! of the upstream implementation (structured-merge-diff, or fieldmanager in apimachinery).

use crate::cluster::{Cluster, object};
use quorate_merge::{ApplyError, Operation};
use serde_json::{Value, json};

/// "Field management": applying a new object owns the fields of the configuration, and neither
/// `apiVersion`, `kind` nor the name.
#[test]
fn the_applier_owns_what_its_configuration_sets() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "kubectl",
        json!({"memory": "2Gi", "firmware": {"kind": "uefi"}}),
    );
    assert_eq!(
        cluster.spec(),
        &json!({"memory": "2Gi", "firmware": {"kind": "uefi"}})
    );
    assert_eq!(
        cluster.entries(),
        [json!({
            "manager": "kubectl", "operation": "Apply", "apiVersion": crate::cluster::VERSION,
            "time": "2030-01-01T00:00:01Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:memory": {}, "f:firmware": {"f:kind": {}}}},
        })]
    );
}

/// `TestNoOpChanges` of fieldmanager: an apply without a change leaves the object as it is, byte for
/// byte, times included.
#[test]
fn applying_the_same_again_changes_nothing() {
    let mut cluster = Cluster::new();
    let spec = json!({"memory": "2Gi", "tags": ["a"], "disks": [{"name": "root", "size": "1Gi"}]});
    cluster.apply("kubectl", spec.clone());
    let before = cluster.object().to_string();
    cluster.apply("kubectl", spec);
    assert!(!cluster.changed);
    assert_eq!(cluster.object().to_string(), before);
}

/// "Defaulting" happens after the merge: a default is nobody's, and applying again changes nothing.
#[test]
fn defaults_that_the_server_fills_in_are_nobodys() {
    let mut cluster = Cluster::new();
    let spec = json!({"ports": [{"port": 53}]});
    cluster.apply("kubectl", spec.clone());
    let schema = cluster.schema.clone();
    schema.apply_defaults(cluster.live.as_mut().expect("the object is there"));
    assert_eq!(
        cluster.spec(),
        &json!({"ports": [{"port": 53, "protocol": "tcp"}]})
    );
    cluster.apply("kubectl", spec);
    assert!(!cluster.changed);
    cluster.apply("kubectl", json!({}));
    assert_eq!(cluster.spec(), &json!({}));
}

/// "Conflicts": a field that somebody else owns with another value is not changed, and the conflict
/// names the field and the manager.
#[test]
fn another_value_of_a_field_of_somebody_else_is_a_conflict() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "alice",
        json!({"memory": "2Gi", "disks": [{"name": "root", "size": "1Gi"}]}),
    );
    let conflicts = cluster.conflicts(
        "bob",
        json!({"memory": "4Gi", "disks": [{"name": "root", "size": "2Gi"}]}),
    );
    let told: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            ".spec.disks[name=\"root\"].size: owned by \"alice\" (Apply)",
            ".spec.memory: owned by \"alice\" (Apply)",
        ]
    );
    assert!(
        ApplyError::Conflicts(conflicts)
            .to_string()
            .contains("apply with force")
    );
}

/// "Conflicts": fields set by an update conflict like those set by an apply.
#[test]
fn a_field_that_somebody_updated_is_a_conflict_too() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"cpus": 1}));
    cluster.update("controller", |object| object["spec"]["cpus"] = json!(2));
    let conflicts = cluster.conflicts("alice", json!({"cpus": 1}));
    assert_eq!(
        (conflicts[0].manager.as_str(), conflicts[0].operation),
        ("controller", Operation::Update)
    );
}

/// "Using Server-Side Apply in a controller", "Overwrite value, become sole manager".
#[test]
fn force_takes_the_field_over() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"memory": "2Gi", "cpus": 1}));
    cluster.force("bob", json!({"memory": "4Gi"}));
    assert_eq!(cluster.spec(), &json!({"memory": "4Gi", "cpus": 1}));
    assert_eq!(cluster.owned("bob"), json!({"f:spec": {"f:memory": {}}}));
    assert_eq!(cluster.owned("alice"), json!({"f:spec": {"f:cpus": {}}}));
}

/// "Don't overwrite value, give up management claim": leaving the field out keeps it.
#[test]
fn a_field_left_out_and_owned_by_somebody_else_stays() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"memory": "2Gi", "cpus": 1}));
    cluster.apply("bob", json!({"memory": "2Gi"}));
    cluster.apply("alice", json!({"cpus": 1}));
    assert_eq!(cluster.spec(), &json!({"memory": "2Gi", "cpus": 1}));
    assert_eq!(cluster.owned("alice"), json!({"f:spec": {"f:cpus": {}}}));
}

/// "Don't overwrite value, become shared manager": the same value is no conflict.
#[test]
fn the_same_value_is_shared_and_goes_when_its_last_owner_drops_it() {
    let mut cluster = Cluster::new();
    cluster
        .apply("alice", json!({"memory": "2Gi", "cpus": 1}))
        .apply("bob", json!({"memory": "2Gi"}));
    assert_eq!(cluster.owned("bob"), json!({"f:spec": {"f:memory": {}}}));
    let conflicts = cluster.conflicts("bob", json!({"memory": "8Gi"}));
    assert_eq!(conflicts[0].manager, "alice");
    cluster.apply("alice", json!({"cpus": 1}));
    assert_eq!(cluster.spec()["memory"], "2Gi");
    cluster.apply("bob", json!({}));
    assert_eq!(cluster.spec(), &json!({"cpus": 1}));
}

/// "Merge strategy": "if you remove a field from a manifest and apply it, Server-Side Apply checks
/// if there are any other field managers that also own the field. If the field is not owned by any
/// other field managers, it is either deleted from the live object or reset to its default value".
#[test]
fn a_field_dropped_from_the_configuration_goes() {
    let mut cluster = Cluster::new();
    cluster.apply("kubectl", json!({"memory": "2Gi", "firmware": {"kind": "uefi", "secure": true}, "params": {"a": "1", "b": "2"}}));
    cluster.apply(
        "kubectl",
        json!({"memory": "2Gi", "firmware": {"kind": "uefi"}, "params": {"b": "2"}}),
    );
    assert_eq!(
        cluster.spec(),
        &json!({"memory": "2Gi", "firmware": {"kind": "uefi"}, "params": {"b": "2"}})
    );
    cluster.apply("kubectl", json!({"memory": "2Gi"}));
    assert_eq!(cluster.spec(), &json!({"memory": "2Gi"}));
}

/// The same: what nobody applied (a default, a field of another writer) is not touched.
#[test]
fn what_was_never_applied_stays_unless_it_is_inside_what_goes() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "kubectl",
        json!({"firmware": {"kind": "uefi"}, "disks": [{"name": "root"}, {"name": "data"}]}),
    );
    cluster.update("controller", |object| {
        object["spec"]["firmware"]["secure"] = json!(true);
        object["spec"]["disks"][0]["cache"] = json!("none");
        object["spec"]["disks"][1]["cache"] = json!("none");
    });
    cluster.apply("kubectl", json!({"disks": [{"name": "root"}]}));
    assert_eq!(
        cluster.spec(),
        &json!({
            "firmware": {"secure": true},
            "disks": [{"name": "root", "cache": "none"}],
        })
    );
    assert_eq!(
        cluster.owned("controller"),
        json!({"f:spec": {
        "f:firmware": {"f:secure": {}}, "f:disks": {"k:{\"name\":\"root\"}": {"f:cache": {}}}}})
    );
}

/// "Merge strategy", `x-kubernetes-list-type: map`: items are merged by their keys.
#[test]
fn items_of_a_list_map_are_merged_by_key_and_owned_one_by_one() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"disks": [{"name": "root", "size": "1Gi"}]}));
    cluster.apply(
        "bob",
        json!({"disks": [{"name": "data", "size": "5Gi"}, {"name": "root", "cache": "none"}]}),
    );
    assert_eq!(
        cluster.spec()["disks"],
        json!([
            {"name": "data", "size": "5Gi"}, {"name": "root", "size": "1Gi", "cache": "none"},
        ])
    );
    assert_eq!(
        cluster.owned("bob"),
        json!({"f:spec": {"f:disks": {
        "k:{\"name\":\"data\"}": {".": {}, "f:name": {}, "f:size": {}},
        "k:{\"name\":\"root\"}": {".": {}, "f:name": {}, "f:cache": {}}}}})
    );
    cluster.apply("bob", json!({}));
    assert_eq!(
        cluster.spec()["disks"],
        json!([{"name": "root", "size": "1Gi"}])
    );
    cluster.apply("alice", json!({}));
    assert_eq!(cluster.spec(), &json!({}));
}

/// `TestMultipleAppliersNestedType` of structured-merge-diff: lists in items of lists.
#[test]
fn lists_inside_items_are_merged_likewise() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "alice",
        json!({"disks": [{"name": "root", "parts": [{"number": 1, "label": "boot"}]}]}),
    );
    cluster.apply(
        "bob",
        json!({"disks": [{"name": "root", "parts": [{"number": 2, "label": "home"}]}]}),
    );
    cluster.apply("alice", json!({"disks": [{"name": "root", "parts": []}]}));
    assert_eq!(
        cluster.spec()["disks"],
        json!([{"name": "root", "parts": [{"number": 2, "label": "home"}]}])
    );
    let conflicts = cluster.conflicts(
        "alice",
        json!({"disks": [{"name": "root", "parts": [{"number": 2, "label": "x"}]}]}),
    );
    assert_eq!(
        conflicts[0].path,
        ".spec.disks[name=\"root\"].parts[number=2].label"
    );
}

/// `TestAssociativeListWithDefaultedKeys` and "Merge strategy": an absent key counts with its default.
#[test]
fn several_keys_together_and_defaulted_keys_tell_items_apart() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"ports": [{"port": 53, "protocol": "tcp", "label": "a"}, {"port": 53, "protocol": "udp"}]}));
    cluster.apply("bob", json!({"ports": [{"port": 53, "label": "a"}]}));
    assert_eq!(cluster.spec()["ports"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        cluster.owned("bob"),
        json!({"f:spec": {"f:ports": {
        "k:{\"port\":53,\"protocol\":\"tcp\"}": {".": {}, "f:label": {}, "f:port": {}}}}})
    );
    let conflicts = cluster.conflicts("bob", json!({"ports": [{"port": 53, "label": "b"}]}));
    assert_eq!(
        conflicts[0].path,
        ".spec.ports[port=53,protocol=\"tcp\"].label"
    );
}

/// "Merge strategy", `x-kubernetes-list-type: set`: "Applied lists of scalars are merged".
#[test]
fn the_values_of_a_set_have_owners_of_their_own() {
    let mut cluster = Cluster::new();
    cluster
        .apply("alice", json!({"tags": ["a", "b"]}))
        .apply("bob", json!({"tags": ["b", "c"]}));
    assert_eq!(cluster.spec()["tags"], json!(["a", "b", "c"]));
    assert_eq!(
        cluster.owned("bob"),
        json!({"f:spec": {"f:tags": {"v:\"b\"": {}, "v:\"c\"": {}}}})
    );
    cluster.apply("alice", json!({"tags": ["a"]}));
    assert_eq!(cluster.spec()["tags"], json!(["a", "b", "c"]));
    cluster.apply("bob", json!({"tags": ["c"]}));
    assert_eq!(cluster.spec()["tags"], json!(["a", "c"]));
}

/// "Merge strategy", `x-kubernetes-list-type: atomic`: "replace entire list".
#[test]
fn an_atomic_list_is_replaced_as_a_whole() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"args": ["a", "b"]}));
    let conflicts = cluster.conflicts("bob", json!({"args": ["c"]}));
    assert_eq!(conflicts[0].path, ".spec.args");
    cluster.force("bob", json!({"args": ["c"]}));
    assert_eq!(cluster.spec()["args"], json!(["c"]));
    assert_eq!(cluster.owned("alice"), Value::Null);
}

/// "Merge strategy", `x-kubernetes-map-type: atomic`.
#[test]
fn an_atomic_object_is_replaced_as_a_whole() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"window": {"from": "1", "to": "2"}}));
    assert_eq!(cluster.owned("alice"), json!({"f:spec": {"f:window": {}}}));
    assert_eq!(
        cluster.conflicts("bob", json!({"window": {"from": "1"}}))[0].path,
        ".spec.window"
    );
    cluster.apply("alice", json!({"window": {"to": "3"}}));
    assert_eq!(cluster.spec()["window"], json!({"to": "3"}));
}

/// structured-merge-diff deduces the types of untyped content: objects by field, lists as a whole.
#[test]
fn content_without_a_schema_is_divided_by_fields() {
    let mut cluster = Cluster::new();
    cluster
        .apply("alice", json!({"free": {"a": {"x": 1}, "l": [1]}}))
        .apply("bob", json!({"free": {"a": {"y": 2}}}));
    assert_eq!(
        cluster.spec()["free"],
        json!({"a": {"x": 1, "y": 2}, "l": [1]})
    );
    assert_eq!(
        cluster.conflicts("bob", json!({"free": {"l": [2]}}))[0].path,
        ".spec.free.l"
    );
    cluster.apply("alice", json!({}));
    assert_eq!(cluster.spec()["free"], json!({"a": {"y": 2}}));
}

/// `TestMergeOrder` of structured-merge-diff: the configuration's order wins, what only the live
/// list has keeps its place as far as that allows.
#[test]
fn merged_lists_follow_the_order_of_the_configuration() {
    for (live, config, merged) in [
        (
            json!(["a", "b", "c"]),
            json!(["a", "b", "c"]),
            json!(["a", "b", "c"]),
        ),
        (json!(["a", "b"]), json!(["b", "a"]), json!(["b", "a"])),
        (
            json!(["a", "x", "b"]),
            json!(["b", "a"]),
            json!(["x", "b", "a"]),
        ),
        (
            json!(["x", "a", "y"]),
            json!(["b", "a", "c"]),
            json!(["x", "b", "a", "y", "c"]),
        ),
        (json!(["a", "b"]), json!(["c"]), json!(["a", "b", "c"])),
        (json!([]), json!(["c", "b"]), json!(["c", "b"])),
    ] {
        let mut cluster = Cluster::new();
        cluster
            .apply("alice", json!({"tags": live}))
            .apply("bob", json!({"tags": config}));
        assert_eq!(cluster.spec()["tags"], merged, "{live} with {config}");
    }
}

/// Null in a configuration means that the field is not given, except for a nullable scalar, where
/// it is a value ("Defaulting and Nullable" of the documentation of custom resources).
#[test]
fn null_is_not_given_except_where_it_is_a_value() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "alice",
        json!({"memory": null, "note": null, "firmware": null, "cpus": 1}),
    );
    assert_eq!(cluster.spec(), &json!({"note": null, "cpus": 1}));
    assert_eq!(
        cluster.owned("alice"),
        json!({"f:spec": {"f:note": {}, "f:cpus": {}}})
    );
    cluster.apply("alice", json!({"cpus": null}));
    assert_eq!(cluster.spec(), &json!({}));
}

/// An empty object or list in a configuration is owned itself (`toFieldSet` of structured-merge-diff
/// for objects), and what was in it goes.
#[test]
fn what_is_empty_is_owned_itself() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "alice",
        json!({"firmware": {"kind": "uefi"}, "tags": ["a"]}),
    );
    cluster.apply("alice", json!({"firmware": {}, "tags": []}));
    assert_eq!(cluster.spec(), &json!({"firmware": {}, "tags": []}));
    assert_eq!(
        cluster.owned("alice"),
        json!({"f:spec": {"f:firmware": {}, "f:tags": {}}})
    );
}

/// `stripMeta` of fieldmanager: what the server sets in the metadata is nobody's; labels are owned.
#[test]
fn of_the_metadata_only_what_people_set_is_owned() {
    let mut cluster = Cluster::new();
    let mut config = object(json!({}));
    config["metadata"] = json!({"name": "web", "uid": "1", "resourceVersion": "5", "generation": 3,
        "creationTimestamp": null, "labels": {"tier": "front"}, "finalizers": ["quorate.dev/x"]});
    cluster
        .try_apply("kubectl", &config, false, None)
        .expect("applied");
    assert_eq!(
        cluster.owned("kubectl"),
        json!({"f:spec": {}, "f:metadata": {
        "f:labels": {"f:tier": {}}, "f:finalizers": {"v:\"quorate.dev/x\"": {}}}})
    );
    let metadata = &cluster.object()["metadata"];
    assert_eq!(metadata["name"], "web");
    assert_eq!(
        (metadata.get("uid"), metadata.get("resourceVersion")),
        (None, None)
    );
}

/// `TestApplyManagedFieldsDeletion` and the API reference: a configuration must not have managed fields.
#[test]
fn a_configuration_with_managed_fields_is_refused() {
    let mut cluster = Cluster::new();
    let mut config = object(json!({}));
    config["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    let error = cluster
        .try_apply("kubectl", &config, false, None)
        .expect_err("refused");
    assert!(
        error
            .to_string()
            .starts_with("metadata.managedFields: found managed fields"),
        "{error}"
    );
}

/// structured-merge-diff refuses items that cannot be told apart.
#[test]
fn items_without_a_key_or_with_the_same_are_refused() {
    let mut cluster = Cluster::new();
    for (spec, path) in [
        (
            json!({"disks": [{"size": "1Gi"}]}),
            "spec.disks[0].name: found none",
        ),
        (
            json!({"disks": [{"name": "a"}, {"name": "a"}]}),
            "spec.disks[1]: found an item",
        ),
        (json!({"tags": ["a", "a"]}), "spec.tags[1]: found an item"),
        (
            json!({"ports": [{"port": 1}, {"port": 1, "protocol": "tcp"}]}),
            "spec.ports[1]: found an item",
        ),
    ] {
        let error = cluster
            .try_apply("kubectl", &object(spec), false, None)
            .expect_err("refused");
        assert!(error.to_string().starts_with(path), "{error}");
    }
    assert!(matches!(
        cluster.try_apply("x", &json!([]), false, None),
        Err(ApplyError::InvalidConfig(_))
    ));
}

/// A value of the wrong type is for validation to refuse; merging it harms nothing.
#[test]
fn a_value_of_the_wrong_type_replaces_what_is_there() {
    let mut cluster = Cluster::new();
    cluster.apply(
        "alice",
        json!({"firmware": {"kind": "uefi"}, "disks": [{"name": "a"}]}),
    );
    cluster.apply("alice", json!({"firmware": "uefi", "disks": {"name": "a"}}));
    assert_eq!(
        cluster.spec(),
        &json!({"firmware": "uefi", "disks": {"name": "a"}})
    );
}

/// "API version in fields" and "Subresources": an applier has one entry per subresource, and of the
/// main resource the status does not count.
#[test]
fn the_status_is_applied_through_its_subresource_only() {
    let mut cluster = Cluster::new();
    let mut config = object(json!({"cpus": 1}));
    config["status"] = json!({"phase": "Running"});
    cluster
        .try_apply("daemon", &config, false, None)
        .expect("applied");
    assert_eq!(cluster.object().get("status"), None);
    config["spec"]["cpus"] = json!(7);
    config["metadata"]["labels"] = json!({"a": "b"});
    cluster
        .try_apply("daemon", &config, false, Some("status"))
        .expect("applied");
    assert_eq!(cluster.object()["status"], json!({"phase": "Running"}));
    assert_eq!(
        (cluster.spec(), cluster.object()["metadata"].get("labels")),
        (&json!({"cpus": 1}), None)
    );
    let owned: Vec<(&Value, &Value)> = cluster
        .entries()
        .iter()
        .map(|entry| (&entry["subresource"], &entry["fieldsV1"]))
        .collect();
    assert_eq!(
        owned,
        [
            (&Value::Null, &json!({"f:spec": {"f:cpus": {}}})),
            (&json!("status"), &json!({"f:status": {"f:phase": {}}})),
        ]
    );
}

/// "Clearing managedFields", then `before-first-apply` of fieldmanager: what was there before
/// ownership was noted belongs to that manager, so that an apply cannot change it unnoticed.
#[test]
fn what_was_there_before_ownership_was_noted_conflicts() {
    let mut cluster = Cluster::new();
    cluster.live = Some(object(json!({"memory": "2Gi"})));
    let conflicts = cluster.conflicts("kubectl", json!({"memory": "4Gi"}));
    assert_eq!(conflicts[0].manager, "before-first-apply");
    cluster.apply("kubectl", json!({"memory": "2Gi", "cpus": 1}));
    assert_eq!(
        cluster.owned("kubectl"),
        json!({"f:spec": {"f:cpus": {}, "f:memory": {}}})
    );
    assert_eq!(
        cluster.owned("before-first-apply"),
        json!({"f:spec": {".": {}, "f:memory": {}}})
    );
}

/// "Changing the topology" of the documentation: when a field has become atomic, who owned a part
/// of it owns it whole (`TestReconcileFieldSetWithSchema` of structured-merge-diff).
#[test]
fn parts_of_what_has_become_atomic_are_owned_whole() {
    let mut cluster = Cluster::new();
    cluster.apply("alice", json!({"firmware": {"kind": "uefi"}}));
    let mut source = cluster.schema.source().clone();
    source["properties"]["spec"]["properties"]["firmware"]["x-kubernetes-map-type"] =
        json!("atomic");
    cluster.schema = quorate_schema::Schema::parse(&source).expect("structural");
    assert_eq!(
        cluster.conflicts("bob", json!({"firmware": {"secure": true}}))[0].path,
        ".spec.firmware"
    );
    cluster.apply("alice", json!({}));
    assert_eq!(cluster.spec(), &json!({}));
}

/// API reference, `ManagedFieldsEntry.time`: it changes when the set does or the manager changes a
/// value, and not when somebody else takes a field over.
#[test]
fn the_time_tells_the_last_change_by_the_manager_itself() {
    let mut cluster = Cluster::new();
    let time = |cluster: &Cluster, manager: &str| {
        cluster.entry(manager).map(|entry| entry["time"].clone())
    };
    cluster.apply("alice", json!({"memory": "2Gi", "cpus": 1}));
    cluster.force("bob", json!({"memory": "4Gi"}));
    assert_eq!(time(&cluster, "alice"), Some(json!("2030-01-01T00:00:01Z")));
    assert_eq!(time(&cluster, "bob"), Some(json!("2030-01-01T00:00:02Z")));
    cluster.apply("bob", json!({"memory": "8Gi"}));
    assert_eq!(time(&cluster, "bob"), Some(json!("2030-01-01T00:00:03Z")));
    cluster.apply("bob", json!({"memory": "8Gi"}));
    assert_eq!(time(&cluster, "bob"), Some(json!("2030-01-01T00:00:03Z")));
}
