//! From the JSON of a schema to nodes, refusing what is not structural.
//!
//! kube-apiserver accepts a CustomResourceDefinition only when its schema is structural: every
//! level says its type, and nothing hides fields inside `allOf` and its like. The same is refused
//! here, and two things more, because field ownership depends on them: a list without a list type,
//! and a keyword that nobody knows.

mod keywords;
mod structure;
mod whole;

use crate::error::SchemaError;
use crate::metadata;
use crate::node::{Node, NodeKind};
use keywords::Keywords;
use serde_json::Value;

/// Levels of a schema. kube-apiserver has no such bound; it keeps foreign schemas off the stack's end.
const MAX_DEPTH: usize = 64;
/// Parses the schema of a whole resource.
pub(crate) fn resource(source: &Value) -> Result<Node, SchemaError> {
    let mut node = level(source, &mut Vec::new(), Role::Structure)?;
    if node.kind != NodeKind::Object {
        return Err(refuse(
            &[],
            "found no object, allowed: type: object for a resource",
        ));
    }
    node.resource = true;
    metadata::add_resource_fields(&mut node);
    whole::compile_rules(&mut node, source, &mut Vec::new(), true)?;
    whole::check_defaults(&node, &mut Vec::new())?;
    Ok(node)
}

/// Parses the schema of a part of a resource, without rules.
pub(crate) fn part(source: &Value) -> Result<Node, SchemaError> {
    level(source, &mut Vec::new(), Role::Structure)
}

/// Whether a level says what a value is or, inside `allOf` and its like, only limits it.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Structure,
    Limit,
}

fn refuse(path: &[String], message: impl Into<String>) -> SchemaError {
    let path = if path.is_empty() {
        "the root".to_owned()
    } else {
        path.join(".")
    };
    SchemaError::NotStructural {
        path,
        message: message.into(),
    }
}

fn level(source: &Value, path: &mut Vec<String>, role: Role) -> Result<Node, SchemaError> {
    if path.len() > MAX_DEPTH {
        return Err(refuse(
            path,
            format!("found more than {MAX_DEPTH} levels, allowed: {MAX_DEPTH}"),
        ));
    }
    let Some(map) = source.as_object() else {
        return Err(refuse(path, "found no object, allowed: a schema object"));
    };
    let keywords = Keywords {
        map,
        path: path.clone(),
    };
    let mut node = Node::new(kind(&keywords, role)?);
    if role == Role::Limit {
        keywords.refuse_structure()?;
    }
    keywords.values(&mut node)?;
    keywords.extensions(&mut node)?;
    children(&keywords, &mut node, path, role)?;
    if node.resource {
        metadata::add_resource_fields(&mut node);
    }
    junctors(&keywords, &mut node, path)?;
    keywords.refuse_unknown()?;
    if role == Role::Structure {
        structure::check(&node, path)?;
    }
    Ok(node)
}

fn kind(keywords: &Keywords<'_>, role: Role) -> Result<NodeKind, SchemaError> {
    let declared = keywords.text("type")?;
    let int_or_string = keywords.flag("x-kubernetes-int-or-string")?;
    let preserve = keywords.flag("x-kubernetes-preserve-unknown-fields")?;
    match declared {
        Some(_) if int_or_string => Err(keywords.refuse(
            "found type beside x-kubernetes-int-or-string, allowed: one of them",
        )),
        Some("object") => Ok(NodeKind::Object),
        Some("array") => Ok(NodeKind::Array),
        Some("string") => Ok(NodeKind::String),
        Some("integer") => Ok(NodeKind::Integer),
        Some("number") => Ok(NodeKind::Number),
        Some("boolean") => Ok(NodeKind::Boolean),
        Some(other) => Err(keywords.refuse(format!(
            "found type {other:?}, allowed: object, array, string, integer, number, boolean"
        ))),
        None if int_or_string => Ok(NodeKind::IntOrString),
        None if preserve || role == Role::Limit => Ok(NodeKind::Any),
        None => Err(keywords.refuse(
            "found no type, allowed: a type, x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields",
        )),
    }
}

fn children(
    keywords: &Keywords<'_>,
    node: &mut Node,
    path: &mut Vec<String>,
    role: Role,
) -> Result<(), SchemaError> {
    if let Some(properties) = keywords.map.get("properties") {
        let Some(properties) = properties.as_object() else {
            return Err(keywords
                .refuse("found properties that are no object, allowed: an object of schemas"));
        };
        for (name, source) in properties {
            path.push(name.clone());
            let child = level(source, path, role)?;
            path.pop();
            node.properties.insert(name.clone(), child);
        }
    }
    if let Some(source) = keywords.map.get("additionalProperties") {
        if source.is_boolean() {
            return Err(keywords.refuse(
                "found additionalProperties true or false, allowed: a schema, or x-kubernetes-preserve-unknown-fields",
            ));
        }
        if !node.properties.is_empty() {
            return Err(keywords
                .refuse("found properties beside additionalProperties, allowed: one of them"));
        }
        path.push("*".to_owned());
        node.additional_properties = Some(Box::new(level(source, path, role)?));
        path.pop();
    }
    if let Some(source) = keywords.map.get("items") {
        path.push("items".to_owned());
        node.items = Some(Box::new(level(source, path, role)?));
        path.pop();
    }
    Ok(())
}

fn junctors(
    keywords: &Keywords<'_>,
    node: &mut Node,
    path: &mut Vec<String>,
) -> Result<(), SchemaError> {
    for (keyword, limits) in [
        ("allOf", &mut node.all_of),
        ("anyOf", &mut node.any_of),
        ("oneOf", &mut node.one_of),
    ] {
        let Some(value) = keywords.map.get(keyword) else {
            continue;
        };
        let Some(sources) = value.as_array().filter(|list| !list.is_empty()) else {
            return Err(keywords.refuse(format!(
                "found {keyword} that is no list, allowed: a list of schemas"
            )));
        };
        if node.kind == NodeKind::IntOrString && is_int_or_string(sources) {
            continue;
        }
        for (index, source) in sources.iter().enumerate() {
            path.push(format!("{keyword}[{index}]"));
            limits.push(level(source, path, Role::Limit)?);
            path.pop();
        }
    }
    if let Some(source) = keywords.map.get("not") {
        path.push("not".to_owned());
        node.not = Some(Box::new(level(source, path, Role::Limit)?));
        path.pop();
    }
    Ok(())
}

/// `anyOf: [{type: integer}, {type: string}]`, the one place where types may stand in a junctor: it
/// tells other tools what `x-kubernetes-int-or-string` says already.
fn is_int_or_string(sources: &[Value]) -> bool {
    let types: Vec<_> = sources.iter().map(|source| &source["type"]).collect();
    types == ["integer", "string"] || types == ["string", "integer"]
}
