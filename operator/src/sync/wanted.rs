//! What an object in Kubernetes asks of the cluster.
//!
//! kube-apiserver writes defaults into what it stores, so that nobody can tell there what a person has asked for. Values that
//! are the default are therefore left to the cluster, which has the same defaults: otherwise the operator would own every
//! field, and whoever changed any of them in the cluster would be in conflict with a manifest that says nothing about it.

use quorate_crds::{API_VERSION, KindInfo};
use quorate_schema::{ListType, MapType, Node};
use serde_json::{Map, Value, json};

use super::names::{carries_annotation, carries_label};

/// The configuration that is applied to the cluster: the spec without defaults, the labels, and those annotations that mean
/// something there.
pub(super) fn wanted(info: &KindInfo, name: &str, object: &Value) -> Value {
    let kept = |path: &str, carries: fn(&str) -> bool| -> Map<String, Value> {
        let all = object.pointer(path).and_then(Value::as_object);
        all.into_iter()
            .flatten()
            .filter(|(key, _)| carries(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let mut metadata = json!({"name": name});
    for (field, carries) in [
        ("labels", carries_label as fn(&str) -> bool),
        ("annotations", carries_annotation),
    ] {
        let kept = kept(&format!("/metadata/{field}"), carries);
        if !kept.is_empty() {
            metadata[field] = kept.into();
        }
    }
    let mut spec = object.get("spec").cloned().unwrap_or_else(|| json!({}));
    if let Some(node) = info.schema.root().child("spec") {
        leave_out_defaults(node, &mut spec);
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": info.kind,
        "metadata": metadata,
        "spec": spec,
    })
}

/// The same with all defaults written out, as the cluster will have it where nobody says otherwise.
pub(super) fn in_full(info: &KindInfo, wanted: &Value) -> Value {
    let mut full = wanted.clone();
    if let (Some(node), Some(spec)) = (info.schema.root().child("spec"), full.get_mut("spec")) {
        fill_in(node, spec);
    }
    full
}

fn leave_out_defaults(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) if node.map_type == MapType::Granular => {
            fields.retain(|name, value| {
                let Some(child) = node.child(name) else {
                    return true;
                };
                if node.properties.contains_key(name) && is_default(child, value) {
                    return false;
                }
                leave_out_defaults(child, value);
                true
            });
        }
        Value::Array(items) => {
            let (ListType::Map { keys }, Some(child)) = (&node.list_type, node.items.as_deref())
            else {
                return;
            };
            for item in items {
                let named = item.clone();
                leave_out_defaults(child, item);
                // Without its keys nobody knows which item it is.
                for key in keys {
                    if let (Some(fields), Some(value)) = (item.as_object_mut(), named.get(key)) {
                        fields.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        _ => {}
    }
}

fn is_default(node: &Node, value: &Value) -> bool {
    node.default.as_ref().is_some_and(|default| {
        let mut default = default.clone();
        fill_in(node, &mut default);
        *value == default
    })
}

fn fill_in(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, child) in &node.properties {
                if let (None, Some(default)) = (fields.get(name), &child.default) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields {
                if let Some(child) = node.child(name) {
                    fill_in(child, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = node.items.as_deref() {
                items.iter_mut().for_each(|item| fill_in(child, item));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_noted_about_the_object_in_kubernetes_stays_there() {
        let object = json!({
            "metadata": {
                "name": "web",
                "labels": {"tier": "front", "operator.quorate.dev/cluster": "east"},
                "annotations": {
                    "quorate.dev/restart": "2",
                    "operator.quorate.dev/mirrored": "east/web/1",
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                },
                "finalizers": ["operator.quorate.dev/mirror"],
            },
            "spec": {"memory": "1Gi"},
            "status": {"state": "Running"},
        });
        let info = quorate_crds::find("vm").expect("a kind");
        assert_eq!(
            wanted(info, "www", &object),
            json!({
                "apiVersion": "quorate.dev/v1alpha1",
                "kind": "VirtualMachine",
                "metadata": {
                    "name": "www",
                    "labels": {"tier": "front"},
                    "annotations": {"quorate.dev/restart": "2"},
                },
                "spec": {"memory": "1Gi"},
            })
        );
    }

    #[test]
    fn every_default_is_left_to_the_cluster_which_fills_in_the_same() {
        for info in quorate_crds::kinds().iter().filter(|info| info.crd) {
            let mut object = json!({"metadata": {"name": "one"}, "spec": {}});
            info.schema.apply_defaults(&mut object);
            let wanted = wanted(info, "one", &object);
            assert_eq!(wanted["spec"], json!({}), "{}", info.kind);
            assert_eq!(
                in_full(info, &wanted)["spec"],
                object["spec"],
                "{}",
                info.kind
            );
        }
    }

    #[test]
    fn what_differs_from_the_default_is_asked_for_and_nothing_beside_it() {
        let info = quorate_crds::find("vm").expect("a kind");
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {"memory": "1Gi", "agent": "Never", "boot": ["Network"]},
        });
        let said = object["spec"].clone();
        info.schema.apply_defaults(&mut object);
        assert_ne!(object["spec"], said);
        assert_eq!(wanted(info, "web", &object)["spec"], said);
    }

    #[test]
    fn an_item_keeps_the_keys_that_it_is_known_by() {
        let text = |default: &str| json!({"type": "string", "default": default});
        let schema = quorate_schema::Schema::parse(&json!({
            "type": "object",
            "properties": {"ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["protocol"],
                "items": {
                    "type": "object",
                    "properties": {"protocol": text("TCP"), "mode": text("Shared")},
                },
            }},
        }))
        .expect("a schema");
        let mut value = json!({"ports": [{"protocol": "TCP", "mode": "Shared"}]});
        leave_out_defaults(schema.root(), &mut value);
        assert_eq!(value, json!({"ports": [{"protocol": "TCP"}]}));
    }
}
