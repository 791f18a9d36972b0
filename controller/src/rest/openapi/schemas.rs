//! The schemas of all objects, each under its own name.

use std::sync::LazyLock;

use quorate_crds::{GROUP, KindInfo};
use serde_json::{Map, Value, json};

use crate::rest::{
    EXTENSIONS,
    discovery::{Resource, resources},
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What all kinds share.
static SHARED: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    // The file is part of the program and every test reads it.
    serde_json::from_str(include_str!("meta.json")).unwrap_or_default()
});

/// The schemas of the objects of one version of a group, and of what they share. References begin with `prefix`.
pub(super) fn of_version(group: &str, version: &str, prefix: &str) -> Map<String, Value> {
    let mut schemas: Map<String, Value> = SHARED
        .iter()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            lead(&mut schema, prefix);
            (format!("{META}.{name}"), schema)
        })
        .collect();
    let of_version = |resource: &&Resource| (resource.group, resource.version) == (group, version);
    for resource in resources().iter().filter(of_version) {
        schemas.insert(name(resource), object(resource, prefix));
        if resource.verbs.contains(&"list") {
            schemas.insert(format!("{}List", name(resource)), list(resource, prefix));
        }
    }
    schemas
}

/// Under which name the objects of a resource are described.
pub(super) fn name(resource: &Resource) -> String {
    let package: Vec<&str> = match resource.group {
        "" => vec!["core", "k8s", "io"],
        group => group.split('.').collect(),
    };
    let reversed: Vec<&str> = package.into_iter().rev().collect();
    format!(
        "{}.{}.{}",
        reversed.join("."),
        resource.version,
        resource.kind
    )
}

/// The full name of something that all kinds share.
pub(super) fn shared(name: &str) -> String {
    format!("{META}.{name}")
}

/// Which kind is meant, as all documents say it.
pub(super) fn group_version_kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn object(resource: &Resource, prefix: &str) -> Value {
    let own = |kind: &&KindInfo| resource.group == GROUP && kind.plural == resource.plural;
    let mut schema = match quorate_crds::kinds().iter().find(own) {
        Some(kind) => kind.schema.source().clone(),
        None => json!({
            "type": "object",
            "description": foreign(resource),
            "x-kubernetes-preserve-unknown-fields": true,
        }),
    };
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let type_ = |words: &str| json!({"type": "string", "description": words});
    schema["properties"]["apiVersion"] = type_("The version of the kind.");
    schema["properties"]["kind"] = type_("The kind of the object.");
    schema["properties"]["metadata"] = json!({
        "description": "The name of the object, and what else every object has.",
        "allOf": [{"$ref": format!("{prefix}{META}.ObjectMeta")}],
        "default": {},
    });
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(resource)]);
    schema
}

fn foreign(resource: &Resource) -> &'static str {
    match resource.group {
        "" => {
            "Something that happened to an object of quorate.dev, in the form of the core of Kubernetes. Read only."
        }
        EXTENSIONS => "What a kind is like. Read only.",
        _ => "A question about the caller, answered in its status.",
    }
}

fn list(resource: &Resource, prefix: &str) -> Value {
    let mut of_list = group_version_kind(resource);
    of_list["kind"] = json!(format!("{}List", resource.kind));
    json!({
        "description": format!("A list of {}.", resource.plural),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of the kind."},
            "kind": {"type": "string", "description": "The kind of the list."},
            "metadata": {"$ref": format!("{prefix}{META}.ListMeta")},
            "items": {
                "type": "array",
                "description": "The objects, in the order of their names.",
                "items": {"$ref": format!("{prefix}{}", name(resource))},
            },
        },
        "x-kubernetes-group-version-kind": [of_list],
    })
}

/// Makes the short references of the shared schemas into whole ones. What stands beside a reference would be
/// overlooked, so such a reference becomes the one part of an `allOf`.
fn lead(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(|inner| lead(inner, prefix));
            if let Some(Value::String(name)) = fields.remove("$ref") {
                let whole = json!(format!("{prefix}{META}.{name}"));
                if fields.is_empty() {
                    fields.insert("$ref".into(), whole);
                } else {
                    fields.insert("allOf".into(), json!([{"$ref": whole}]));
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| lead(inner, prefix)),
        _ => {}
    }
}

/// What older clients understand of a schema: the shape, and nothing that binds several fields.
pub(super) fn for_version_2(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    // An only part is what the whole is.
    if let Some(Value::Array(parts)) = fields.remove("allOf")
        && let [Value::Object(only)] = parts.as_slice()
    {
        fields.extend(only.clone());
    }
    for beyond in [
        "anyOf",
        "oneOf",
        "not",
        "nullable",
        "x-kubernetes-validations",
    ] {
        fields.remove(beyond);
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(for_version_2);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            for_version_2(inner);
        }
    }
    if fields.contains_key("$ref") {
        fields.remove("default");
    }
}

#[cfg(test)]
mod tests {
    use quorate_crds::{VERSION, crd};

    use super::*;

    #[test]
    fn the_shared_schemas_can_be_read_and_the_kinds_have_theirs() {
        assert!(SHARED.contains_key("ObjectMeta"));
        let schemas = of_version(GROUP, VERSION, "#/");
        for kind in quorate_crds::kinds() {
            let schema = &schemas[&format!("dev.quorate.v1alpha1.{}", kind.kind)];
            assert_eq!(
                schema["properties"]["spec"],
                crd::definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
                    ["spec"]
            );
        }
    }
}
