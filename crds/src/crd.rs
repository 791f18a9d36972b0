//! The faces of a kind outside of Quorate: the CustomResourceDefinition for a Kubernetes cluster,
//! and the JSON schema for editors.

use crate::{API_VERSION, GROUP, KindInfo, VERSION};
use serde_json::{Map, Value, json};

/// Short names of our kinds that Kubernetes has given to kinds of its own. kubectl would take them for those.
const TAKEN_IN_KUBERNETES: [&str; 1] = ["no"];

/// The CustomResourceDefinition of a kind.
#[must_use]
pub fn definition(info: &KindInfo) -> Value {
    let columns: Vec<Value> = info
        .columns
        .iter()
        .map(|column| {
            let mut shown = json!({
                "name": column.name,
                "type": column.type_,
                "jsonPath": column.json_path,
                "description": column.description,
            });
            if column.priority != 0 {
                shown["priority"] = json!(column.priority);
            }
            shown
        })
        .collect();
    let mut names = json!({
        "kind": info.kind,
        "plural": info.plural,
        "singular": info.singular,
        "categories": info.categories,
    });
    let short_names: Vec<_> = info
        .short_names
        .iter()
        .filter(|name| !TAKEN_IN_KUBERNETES.contains(name))
        .collect();
    if !short_names.is_empty() {
        names["shortNames"] = json!(short_names);
    }
    let mut version = json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": info.schema.source()},
    });
    if info.status {
        version["subresources"] = json!({"status": {}});
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", info.plural)},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": "Cluster",
            "versions": [version],
        },
    })
}

/// The JSON schema of a kind, as editors use it to check a manifest while it is written. Unlike the
/// CRD's it refuses unknown fields, as the API does.
#[must_use]
pub fn json_schema(info: &KindInfo) -> Value {
    let mut schema = info.schema.source().clone();
    close(&mut schema);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("apiVersion".to_owned(), json!({"const": API_VERSION}));
        properties.insert("kind".to_owned(), json!({"const": info.kind}));
        properties.insert(
            "metadata".to_owned(),
            json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
        );
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(info.kind);
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema
}

fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if object.contains_key("properties") && !object.contains_key("additionalProperties") {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        close_all(properties);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(inner) {
            close(inner);
        }
    }
}

fn close_all(properties: &mut Map<String, Value>) {
    for property in properties.values_mut() {
        close(property);
    }
}
