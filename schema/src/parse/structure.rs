//! What must hold between the keywords of one level and those of the next.

use super::refuse;
use crate::error::SchemaError;
use crate::metadata;
use crate::node::{ListType, MapType, Node, NodeKind};

/// What holds between the keywords of one level and the next.
pub(super) fn check(node: &Node, path: &[String]) -> Result<(), SchemaError> {
    if node.kind != NodeKind::Object
        && (!node.properties.is_empty() || node.additional_properties.is_some())
        && node.kind != NodeKind::Any
    {
        return Err(refuse(
            path,
            format!(
                "found properties beside type {}, allowed: type object",
                node.kind.as_str()
            ),
        ));
    }
    for required in &node.required {
        let known = node.child(required).is_some() || node.preserve_unknown;
        let of_every_resource =
            path.is_empty() && metadata::RESOURCE_FIELDS.contains(&required.as_str());
        if !known && !of_every_resource {
            return Err(refuse(
                path,
                format!("found required field {required:?}, allowed: the names of properties"),
            ));
        }
    }
    for limit in node
        .all_of
        .iter()
        .chain(&node.any_of)
        .chain(&node.one_of)
        .chain(node.not.as_deref())
    {
        check_limit(limit, node, path)?;
    }
    match (node.kind, node.items.as_deref()) {
        (NodeKind::Array, None) => Err(refuse(
            path,
            "found a list without items, allowed: a schema in items",
        )),
        (NodeKind::Array, Some(items)) => check_list(node, items, path),
        (_, Some(_)) => Err(refuse(
            path,
            format!(
                "found items beside type {}, allowed: type array",
                node.kind.as_str()
            ),
        )),
        (_, None) => Ok(()),
    }
}

/// A limit may speak only of fields that the structure has: it could not be pruned otherwise.
fn check_limit(limit: &Node, node: &Node, path: &[String]) -> Result<(), SchemaError> {
    for (name, inner) in &limit.properties {
        match node.child(name) {
            Some(child) => check_limit(inner, child, path)?,
            None if node.preserve_unknown => {}
            None => {
                return Err(refuse(
                    path,
                    format!(
                        "found field {name:?} in allOf, anyOf, oneOf or not, allowed: the names of properties"
                    ),
                ));
            }
        }
    }
    match (limit.items.as_deref(), node.items.as_deref()) {
        (Some(inner), Some(items)) => check_limit(inner, items, path),
        (Some(_), None) => Err(refuse(
            path,
            "found items in allOf, anyOf, oneOf or not, allowed: only for a list",
        )),
        (None, _) => Ok(()),
    }
}

fn is_scalar(node: &Node) -> bool {
    matches!(
        node.kind,
        NodeKind::String
            | NodeKind::Integer
            | NodeKind::Number
            | NodeKind::Boolean
            | NodeKind::IntOrString
    )
}

fn check_list(node: &Node, items: &Node, path: &[String]) -> Result<(), SchemaError> {
    match &node.list_type {
        ListType::Atomic => Ok(()),
        ListType::Set => {
            let atomic = is_scalar(items)
                || (items.kind == NodeKind::Object && items.map_type == MapType::Atomic)
                || (items.kind == NodeKind::Array && items.list_type == ListType::Atomic);
            if !atomic || items.nullable {
                return Err(refuse(
                    path,
                    "found a set of objects, lists or nullable values, allowed: scalars, or objects with x-kubernetes-map-type: atomic",
                ));
            }
            Ok(())
        }
        ListType::Map { keys } => {
            if items.kind != NodeKind::Object || items.nullable {
                return Err(refuse(
                    path,
                    "found x-kubernetes-list-type: map, allowed only for items of type object that are not nullable",
                ));
            }
            for key in keys {
                let Some(field) = items.properties.get(key).filter(|field| is_scalar(field)) else {
                    return Err(refuse(
                        path,
                        format!(
                            "found list map key {key:?}, allowed: a scalar property of the items"
                        ),
                    ));
                };
                if !items.requires(key) && field.default.is_none() {
                    return Err(refuse(
                        path,
                        format!(
                            "found list map key {key:?} that may be absent, allowed: a required property or one with a default"
                        ),
                    ));
                }
                if field.nullable {
                    return Err(refuse(
                        path,
                        format!(
                            "found list map key {key:?} that is nullable, allowed: a property that is not"
                        ),
                    ));
                }
            }
            Ok(())
        }
    }
}
