//! Checks an object against its schema.
//!
//! A person mends a manifest faster when told everything at once, so checking goes on after a
//! violation; it stops only when there are more than anybody reads. CEL rules of a level run when
//! the level and all below it are sound, as in kube-apiserver: a rule may then rely on the types.

use crate::cel::Budget;
use crate::describe;
use crate::metadata;
use crate::node::{ListType, Node, NodeKind};
use crate::numbers;
use crate::path::Path;
use crate::violation::{Violation, ViolationReason};
use serde_json::{Map, Number, Value};
use std::collections::{HashMap, HashSet};

/// Violations after which checking stops.
const ENOUGH: usize = 100;

/// Checks `value`, and everything below it, against `node`.
pub(crate) fn value(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    out: &mut Vec<Violation>,
) {
    Check {
        out,
        budget: Budget::of_one_object(),
    }
    .level(node, value, old, path);
}

struct Check<'a> {
    out: &'a mut Vec<Violation>,
    budget: Budget,
}

impl Check<'_> {
    fn report(&mut self, path: &Path<'_>, reason: ViolationReason, message: String) {
        self.out
            .push(Violation::new(path.to_string(), reason, message));
    }

    fn level(&mut self, node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) {
        let before = self.out.len();
        if before >= ENOUGH {
            return;
        }
        if value.is_null() {
            if !node.nullable && node.kind != NodeKind::Any {
                self.mismatch(node, value, path);
            }
            return;
        }
        if !has_type(node.kind, value) {
            self.mismatch(node, value, path);
            return;
        }
        self.limits(node, value, path);
        match value {
            Value::Object(fields) => self.fields(node, fields, old, path),
            Value::Array(items) => self.items(node, items, old, path),
            _ => {}
        }
        if self.out.len() == before {
            for rule in &node.rules {
                rule.check(node, value, old, path, &mut self.budget, self.out);
            }
        }
    }

    fn mismatch(&mut self, node: &Node, value: &Value, path: &Path<'_>) {
        let found = describe::value(value);
        let article = match node.kind {
            NodeKind::Boolean => "true or false",
            NodeKind::Integer => "a whole number",
            NodeKind::Number => "a number",
            NodeKind::String => "a string",
            NodeKind::Array => "a list",
            NodeKind::Object => "an object",
            NodeKind::IntOrString => "a whole number or a string",
            NodeKind::Any => "a value",
        };
        let hint = match (node.kind, value) {
            (NodeKind::String, Value::Number(_) | Value::Bool(_)) => "; put it in quotes",
            (NodeKind::Integer | NodeKind::Number | NodeKind::Boolean, Value::String(_)) => {
                "; without quotes"
            }
            _ => "",
        };
        let message = format!("found {found}, allowed: {article}{hint}");
        self.report(path, ViolationReason::TypeMismatch, message);
    }

    /// What limits the value itself, whatever is below it.
    fn limits(&mut self, node: &Node, value: &Value, path: &Path<'_>) {
        if !node.allowed.is_empty() && !node.allowed.contains(value) {
            let allowed = describe::list(node.allowed.iter().map(describe::value));
            let found = describe::value(value);
            self.report(
                path,
                ViolationReason::NotSupported,
                format!("found {found}, allowed: {allowed}"),
            );
        }
        match value {
            Value::String(text) => self.text(node, text, path),
            Value::Number(number) => self.number(node, number, path),
            Value::Array(items) => {
                self.count(node.min_items, node.max_items, items.len(), "items", path);
            }
            Value::Object(fields) => {
                self.count(
                    node.min_properties,
                    node.max_properties,
                    fields.len(),
                    "fields",
                    path,
                );
            }
            Value::Null | Value::Bool(_) => {}
        }
        self.junctors(node, value, path);
    }

    fn text(&mut self, node: &Node, text: &str, path: &Path<'_>) {
        if node.min_length.is_some() || node.max_length.is_some() {
            let length = text.chars().count() as u64;
            if let Some(longest) = node.max_length.filter(|longest| length > *longest) {
                self.report(
                    path,
                    ViolationReason::TooLong,
                    format!("found {length} characters, allowed: at most {longest}"),
                );
                return;
            }
            if let Some(shortest) = node.min_length.filter(|shortest| length < *shortest) {
                let found = describe::text(text);
                self.report(
                    path,
                    ViolationReason::Invalid,
                    format!(
                        "found {found}, allowed: at least {shortest} character{}",
                        if shortest == 1 { "" } else { "s" }
                    ),
                );
                return;
            }
        }
        // A format says what is meant, a pattern only how it is spelt: one message is enough.
        if let Some(format) = node.format
            && !format.accepts_text(text)
        {
            let found = describe::text(text);
            self.report(
                path,
                ViolationReason::Invalid,
                format!("found {found}, allowed: {}", format.allowed()),
            );
            return;
        }
        if let Some(pattern) = &node.pattern
            && !pattern.is_match(text)
        {
            let found = describe::text(text);
            self.report(
                path,
                ViolationReason::Invalid,
                format!("found {found}, allowed: what matches {}", pattern.as_str()),
            );
        }
    }

    fn number(&mut self, node: &Node, number: &Number, path: &Path<'_>) {
        if let (Some(format), Some(integer)) = (node.format, number.as_i64())
            && !format.accepts_integer(integer)
        {
            self.report(
                path,
                ViolationReason::Invalid,
                format!("found {number}, allowed: {}", format.allowed()),
            );
            return;
        }
        if !numbers::within(node, number) {
            let message = format!("found {number}, allowed: {}", numbers::range(node));
            self.report(path, ViolationReason::Invalid, message);
        }
        if let Some(step) = &node.multiple_of
            && !numbers::is_multiple(number, step)
        {
            self.report(
                path,
                ViolationReason::Invalid,
                format!("found {number}, allowed: a multiple of {step}"),
            );
        }
    }

    fn count(
        &mut self,
        fewest: Option<u64>,
        most: Option<u64>,
        found: usize,
        what: &str,
        path: &Path<'_>,
    ) {
        let found = found as u64;
        if let Some(most) = most.filter(|most| found > *most) {
            self.report(
                path,
                ViolationReason::TooMany,
                format!("found {found} {what}, allowed: at most {most}"),
            );
        }
        if let Some(fewest) = fewest.filter(|fewest| found < *fewest) {
            self.report(
                path,
                ViolationReason::Invalid,
                format!("found {found} {what}, allowed: at least {fewest}"),
            );
        }
    }

    fn junctors(&mut self, node: &Node, value: &Value, path: &Path<'_>) {
        for limit in &node.all_of {
            self.level(limit, value, None, path);
        }
        if !node.any_of.is_empty() && !node.any_of.iter().any(|limit| holds(limit, value)) {
            self.report(
                path,
                ViolationReason::Invalid,
                format!(
                    "found none, allowed: {}",
                    alternatives("at least one of", &node.any_of)
                ),
            );
        }
        if !node.one_of.is_empty() {
            let holding = node
                .one_of
                .iter()
                .filter(|limit| holds(limit, value))
                .count();
            if holding != 1 {
                let found = if holding == 0 {
                    "none".to_owned()
                } else {
                    format!("{holding}")
                };
                self.report(
                    path,
                    ViolationReason::Invalid,
                    format!(
                        "found {found}, allowed: {}",
                        alternatives("exactly one of", &node.one_of)
                    ),
                );
            }
        }
        if let Some(limit) = node.not.as_deref()
            && holds(limit, value)
        {
            self.report(
                path,
                ViolationReason::Invalid,
                format!("found what is excluded: {}", requirement(limit)),
            );
        }
    }

    fn fields(
        &mut self,
        node: &Node,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        path: &Path<'_>,
    ) {
        for required in &node.required {
            if !fields.contains_key(required) {
                let allowed = node
                    .child(required)
                    .map_or("a value", |child| child.kind.as_str());
                let message = format!("found none, allowed: {allowed}");
                self.report(&path.field(required), ViolationReason::Required, message);
            }
        }
        for (name, value) in fields {
            let old = old.and_then(|old| old.get(name));
            if let Some(child) = node.properties.get(name) {
                let path = path.field(name);
                self.level(child, value, old, &path);
                if node.resource && name == "metadata" {
                    metadata::check(value, &path, self.out);
                }
            } else if let Some(child) = node.additional_properties.as_deref() {
                self.level(child, value, old, &path.key(name));
            }
        }
    }

    fn items(&mut self, node: &Node, items: &[Value], old: Option<&Value>, path: &Path<'_>) {
        let Some(child) = node.items.as_deref() else {
            return;
        };
        let keys = match &node.list_type {
            ListType::Atomic => None,
            ListType::Set => Some(&[][..]),
            ListType::Map { keys } => Some(keys.as_slice()),
        };
        let mut seen = HashSet::new();
        // Only the items of a list map are the same ones from one state of the object to the next.
        let old_items: HashMap<String, &Value> = match (keys, old.and_then(Value::as_array)) {
            (Some(keys), Some(old)) if !keys.is_empty() => old
                .iter()
                .map(|item| (identity(keys, item), item))
                .collect(),
            _ => HashMap::new(),
        };
        for (index, item) in items.iter().enumerate() {
            let path = path.index(index);
            let identity = keys.map(|keys| identity(keys, item));
            let old = identity
                .as_ref()
                .and_then(|identity| old_items.get(identity).copied());
            self.level(child, item, old, &path);
            if let (Some(keys), Some(identity)) = (keys, identity)
                && !seen.insert(identity)
            {
                let found = duplicate(keys, item);
                self.report(
                    &path,
                    ViolationReason::Duplicate,
                    format!("found {found} once more, allowed: each only once"),
                );
            }
        }
    }
}

fn has_type(kind: NodeKind, value: &Value) -> bool {
    match kind {
        NodeKind::Object => value.is_object(),
        NodeKind::Array => value.is_array(),
        NodeKind::String => value.is_string(),
        NodeKind::Integer => value.is_i64(),
        NodeKind::Number => value.is_number(),
        NodeKind::Boolean => value.is_boolean(),
        NodeKind::IntOrString => value.is_i64() || value.is_string(),
        NodeKind::Any => true,
    }
}

fn holds(node: &Node, value: &Value) -> bool {
    let mut violations = Vec::new();
    self::value(node, value, None, &Path::ROOT, &mut violations);
    violations.is_empty()
}

/// What tells an item of a set or of a list map from the others, as text.
fn identity(keys: &[String], item: &Value) -> String {
    if keys.is_empty() {
        return item.to_string();
    }
    let mut identity = String::new();
    for key in keys {
        identity += &item.get(key).unwrap_or(&Value::Null).to_string();
        identity.push('\u{0}');
    }
    identity
}

fn duplicate(keys: &[String], item: &Value) -> String {
    if keys.is_empty() {
        return describe::value(item);
    }
    describe::list(keys.iter().map(|key| {
        format!(
            "{key} {}",
            describe::value(item.get(key).unwrap_or(&Value::Null))
        )
    }))
}

fn alternatives(how_many: &str, limits: &[Node]) -> String {
    let all: Vec<String> = limits.iter().map(requirement).collect();
    format!("{how_many}: {}", all.join("; "))
}

/// What a limit asks for, in a few words.
fn requirement(limit: &Node) -> String {
    if !limit.required.is_empty() {
        return limit.required.join(" with ");
    }
    let named: Vec<&str> = limit.properties.keys().map(String::as_str).collect();
    if named.is_empty() {
        "a value within its limits".to_owned()
    } else {
        format!("{} within limits", named.join(" with "))
    }
}
