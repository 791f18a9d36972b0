//! Tracking ownership through creating, replacing and patching.

use crate::compare::{Comparison, compare};
use crate::field_set::FieldSet;
use crate::managers::{Identity, Managers, Operation};
use crate::ownership;
use crate::{ApplyError, Change, UpdateOptions};
use quorate_schema::{Node, Schema};
use serde_json::{Map, Value};

/// Notes who owns what after `live`, absent when the object is new, has become `new`.
///
/// Every field that differs becomes this manager's and nobody else's; what is gone is nobody's. The
/// status of `new` counts only through the subresource `status`, and there nothing else does.
///
/// # Errors
/// When `new` is no object.
pub fn update(
    schema: &Schema,
    live: Option<&Value>,
    new: Value,
    options: &UpdateOptions<'_>,
) -> Result<Change, ApplyError> {
    if !new.is_object() {
        return Err(crate::no_object());
    }
    let node = Some(schema.root());
    let asks_for_reset = is_reset(&new["metadata"]["managedFields"]);
    let given = if options.subresource.is_none() {
        Managers::of(&new)
    } else {
        Managers::default()
    };
    let mut object = ownership::restrict(live, new, options.subresource);
    if asks_for_reset && options.subresource.is_none() {
        Managers::default().write(&mut object);
        return Ok(Change::of(live, object));
    }
    // A client that knows managed fields sends them back, perhaps changed; others leave them out.
    let mut managers = match live {
        Some(live) if given.is_empty() => Managers::of(live),
        _ => given,
    };
    let comparison = differences(node, live, &object);
    if !comparison.is_empty() {
        managers.rewrite(|fields| ownership::reconcile(node, fields));
        let identity = Identity {
            name: options.manager,
            operation: Operation::Update,
            subresource: options.subresource,
            api_version: options.api_version,
        };
        note(&mut managers, &identity, &comparison, options.now);
    }
    managers.write(&mut object);
    Ok(Change::of(live, object))
}

fn note(managers: &mut Managers, identity: &Identity<'_>, comparison: &Comparison, now: &str) {
    let set = comparison.set();
    managers.take_from_others(identity, &set);
    managers.take_from_others(identity, &comparison.removed);
    let own: FieldSet = managers
        .fields_of(identity)
        .cloned()
        .unwrap_or_default()
        .difference(&comparison.removed)
        .union(&set);
    managers.set(identity, own, true, now);
    managers.cap_updaters();
}

fn differences(node: Option<&Node>, live: Option<&Value>, object: &Value) -> Comparison {
    let nothing = Value::Object(Map::new());
    compare(node, live.unwrap_or(&nothing), object).without(ownership::unowned())
}

/// Whether managed fields are to be forgotten: one empty entry. An empty list is not enough, for
/// clients that know nothing of managed fields may send one.
fn is_reset(managed_fields: &Value) -> bool {
    managed_fields
        .as_array()
        .is_some_and(|entries| matches!(&entries[..], [Value::Object(entry)] if entry.is_empty()))
}
