//! What differs between two states of an object, as sets of paths.

use crate::field_set::{Element, Entry, FieldSet};
use crate::shape::{self, Keys, Shape};
use quorate_schema::Node;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The differences between two states.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// What only the newer one has, with everything below it.
    pub(crate) added: FieldSet,
    /// Leaves that both have with different values.
    pub(crate) modified: FieldSet,
    /// What only the older one has, with everything below it.
    pub(crate) removed: FieldSet,
}

impl Comparison {
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// What was set: added or modified.
    pub(crate) fn set(&self) -> FieldSet {
        self.added.clone().union(&self.modified)
    }

    /// Leaves out what nobody can own.
    pub(crate) fn without(mut self, paths: &FieldSet) -> Self {
        self.added.subtract(paths);
        self.modified.subtract(paths);
        self.removed.subtract(paths);
        self
    }

    fn graft(&mut self, element: &Element, below: Self) {
        let entry = |children| Entry {
            member: false,
            children,
        };
        self.added.insert_entry(element, entry(below.added));
        self.modified.insert_entry(element, entry(below.modified));
        self.removed.insert_entry(element, entry(below.removed));
    }
}

/// Compares two states of a value.
pub(crate) fn compare(node: Option<&Node>, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    match (shape::of(node, old), shape::of(node, new)) {
        (Shape::Fields(old), Shape::Fields(new)) => fields(node, old, new, &mut comparison),
        (Shape::Items(old, keys), Shape::Items(new, _)) => {
            items(node, keys, old, new, &mut comparison);
        }
        _ => {}
    }
    comparison
}

fn fields(
    node: Option<&Node>,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    out: &mut Comparison,
) {
    for (name, value) in old {
        if !new.contains_key(name) {
            let below = all(shape::child(node, name), value);
            out.removed.insert_entry(&Element::field(name), below);
        }
    }
    for (name, value) in new {
        let child = shape::child(node, name);
        match old.get(name) {
            None => out
                .added
                .insert_entry(&Element::field(name), all(child, value)),
            Some(before) => both(|| Element::field(name), child, before, value, out),
        }
    }
}

fn items(node: Option<&Node>, keys: Keys<'_>, old: &[Value], new: &[Value], out: &mut Comparison) {
    let node = shape::items(node);
    let mut before: BTreeMap<Element, &Value> =
        old.iter().map(|item| (keys.element(item), item)).collect();
    for item in new {
        let element = keys.element(item);
        match before.remove(&element) {
            None => out.added.insert_entry(&element, all(node, item)),
            Some(before) => both(|| element.clone(), node, before, item, out),
        }
    }
    for (element, item) in before {
        out.removed.insert_entry(&element, all(node, item));
    }
}

fn both(
    element: impl FnOnce() -> Element,
    node: Option<&Node>,
    old: &Value,
    new: &Value,
    out: &mut Comparison,
) {
    match (shape::of(node, old), shape::of(node, new)) {
        (Shape::Fields(_), Shape::Fields(_)) | (Shape::Items(..), Shape::Items(..)) => {
            let below = compare(node, old, new);
            if !below.is_empty() {
                out.graft(&element(), below);
            }
        }
        _ if old != new => out.modified.insert(element()),
        _ => {}
    }
}

/// A value with everything below it, containers included.
fn all(node: Option<&Node>, value: &Value) -> Entry {
    let mut children = FieldSet::default();
    match shape::of(node, value) {
        Shape::Leaf => {}
        Shape::Fields(fields) => {
            for (name, value) in fields {
                let below = all(shape::child(node, name), value);
                children.insert_entry(&Element::field(name), below);
            }
        }
        Shape::Items(items, keys) => {
            for item in items {
                let below = all(shape::items(node), item);
                children.insert_entry(&keys.element(item), below);
            }
        }
    }
    Entry {
        member: true,
        children,
    }
}
