//! Changes to the object itself: merging a configuration in, and removing what its manager has
//! dropped from it.

use crate::field_set::{Element, FieldSet};
use crate::shape::{self, Keys, Shape};
use quorate_schema::Node;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Merges `config` into `live`.
pub(crate) fn merge(node: Option<&Node>, live: &mut Value, config: &Value) {
    match (shape::of(node, live), shape::of(node, config)) {
        (Shape::Fields(_), Shape::Fields(config)) => {
            if let Value::Object(live) = live {
                merge_fields(node, live, config);
            }
        }
        (Shape::Items(..), Shape::Items(config, keys)) => {
            if let Value::Array(live) = live {
                *live = merge_items(shape::items(node), keys, std::mem::take(live), config);
            }
        }
        _ => {
            if live != config {
                live.clone_from(config);
            }
        }
    }
}

fn merge_fields(node: Option<&Node>, live: &mut Map<String, Value>, config: &Map<String, Value>) {
    for (name, value) in config {
        match live.get_mut(name) {
            Some(live) => merge(shape::child(node, name), live, value),
            None => {
                live.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Merges lists whose items are told apart, in the order that structured-merge-diff gives them:
/// the items of the configuration come in its own order, and an item that only the live list has
/// stays behind the one that it stood behind, as far as that order allows.
fn merge_items(
    node: Option<&Node>,
    keys: Keys<'_>,
    live: Vec<Value>,
    config: &[Value],
) -> Vec<Value> {
    let wanted: Vec<Element> = config.iter().map(|item| keys.element(item)).collect();
    let wanted_set: BTreeSet<&Element> = wanted.iter().collect();
    let order: Vec<Element> = live.iter().map(|item| keys.element(item)).collect();
    let mut live: BTreeMap<&Element, Value> = order.iter().zip(live).collect();
    // The items that both have, in the order of the configuration.
    let mut shared = wanted
        .iter()
        .filter(|element| live.contains_key(element))
        .cloned()
        .collect::<Vec<_>>()
        .into_iter()
        .peekable();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut merged = Vec::with_capacity(order.len() + config.len());
    let (mut from_live, mut from_config) = (0, 0);
    while from_live < order.len() || from_config < wanted.len() {
        if let Some(element) = order.get(from_live) {
            if !wanted_set.contains(element) {
                merged.extend(live.remove(element));
                from_live += 1;
                continue;
            }
            let next = wanted.get(from_config);
            let elsewhere =
                next != Some(element) && shared.peek().is_some_and(|next| next != element);
            if done.contains(element) || elsewhere {
                from_live += 1;
                continue;
            }
        }
        let Some((element, item)) = wanted.get(from_config).zip(config.get(from_config)) else {
            break;
        };
        merged.push(match live.remove(element) {
            Some(mut value) => {
                merge(node, &mut value, item);
                value
            }
            None => item.clone(),
        });
        done.insert(element);
        shared.next_if_eq(element);
        from_config += 1;
    }
    merged
}

/// Removes from `value` what is in `last`, the manager's former configuration, and in no `managed`
/// set any more. What was never in that configuration stays, unless it is inside what goes.
pub(crate) fn remove_dropped(
    node: Option<&Node>,
    value: &mut Value,
    last: &FieldSet,
    managed: &FieldSet,
) {
    let keys = match shape::of(node, value) {
        Shape::Leaf => return,
        Shape::Fields(_) => None,
        Shape::Items(..) => shape::keys(node),
    };
    match (value, keys) {
        (Value::Object(fields), None) => fields.retain(|name, value| {
            let element = Element::field(name);
            let child = shape::child(node, name);
            keep(
                child,
                value,
                &element,
                shape::is_named(node, name),
                last,
                managed,
            )
        }),
        (Value::Array(items), Some(keys)) => items.retain_mut(|item| {
            let element = keys.element(item);
            keep(shape::items(node), item, &element, false, last, managed)
        }),
        _ => {}
    }
}

fn keep(
    node: Option<&Node>,
    value: &mut Value,
    element: &Element,
    named: bool,
    last: &FieldSet,
    managed: &FieldSet,
) -> bool {
    let Some(dropped) = last.get(element) else {
        return true;
    };
    let owned = managed.get(element);
    let kept = match owned {
        Some(entry) => entry.member || named,
        None => false,
    };
    if !kept && (dropped.member || named) {
        return false;
    }
    let none = FieldSet::default();
    let below = owned.map_or(&none, |entry| &entry.children);
    remove_dropped(node, value, &dropped.children, below);
    true
}
