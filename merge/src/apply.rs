//! Applying a configuration.

use crate::compare::{Comparison, compare};
use crate::field_set::FieldSet;
use crate::managers::{Identity, Managers, Operation};
use crate::{ApplyError, ApplyOptions, Change, Conflict};
use crate::{config, ownership, structured};
use quorate_schema::{Node, Schema, Violation, ViolationReason};
use serde_json::{Map, Value};

/// The manager that owns what was there before anybody's ownership was noted.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Merges the configuration `config` into `live`, which is absent when the object is new.
///
/// Fields that the configuration sets become this manager's; what it set before and no longer sets
/// goes, unless somebody else owns it too. An apply that changes nothing returns `live` as it is.
///
/// # Errors
/// When others own fields with other values, or the configuration cannot be merged.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    config: &Value,
    options: &ApplyOptions<'_>,
) -> Result<Change, ApplyError> {
    let node = Some(schema.root());
    let part = applicable(node, config, options.subresource)?;
    let identity = Identity {
        name: options.manager,
        operation: Operation::Apply,
        subresource: options.subresource,
        api_version: options.api_version,
    };
    let mut managers = live.map(Managers::of).unwrap_or_default();
    managers.rewrite(|fields| ownership::reconcile(node, fields));
    if let Some(live) = live
        && managers.is_empty()
    {
        note_untracked(node, live, &mut managers, options);
    }
    let last = managers.fields_of(&identity).cloned().unwrap_or_default();
    let own = config::paths(node, &part).difference(ownership::unowned());

    let (merged, comparison) = match live {
        Some(live) => {
            let merged = merge(node, live, &part, &last, &own, &managers, &identity);
            let comparison = compare(node, live, &merged).without(ownership::unowned());
            (merged, comparison)
        }
        None => (first(config, part), Comparison::default()),
    };
    let set = comparison.set();
    if !options.force {
        refuse_conflicts(&managers, &identity, &set)?;
    }
    managers.take_from_others(&identity, &set);
    managers.take_from_others(&identity, &comparison.removed);
    managers.set(&identity, own, !comparison.is_empty(), options.now);
    let mut object = merged;
    managers.write(&mut object);
    Ok(Change::of(live, object))
}

fn applicable(
    node: Option<&Node>,
    config: &Value,
    subresource: Option<&str>,
) -> Result<Value, ApplyError> {
    if !config.is_object() {
        return Err(crate::no_object());
    }
    let mut violations = Vec::new();
    let given = &config["metadata"]["managedFields"];
    if given.as_array().is_some_and(|entries| !entries.is_empty()) {
        violations.push(Violation::new(
            "metadata.managedFields",
            ViolationReason::Forbidden,
            "found managed fields, allowed: none in a configuration; leave them out",
        ));
    }
    let mut part = ownership::applicable(config, subresource);
    config::drop_nulls(node, &mut part);
    config::check(node, &part, "", &mut violations);
    if violations.is_empty() {
        Ok(part)
    } else {
        Err(ApplyError::InvalidConfig(violations))
    }
}

/// Gives everything that is there to somebody, so that an apply cannot change it unnoticed.
fn note_untracked(
    node: Option<&Node>,
    live: &Value,
    managers: &mut Managers,
    options: &ApplyOptions<'_>,
) {
    let nothing = Value::Object(Map::new());
    let everything = compare(node, &nothing, live).without(ownership::unowned());
    let identity = Identity {
        name: BEFORE_FIRST_APPLY,
        operation: Operation::Update,
        subresource: None,
        api_version: options.api_version,
    };
    managers.set(&identity, everything.added, true, options.now);
}

/// The live object with the configuration merged in and without what was dropped from it.
fn merge(
    node: Option<&Node>,
    live: &Value,
    part: &Value,
    last: &FieldSet,
    own: &FieldSet,
    managers: &Managers,
    identity: &Identity<'_>,
) -> Value {
    let mut merged = live.clone();
    structured::merge(node, &mut merged, part);
    if !last.clone().difference(own).is_empty() {
        let mut managed = own.clone();
        for manager in managers.others(identity) {
            managed.add(manager.fields());
        }
        structured::remove_dropped(node, &mut merged, last, &managed);
    }
    merged
}

/// A new object: the configuration with the name that it gives itself.
fn first(config: &Value, mut part: Value) -> Value {
    if let (Some(fields), Some(given)) = (part.as_object_mut(), config["metadata"].as_object()) {
        let metadata = fields
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(metadata) = metadata {
            for name in ["name", "generateName"] {
                if let Some(value) = given.get(name) {
                    metadata.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
    part
}

fn refuse_conflicts(
    managers: &Managers,
    identity: &Identity<'_>,
    set: &FieldSet,
) -> Result<(), ApplyError> {
    if set.is_empty() {
        return Ok(());
    }
    let mut conflicts: Vec<Conflict> = managers
        .others(identity)
        .flat_map(|manager| {
            let paths = manager.fields().intersection(set).paths();
            paths.into_iter().map(|path| Conflict {
                path,
                manager: manager.name.clone(),
                operation: manager.operation,
                subresource: manager.subresource.clone(),
            })
        })
        .collect();
    if conflicts.is_empty() {
        return Ok(());
    }
    conflicts.sort();
    Err(ApplyError::Conflicts(conflicts))
}
