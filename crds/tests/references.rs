//! The list of fields that name other objects is complete and true.

use quorate_crds::{Name, find, kinds, references};
use serde_json::{Value, json};

/// Names that are no references: those of things that are no objects, or of objects of any kind.
const NO_REFERENCES: [&str; 9] = [
    "Cluster.spec.members[].name",
    "Cluster.spec.hostAliases[].names[]",
    "FenceDevice.spec.runOn[]",
    "Event.spec.regarding.name",
    "Event.spec.related.name",
    "Event.spec.reportingNode",
    "Role.spec.rules[].names[]",
    "NodePlan.spec.node",
    "NodePlan.spec.assignment",
];

fn names(schema: &Value, path: &str, found: &mut Vec<String>) {
    let pattern = schemars::schema_for!(Name);
    if schema.get("pattern").is_some() && schema.get("pattern") == pattern.get("pattern") {
        found.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        names(property, &format!("{path}.{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        names(items, &format!("{path}[]"), found);
    }
}

#[test]
fn every_name_in_a_spec_is_listed_as_a_reference_or_known_to_be_none() {
    for info in kinds() {
        let mut found = Vec::new();
        let spec = &info.schema.source()["properties"]["spec"];
        names(spec, &format!("{}.spec", info.kind), &mut found);
        let mut expected: Vec<String> = references::fields(info.kind)
            .map(|(path, _)| format!("{}.{path}", info.kind))
            .collect();
        found.retain(|path| !NO_REFERENCES.iter().any(|none| path.starts_with(none)));
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn every_reference_names_a_kind_that_exists() {
    for info in kinds() {
        for (path, target) in references::fields(info.kind) {
            assert!(
                find(target).is_some_and(|found| found.kind == target),
                "{}.{path}",
                info.kind
            );
        }
    }
}

#[test]
fn references_are_found_with_their_paths() {
    let guest = json!({"spec": {
        "disks": [{"name": "a", "size": "1Gi", "pool": "fast"}, {"name": "b", "volume": "data"}],
        "placement": {"failoverDomain": "home"},
    }});
    let found: Vec<_> = references::of("VirtualMachine", &guest)
        .into_iter()
        .map(|reference| (reference.path, reference.kind, reference.name))
        .collect();
    assert_eq!(
        found,
        [
            (
                "spec.disks[1].volume".to_owned(),
                "Volume",
                "data".to_owned()
            ),
            (
                "spec.disks[0].pool".to_owned(),
                "StoragePool",
                "fast".to_owned()
            ),
            (
                "spec.placement.failoverDomain".to_owned(),
                "FailoverDomain",
                "home".to_owned()
            ),
        ]
    );
}

#[test]
fn guests_may_be_kept_apart_before_both_exist_but_need_their_disks() {
    let guest = json!({"spec": {
        "disks": [{"name": "a", "volume": "data"}],
        "placement": {"apartFrom": [{"guest": "other"}]},
    }});
    let ties: Vec<_> = references::of("VirtualMachine", &guest)
        .into_iter()
        .map(|reference| (reference.name, reference.tie))
        .collect();
    assert_eq!(
        ties,
        [
            ("data".to_owned(), references::Tie::Needs),
            ("other".to_owned(), references::Tie::Mentions),
        ]
    );
}
