//! What can be checked only when the whole tree stands: rules, which name fields below them, and
//! defaults, which must be valid themselves.

use super::refuse;
use crate::cel::Rule;
use crate::error::SchemaError;
use crate::metadata;
use crate::node::{ListType, Node};
use crate::path::Path;
use crate::{defaults, unknown, validate};
use serde_json::Value;

/// Compiles the rules of a level and of all below it; `has_old` tells whether the former value of
/// the level can be told.
pub(super) fn compile_rules(
    node: &mut Node,
    source: &Value,
    path: &mut Vec<String>,
    has_old: bool,
) -> Result<(), SchemaError> {
    if let Some(sources) = source.get("x-kubernetes-validations") {
        let Some(sources) = sources.as_array() else {
            return Err(refuse(
                path,
                "found x-kubernetes-validations that is no list, allowed: a list of rules",
            ));
        };
        let mut rules = Vec::with_capacity(sources.len());
        for source in sources {
            rules.push(Rule::compile(source, node, has_old).map_err(|error| {
                SchemaError::Rule {
                    path: if path.is_empty() {
                        "the root".to_owned()
                    } else {
                        path.join(".")
                    },
                    rule: source["rule"].as_str().unwrap_or_default().to_owned(),
                    message: error.to_string(),
                }
            })?);
        }
        node.rules = rules;
    }
    if let Some(properties) = source.get("properties").and_then(Value::as_object) {
        for (name, source) in properties {
            let of_every_resource =
                node.resource && metadata::RESOURCE_FIELDS.contains(&name.as_str());
            if let (false, Some(child)) = (of_every_resource, node.properties.get_mut(name)) {
                path.push(name.clone());
                compile_rules(child, source, path, has_old)?;
                path.pop();
            }
        }
    }
    if let (Some(child), Some(source)) = (
        node.additional_properties.as_deref_mut(),
        source.get("additionalProperties"),
    ) {
        path.push("*".to_owned());
        compile_rules(child, source, path, has_old)?;
        path.pop();
    }
    let keyed = matches!(node.list_type, ListType::Map { .. });
    if let (Some(child), Some(source)) = (node.items.as_deref_mut(), source.get("items")) {
        path.push("items".to_owned());
        compile_rules(child, source, path, has_old && keyed)?;
        path.pop();
    }
    Ok(())
}

/// A default that its own schema refuses would make valid manifests invalid.
pub(super) fn check_defaults(node: &Node, path: &mut Vec<String>) -> Result<(), SchemaError> {
    if let Some(default) = &node.default {
        let mut whole = default.clone();
        defaults::apply(node, &mut whole);
        let mut violations = Vec::new();
        validate::value(node, &whole, None, &Path::ROOT, &mut violations);
        unknown::report(node, &whole, &Path::ROOT, &mut violations);
        if let Some(violation) = violations.first() {
            return Err(refuse(
                path,
                format!("the default is not valid: {violation}"),
            ));
        }
    }
    for (name, child) in &node.properties {
        path.push(name.clone());
        check_defaults(child, path)?;
        path.pop();
    }
    for (name, child) in [("*", &node.additional_properties), ("items", &node.items)] {
        if let Some(child) = child {
            path.push(name.to_owned());
            check_defaults(child, path)?;
            path.pop();
        }
    }
    Ok(())
}
