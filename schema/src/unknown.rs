//! Fields that the schema does not know: reported in manifests, removed on request.

use crate::describe;
use crate::node::{Node, NodeKind};
use crate::path::Path;
use crate::violation::{Violation, ViolationReason};
use serde_json::Value;

/// Known fields that a message lists before it says "and more".
const LISTED: usize = 24;

/// Reports the unknown fields of `value` and of everything below it.
pub(crate) fn report(node: &Node, value: &Value, path: &Path<'_>, out: &mut Vec<Violation>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(child) = node.properties.get(name) {
                    report(child, value, &path.field(name), out);
                } else if let Some(child) = node.additional_properties.as_deref() {
                    report(child, value, &path.key(name), out);
                } else if is_closed(node) {
                    out.push(Violation::new(
                        path.field(name).to_string(),
                        ViolationReason::Unknown,
                        message(node, name),
                    ));
                }
            }
        }
        Value::Array(items) => {
            if let Some(child) = node.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    report(child, item, &path.index(index), out);
                }
            }
        }
        _ => {}
    }
}

/// Removes the unknown fields of `value` and of everything below it.
pub(crate) fn prune(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let closed = is_closed(node);
            fields.retain(|name, value| match node.child(name) {
                Some(child) => {
                    prune(child, value);
                    true
                }
                None => !closed,
            });
        }
        Value::Array(items) => {
            if let Some(child) = node.items.as_deref() {
                for item in items {
                    prune(child, item);
                }
            }
        }
        _ => {}
    }
}

/// Whether fields outside `properties` are unknown. A value of another type than object is for
/// validation to refuse.
fn is_closed(node: &Node) -> bool {
    node.kind == NodeKind::Object && !node.preserve_unknown
}

fn message(node: &Node, name: &str) -> String {
    let found = describe::text(name);
    if node.properties.is_empty() {
        return format!("found unknown field {found}, allowed: no fields");
    }
    let mut known = describe::list(node.properties.keys().take(LISTED));
    if node.properties.len() > LISTED {
        known += " and more";
    }
    match nearest(node, name) {
        Some(near) => {
            format!("found unknown field {found}, did you mean {near:?}? allowed: {known}")
        }
        None => format!("found unknown field {found}, allowed: {known}"),
    }
}

/// The known field that a slip of the finger would turn into `name`.
fn nearest<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    node.properties
        .keys()
        .map(|known| (distance(&known.to_lowercase(), &name.to_lowercase()), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3).min(3))
        .map(|(_, known)| known.as_str())
}

/// Levenshtein's distance in bytes; both texts are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
