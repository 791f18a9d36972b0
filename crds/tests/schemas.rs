//! What holds for the schema of every kind.

use quorate_crds::{KindInfo, find, kinds};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Calls `visit` with every schema inside of `schema` and its path.
fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        walk(property, &format!("{path}.{name}"), visit);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), visit);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(values, &format!("{path}{{}}"), visit);
    }
}

fn walk_all(mut visit: impl FnMut(&KindInfo, &str, &Value)) {
    for info in kinds() {
        walk(info.schema.source(), info.kind, &mut |path, schema| {
            visit(info, path, schema);
        });
    }
}

#[test]
fn a_kind_is_found_by_all_its_names_in_any_case() {
    for name in [
        "VirtualMachine",
        "virtualmachines",
        "VirtualMachines",
        "virtualmachine",
        "vm",
        "VM",
        "virtualmachines.quorate.dev",
    ] {
        assert_eq!(
            find(name).map(|info| info.kind),
            Some("VirtualMachine"),
            "{name}"
        );
    }
    for name in ["", "virtual", ".quorate.dev", "virtualmachines.example.org"] {
        assert!(find(name).is_none(), "{name}");
    }
    let short: Vec<_> = ["vm", "vol", "fs", "fd"]
        .iter()
        .filter_map(|name| find(name))
        .map(|info| info.kind)
        .collect();
    assert_eq!(
        short,
        [
            "VirtualMachine",
            "Volume",
            "SharedFilesystem",
            "FailoverDomain"
        ]
    );
}

#[test]
fn no_name_stands_for_two_kinds() {
    let mut names = BTreeSet::new();
    for info in kinds() {
        let own: BTreeSet<&str> = [info.plural, info.singular]
            .into_iter()
            .chain(info.short_names.iter().copied())
            .collect();
        for name in own {
            assert!(names.insert(name), "{name} of {} is taken", info.kind);
        }
    }
    assert_eq!(kinds().len(), 17);
}

#[test]
fn no_short_name_in_kubernetes_is_one_of_its_own() {
    // All that kube-apiserver 1.33 has.
    const TAKEN: &str = "cj cm crd crds cs csr deploy ds ep ev hpa ing ip limits netpol no ns pc pdb po pv pvc quota rc \
                         rs sa sc sts svc vac";
    let taken: Vec<&str> = TAKEN.split_whitespace().collect();
    for info in kinds().iter().filter(|info| info.crd) {
        let definition = quorate_crds::crd::definition(info);
        let names = &definition["spec"]["names"];
        let short: Vec<&str> = names["shortNames"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for name in &short {
            assert!(!taken.contains(name), "{name} of {}", info.kind);
        }
        // Its other names are those of Kubernetes' own nodes.
        if info.kind == "Node" {
            assert_eq!(short, ["host"]);
        }
    }
}

#[test]
fn every_list_says_what_makes_two_items_the_same() {
    walk_all(|_, path, schema| {
        if schema.get("type") != Some(&json!("array")) {
            return;
        }
        let items = schema
            .get("items")
            .unwrap_or_else(|| panic!("{path} has no items"));
        match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("atomic") => {}
            Some("set") => assert_ne!(items.get("type"), Some(&json!("object")), "{path}"),
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"]
                    .as_array()
                    .unwrap_or_else(|| panic!("{path} has no keys"));
                assert!(!keys.is_empty(), "{path}");
                for key in keys.iter().filter_map(Value::as_str) {
                    let required = items["required"]
                        .as_array()
                        .is_some_and(|names| names.contains(&json!(key)));
                    let default = items.pointer(&format!("/properties/{key}/default"));
                    assert!(
                        required || default.is_some(),
                        "{path}: the key {key} is neither required nor has it a default"
                    );
                }
            }
            other => panic!("{path} has the list type {other:?}"),
        }
    });
}

#[test]
fn every_field_is_described_in_whole_sentences() {
    walk_all(|_, path, schema| {
        if path.ends_with("[]") || path.ends_with("{}") || !path.contains('.') {
            return;
        }
        let field = path.rsplit('.').next().unwrap_or_default();
        if ["metadata", "apiVersion", "kind"].contains(&field) && path.matches('.').count() == 1 {
            return;
        }
        let description = schema
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{path} has no description"));
        assert!(
            description.ends_with(['.', '`']) || description.contains("\n- `"),
            "{path}: {description:?}"
        );
    });
}

#[test]
fn schemas_hold_only_what_a_structural_schema_may_hold() {
    const ALLOWED: [&str; 22] = [
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ];
    const FORMATS: [&str; 10] = [
        "int32",
        "int64",
        "double",
        "date-time",
        "duration",
        "quantity",
        "mac",
        "ip",
        "cidr",
        "byte",
    ];
    walk_all(|_, path, schema| {
        let object = schema.as_object().unwrap_or_else(|| panic!("{path}"));
        for key in object.keys() {
            assert!(ALLOWED.contains(&key.as_str()), "{path} has {key}");
        }
        assert!(object.contains_key("type"), "{path} has no type");
        assert_ne!(
            object.get("additionalProperties"),
            Some(&json!(false)),
            "{path}"
        );
        if let Some(format) = object.get("format").and_then(Value::as_str) {
            assert!(FORMATS.contains(&format), "{path} has the format {format}");
        }
    });
}

#[test]
fn a_default_that_rules_speak_of_says_all_that_they_may_ask_for() {
    // kube-apiserver refuses a definition whose default breaks a rule as it stands, before the defaults of its fields.
    walk_all(|_, path, schema| {
        let (Some(default), Some(_)) = (
            schema.get("default"),
            schema.get("x-kubernetes-validations"),
        ) else {
            return;
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if property.get("default").is_some() {
                assert!(default.get(name).is_some(), "{path} lacks {name}");
            }
        }
    });
}

#[test]
fn every_default_is_what_its_own_schema_allows() {
    for info in kinds() {
        let mut object = json!({
            "apiVersion": quorate_crds::API_VERSION,
            "kind": info.kind,
            "metadata": {"name": "example"},
            "spec": {},
        });
        info.schema.apply_defaults(&mut object);
        let broken: Vec<_> = info
            .schema
            .validate(&object, None)
            .into_iter()
            .filter(|violation| {
                violation.reason != quorate_schema::ViolationReason::Required
                    && violation.reason != quorate_schema::ViolationReason::Invalid
            })
            .map(|violation| violation.to_string())
            .collect();
        assert!(broken.is_empty(), "{}: {broken:?}", info.kind);
        assert!(
            info.schema.unknown_fields(&object).is_empty(),
            "{} has a default that its schema does not know",
            info.kind
        );
    }
}

#[test]
fn statuses_have_no_defaults_because_nobody_has_observed_them() {
    walk_all(|info, path, schema| {
        let status = format!("{}.status.", info.kind);
        if path.starts_with(&status) && !path.ends_with(".plug") {
            assert!(schema.get("default").is_none(), "{path}");
        }
    });
}

#[test]
fn no_allowed_value_is_read_as_a_boolean_by_older_yaml_tools() {
    const BOOLEANS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    walk_all(|_, path, schema| {
        for value in schema
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
            let condition = path.ends_with("conditions[].status");
            assert!(
                condition || !BOOLEANS.contains(&text.as_str()),
                "{path}: {value}"
            );
        }
    });
}

#[test]
fn every_rule_has_a_message_of_its_own() {
    walk_all(|_, path, schema| {
        let rules = schema
            .get("x-kubernetes-validations")
            .and_then(Value::as_array);
        for rule in rules.into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.len() > 20, "{path}: {rule}");
        }
    });
}

#[test]
fn a_secret_is_never_printed() {
    let secret = quorate_crds::SecretSpec {
        data: [("password".to_owned(), "c2VjcmV0".into())].into(),
        ..quorate_crds::SecretSpec::default()
    };
    let printed = format!("{secret:?}");
    assert!(
        printed.contains("password") && !printed.contains("c2VjcmV0"),
        "{printed}"
    );
}
