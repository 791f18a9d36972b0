//! How a value is divided among owners: as one, by fields, or by items.

use crate::field_set::Element;
use quorate_schema::{ListType, MapType, Node, NodeKind};
use serde_json::{Map, Value};

/// How a value is divided.
pub(crate) enum Shape<'a> {
    /// One value with one set of owners.
    Leaf,
    /// Fields, each with owners of its own.
    Fields(&'a Map<String, Value>),
    /// Items that are told apart, each with owners of its own.
    Items(&'a [Value], Keys<'a>),
}

/// What tells the items of a list apart.
#[derive(Clone, Copy)]
pub(crate) enum Keys<'a> {
    /// Their values.
    Set,
    /// The values of these fields; the node has the defaults of absent ones.
    Map(&'a [String], Option<&'a Node>),
}

/// The shape of `value` by its schema. Without a schema objects are divided by fields and lists not
/// at all, as structured-merge-diff deduces it.
pub(crate) fn of<'a>(node: Option<&'a Node>, value: &'a Value) -> Shape<'a> {
    match value {
        Value::Object(fields) => match node {
            Some(node) if node.map_type == MapType::Atomic => Shape::Leaf,
            Some(node) if !matches!(node.kind, NodeKind::Object | NodeKind::Any) => Shape::Leaf,
            _ => Shape::Fields(fields),
        },
        Value::Array(items) => match keys(node) {
            Some(keys) => Shape::Items(items, keys),
            None => Shape::Leaf,
        },
        _ => Shape::Leaf,
    }
}

/// What tells the items of a list of this schema apart, unless it is one value.
pub(crate) fn keys(node: Option<&Node>) -> Option<Keys<'_>> {
    let node = node?;
    match &node.list_type {
        ListType::Atomic => None,
        ListType::Set => Some(Keys::Set),
        ListType::Map { keys } => Some(Keys::Map(keys, node.items.as_deref())),
    }
}

impl Keys<'_> {
    /// The path element of `item`. An absent key counts with its default, or as null.
    pub(crate) fn element(&self, item: &Value) -> Element {
        match self {
            Self::Set => Element::value(item),
            Self::Map(keys, node) => {
                let value_of = |key: &String| {
                    let default = || node.and_then(|node| node.child(key)?.default.as_ref());
                    item.get(key)
                        .or_else(default)
                        .cloned()
                        .unwrap_or(Value::Null)
                };
                Element::keys(
                    keys.iter()
                        .map(|key| (key.clone(), value_of(key)))
                        .collect(),
                )
            }
        }
    }

    /// The first key that `item` has neither given nor by default.
    pub(crate) fn missing(&self, item: &Value) -> Option<&str> {
        let Self::Map(keys, node) = self else {
            return None;
        };
        keys.iter()
            .find(|key| {
                item.get(*key).is_none_or(Value::is_null)
                    && node
                        .and_then(|node| node.child(key)?.default.as_ref())
                        .is_none()
            })
            .map(String::as_str)
    }
}

/// The schema of a field of `node`.
pub(crate) fn child<'n>(node: Option<&'n Node>, name: &str) -> Option<&'n Node> {
    node.and_then(|node| node.child(name))
}

/// The schema of the items of `node`.
pub(crate) fn items(node: Option<&Node>) -> Option<&Node> {
    node.and_then(|node| node.items.as_deref())
}

/// Whether `name` is a field that the schema names, rather than an entry of a map. A named field
/// belongs to whoever owns something below it; an entry has owners of its own.
pub(crate) fn is_named(node: Option<&Node>, name: &str) -> bool {
    node.is_some_and(|node| node.properties.contains_key(name))
}
