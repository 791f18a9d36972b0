//! What every resource has beside its own fields: `apiVersion`, `kind` and `metadata`.

use crate::describe;
use crate::names;
use crate::node::{Node, NodeKind};
use crate::path::Path;
use crate::violation::{Violation, ViolationReason};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The fields that every resource has.
pub const RESOURCE_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The most that the keys and values of all annotations may take together, as in Kubernetes.
pub const MAX_ANNOTATIONS_SIZE: usize = 256 * 1024;

/// The node of `metadata`: Kubernetes' `ObjectMeta` without namespaces.
#[must_use]
pub fn node() -> &'static Node {
    static NODE: LazyLock<Node> = LazyLock::new(|| {
        crate::parse::part(&source())
            .expect("the schema of metadata is fixed and parsed in every test")
    });
    &NODE
}

/// The schema of `metadata` as JSON, for `explain` and for generated documents.
#[must_use]
pub fn source() -> Value {
    json!({
        "description": "What every object has: its name, its labels and what the cluster notes about it.",
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "The name, one of a kind among the objects of its kind. It cannot be changed."},
            "generateName": {"type": "string", "description": "The beginning of a name that the server completes when no name is given."},
            "uid": {"type": "string", "description": "Identifies this object among all that ever had its name. Set by the server."},
            "resourceVersion": {"type": "string", "description": "The revision of the last change. Given in an update, it must be the current one."},
            "generation": {"type": "integer", "format": "int64", "description": "Counts the changes of the spec. Set by the server."},
            "creationTimestamp": {"type": "string", "format": "date-time", "nullable": true, "description": "When the object was created. Set by the server."},
            "deletionTimestamp": {"type": "string", "format": "date-time", "nullable": true, "description": "When deletion was asked for; the object goes when its last finalizer does. Set by the server."},
            "deletionGracePeriodSeconds": {"type": "integer", "format": "int64", "nullable": true, "description": "Always 0: nothing here waits before it is deleted. Set by the server."},
            "labels": {"type": "object", "nullable": true, "additionalProperties": {"type": "string"}, "description": "Short texts by which objects are selected."},
            "annotations": {"type": "object", "nullable": true, "additionalProperties": {"type": "string"}, "description": "Texts that tools and people attach to the object."},
            "finalizers": {
                "type": "array", "nullable": true, "x-kubernetes-list-type": "set", "items": {"type": "string"},
                "description": "Who must act before the object may go."
            },
            "ownerReferences": {
                "type": "array", "nullable": true, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "description": "The objects that this one belongs to; it is deleted when the last of them is.",
                "items": {
                    "type": "object", "x-kubernetes-map-type": "atomic",
                    "required": ["apiVersion", "kind", "name", "uid"],
                    "properties": {
                        "apiVersion": {"type": "string", "description": "The owner's API version."},
                        "kind": {"type": "string", "description": "The owner's kind."},
                        "name": {"type": "string", "description": "The owner's name."},
                        "uid": {"type": "string", "description": "The owner's uid."},
                        "controller": {"type": "boolean", "nullable": true, "description": "Whether the owner manages this object."},
                        "blockOwnerDeletion": {"type": "boolean", "nullable": true, "description": "Whether foreground deletion of the owner waits for this object."}
                    }
                }
            },
            "managedFields": {
                "type": "array", "nullable": true, "x-kubernetes-list-type": "atomic",
                "description": "Who owns which fields. Kept by the server.",
                "items": {
                    "type": "object",
                    "properties": {
                        "manager": {"type": "string", "description": "Who manages the fields."},
                        "operation": {"type": "string", "enum": ["Apply", "Update"], "description": "How the fields came to be managed."},
                        "apiVersion": {"type": "string", "description": "The version that the fields are written in."},
                        "time": {"type": "string", "format": "date-time", "nullable": true, "description": "When the set last changed."},
                        "fieldsType": {"type": "string", "enum": ["FieldsV1"], "description": "The form of fieldsV1."},
                        "fieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": "The fields."},
                        "subresource": {"type": "string", "description": "The subresource through which the fields were written."}
                    }
                }
            }
        }
    })
}

/// Adds the fields of every resource to the node of one. What the schema itself says about
/// `metadata` may only limit the name, as in a CustomResourceDefinition.
pub(crate) fn add_resource_fields(node: &mut Node) {
    for (name, description) in [
        (
            "apiVersion",
            "The version of the API that the object is written in.",
        ),
        ("kind", "What the object is."),
    ] {
        let field = node
            .properties
            .entry(name.to_owned())
            .or_insert_with(|| Node::new(NodeKind::String));
        field
            .description
            .get_or_insert_with(|| description.to_owned());
    }
    let own = node.properties.remove("metadata");
    let mut metadata = self::node().clone();
    if let Some(own) = own {
        for name in ["name", "generateName"] {
            if let (Some(limits), Some(field)) =
                (own.properties.get(name), metadata.properties.get_mut(name))
            {
                field.pattern = limits.pattern.clone();
                field.min_length = limits.min_length;
                field.max_length = limits.max_length;
                field.allowed.clone_from(&limits.allowed);
            }
        }
    }
    node.properties.insert("metadata".to_owned(), metadata);
}

/// What the schema of metadata cannot say: the syntax of names, labels, annotations and finalizers.
pub(crate) fn check(metadata: &Value, path: &Path<'_>, out: &mut Vec<Violation>) {
    check_names(metadata, path, out);
    if let Some(labels) = metadata["labels"].as_object() {
        let path = path.field("labels");
        for (key, value) in labels {
            let path = path.key(key);
            invalid(names::check_qualified_name(key), &path, out);
            if let Some(value) = value.as_str() {
                invalid(names::check_label_value(value), &path, out);
            }
        }
    }
    if let Some(annotations) = metadata["annotations"].as_object() {
        let path = path.field("annotations");
        let mut size = 0;
        for (key, value) in annotations {
            size += key.len() + value.as_str().map_or(0, str::len);
            invalid(
                names::check_qualified_name(&key.to_ascii_lowercase()),
                &path.key(key),
                out,
            );
        }
        if size > MAX_ANNOTATIONS_SIZE {
            out.push(Violation::new(
                path.to_string(),
                ViolationReason::TooLong,
                format!("found {size} bytes in keys and values, allowed: {MAX_ANNOTATIONS_SIZE}"),
            ));
        }
    }
    if let Some(finalizers) = metadata["finalizers"].as_array() {
        let path = path.field("finalizers");
        for (index, finalizer) in finalizers.iter().enumerate() {
            if let Some(finalizer) = finalizer.as_str() {
                invalid(
                    names::check_qualified_name(finalizer),
                    &path.index(index),
                    out,
                );
            }
        }
    }
    check_controllers(metadata, path, out);
}

fn check_names(metadata: &Value, path: &Path<'_>, out: &mut Vec<Violation>) {
    let name = metadata["name"].as_str().unwrap_or_default();
    let prefix = metadata["generateName"].as_str().unwrap_or_default();
    if name.is_empty() && prefix.is_empty() {
        out.push(Violation::new(
            path.field("name").to_string(),
            ViolationReason::Required,
            "found none, allowed: a name, or generateName for one that the server completes",
        ));
    }
    if !name.is_empty() {
        invalid(names::check_name(name), &path.field("name"), out);
    }
    if !prefix.is_empty() {
        // The server appends letters and digits, so a '-' may be last.
        let completed = format!("{prefix}x");
        let outcome = names::check_name(&completed).map_err(|_| {
            format!(
                "found {}, allowed: the beginning of a name, such as web-",
                describe::text(prefix)
            )
        });
        invalid(outcome, &path.field("generateName"), out);
    }
}

fn check_controllers(metadata: &Value, path: &Path<'_>, out: &mut Vec<Violation>) {
    let Some(owners) = metadata["ownerReferences"].as_array() else {
        return;
    };
    let controllers: Vec<&str> = owners
        .iter()
        .filter(|owner| owner["controller"] == true)
        .filter_map(|owner| owner["name"].as_str())
        .collect();
    if controllers.len() > 1 {
        out.push(Violation::new(
            path.field("ownerReferences").to_string(),
            ViolationReason::Invalid,
            format!(
                "found {} controllers ({}), allowed: one",
                controllers.len(),
                describe::list(&controllers)
            ),
        ));
    }
}

fn invalid(outcome: Result<(), String>, path: &Path<'_>, out: &mut Vec<Violation>) {
    if let Err(message) = outcome {
        out.push(Violation::new(
            path.to_string(),
            ViolationReason::Invalid,
            message,
        ));
    }
}
