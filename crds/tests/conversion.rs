//! A second version of the API, made up for this test, shows that stored objects of one version can
//! be served in another and come back unharmed.

use quorate_crds::API_VERSION;
use quorate_crds::convert::{ConversionError, Converter, Version};
use serde_json::{Value, json};

const OTHER: &str = "quorate.dev/v1alpha2test";

/// In this version a guest's processors and memory stand together under `spec.resources`.
const V1ALPHA2TEST: Version = Version {
    name: "v1alpha2test",
    to_hub: |kind, object| {
        if kind == "VirtualMachine" {
            let Some(Value::Object(mut resources)) = take(object, "resources") else {
                return Ok(());
            };
            for field in ["cpus", "memory"] {
                if let Some(value) = resources.remove(field) {
                    object["spec"][field] = value;
                }
            }
            if let Some((field, _)) = resources.into_iter().next() {
                return Err(format!(
                    "spec.resources.{field} has no place there: remove it"
                ));
            }
        }
        Ok(())
    },
    from_hub: |kind, object| {
        if kind == "VirtualMachine" {
            for field in ["cpus", "memory"] {
                if let Some(value) = take(object, field) {
                    object["spec"]["resources"][field] = value;
                }
            }
        }
        Ok(())
    },
};

fn take(object: &mut Value, field: &str) -> Option<Value> {
    object.get_mut("spec")?.as_object_mut()?.remove(field)
}

fn guest() -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "VirtualMachine",
        "metadata": {"name": "web", "annotations": {"note": "kept"}},
        "spec": {"cpus": 2, "memory": "2Gi", "fieldOfALaterRelease": {"deep": [1, 2]}},
        "status": {"state": "Running", "laterToo": true},
    })
}

#[test]
fn a_stored_object_is_served_in_the_other_version() {
    let converter = Converter::new(vec![V1ALPHA2TEST]);
    let served = converter.convert(guest(), OTHER).expect("known versions");
    assert_eq!(served["apiVersion"], OTHER);
    assert_eq!(
        served["spec"]["resources"],
        json!({"cpus": 2, "memory": "2Gi"})
    );
    assert_eq!(served["spec"].get("cpus"), None);
}

#[test]
fn the_way_there_and_back_loses_nothing_not_even_what_nobody_knows() {
    let converter = Converter::new(vec![V1ALPHA2TEST]);
    let served = converter.convert(guest(), OTHER).expect("known versions");
    assert_eq!(
        served["spec"]["fieldOfALaterRelease"],
        json!({"deep": [1, 2]})
    );
    assert_eq!(served["status"]["laterToo"], json!(true));
    assert_eq!(converter.to_hub(served), Ok(guest()));
}

#[test]
fn an_object_that_has_the_version_already_is_not_touched() {
    assert_eq!(Converter::default().to_hub(guest()), Ok(guest()));
}

#[test]
fn a_value_without_a_counterpart_is_named() {
    let converter = Converter::new(vec![V1ALPHA2TEST]);
    let mut served = converter.convert(guest(), OTHER).expect("known versions");
    served["spec"]["resources"]["gpus"] = json!(1);
    let error = converter.to_hub(served).expect_err("the hub has no gpus");
    assert_eq!(
        error.to_string(),
        "VirtualMachine cannot be converted to quorate.dev/v1alpha1: \
         spec.resources.gpus has no place there: remove it"
    );
}

#[test]
fn unknown_versions_and_groups_are_refused_with_what_is_allowed() {
    let converter = Converter::new(vec![V1ALPHA2TEST]);
    for version in ["v1", "quorate.dev/v9", "example.org/v1alpha1", ""] {
        let mut object = guest();
        object["apiVersion"] = json!(version);
        let error = converter.to_hub(object).expect_err("no such version");
        assert_eq!(
            error,
            ConversionError::UnknownVersion {
                found: version.to_owned(),
                allowed: format!("{API_VERSION}, {OTHER}"),
            }
        );
    }
    assert_eq!(
        converter.to_hub(json!({"kind": "Volume"})),
        Err(ConversionError::NoVersion)
    );
}
