//! One object in words: what it is, what it should be, how it is, what happened to it.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    age, conditions,
    table::{Cell, Table},
};
use crate::{
    console::{Tone, paint},
    object,
};

/// The description of an object with the events about it.
pub(crate) fn describe(object: &Value, events: &[Value], now: Timestamp, color: bool) -> String {
    let mut out = String::new();
    let mut head = |label: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("{:<13} {value}\n", format!("{label}:")));
        }
    };
    head("Name", object::name(object));
    head("Kind", object::kind(object));
    head(
        "Labels",
        &object::pairs(object, "/metadata/labels").join("\n              "),
    );
    head(
        "Annotations",
        &object::pairs(object, "/metadata/annotations").join("\n              "),
    );
    let created = object::text(object, "/metadata/creationTimestamp");
    if !created.is_empty() {
        head(
            "Created",
            &format!("{created} ({} ago)", age::since(created, now)),
        );
    }
    let deleted = object::text(object, "/metadata/deletionTimestamp");
    if !deleted.is_empty() {
        let finalizers = object
            .pointer("/metadata/finalizers")
            .map(list_line)
            .unwrap_or_default();
        head(
            "Deleted",
            &format!("{} ago, waiting for {finalizers}", age::since(deleted, now)),
        );
    }
    head("Owned by", &owners(object));
    head("Generation", &generation(object));

    section(&mut out, "Spec", color);
    let secret = object::is_secret(object);
    match object.get("spec").and_then(Value::as_object) {
        Some(spec) if secret => fields(&mut out, &without_values(spec), 1),
        Some(spec) if !spec.is_empty() => fields(&mut out, spec, 1),
        _ => out.push_str("  (empty)\n"),
    }
    if let Some(status) = object.get("status").and_then(Value::as_object) {
        let mut status = status.clone();
        status.remove("conditions");
        status.remove("observedGeneration");
        if !status.is_empty() {
            section(&mut out, "Status", color);
            fields(&mut out, &status, 1);
        }
    }
    conditions_in_words(&mut out, object, now, color);
    events_table(&mut out, events, now, color);
    out
}

fn section(out: &mut String, title: &str, color: bool) {
    out.push('\n');
    out.push_str(&paint(color, Tone::Bold, title));
    out.push('\n');
}

fn generation(object: &Value) -> String {
    let Some(generation) = object
        .pointer("/metadata/generation")
        .and_then(Value::as_u64)
    else {
        return String::new();
    };
    match object
        .pointer("/status/observedGeneration")
        .and_then(Value::as_u64)
    {
        Some(observed) if observed < generation => {
            format!("{generation}, of which {observed} has been acted on")
        }
        Some(_) => format!("{generation}, acted on"),
        None if !has_status(object) => generation.to_string(),
        None => format!("{generation}, nobody has acted on it yet"),
    }
}

// Nobody acts on a Secret or a Role.
fn has_status(object: &Value) -> bool {
    quorate_crds::find(object::kind(object)).is_none_or(|kind| kind.status)
}

fn owners(object: &Value) -> String {
    let list = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|owner| {
            format!(
                "{}/{}",
                object::text(owner, "/kind").to_lowercase(),
                object::text(owner, "/name")
            )
        })
        .collect::<Vec<_>>()
        .join(", ")
}

// A Secret shows which entries it has and how long they are.
fn without_values(spec: &Map<String, Value>) -> Map<String, Value> {
    let mut spec = spec.clone();
    for field in ["data", "stringData"] {
        if let Some(entries) = spec.get_mut(field).and_then(Value::as_object_mut) {
            for value in entries.values_mut() {
                let encoded = value.as_str().unwrap_or_default();
                let bytes = if field == "data" {
                    encoded.trim_end_matches('=').len() * 3 / 4
                } else {
                    encoded.len()
                };
                *value = Value::from(format!("{bytes} bytes"));
            }
        }
    }
    spec
}

fn fields(out: &mut String, map: &Map<String, Value>, depth: usize) {
    for (key, value) in map {
        field(out, &words(key), value, depth);
    }
}

fn field(out: &mut String, label: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if map.is_empty() => {}
        Value::Object(map) => {
            out.push_str(&format!("{indent}{label}:\n"));
            // Keys that a person chose are shown as they are.
            if is_chosen_by_people(label) {
                for (key, value) in map {
                    field(out, key, value, depth + 1);
                }
            } else {
                fields(out, map, depth + 1);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_object() && !item.is_array()) =>
        {
            out.push_str(&format!("{indent}{label}: {}\n", list_line(value)));
        }
        Value::Array(items) => {
            out.push_str(&format!("{indent}{label}:\n"));
            for item in items {
                list_item(out, item, depth + 1);
            }
        }
        Value::String(text) if text.contains('\n') => {
            out.push_str(&format!("{indent}{label}:\n"));
            for line in text.lines() {
                out.push_str(&format!("{indent}  {line}\n"));
            }
        }
        scalar => out.push_str(&format!("{indent}{label}: {}\n", plain(scalar))),
    }
}

fn list_item(out: &mut String, item: &Value, depth: usize) {
    let mut text = String::new();
    match item {
        Value::Object(map) => fields(&mut text, map, depth + 1),
        other => field(&mut text, "", other, depth + 1),
    }
    // The first line carries the dash in place of its last two spaces of indentation.
    let indent = "  ".repeat(depth);
    out.push_str(&format!("{indent}- {}", text.trim_start()));
}

fn is_chosen_by_people(label: &str) -> bool {
    matches!(
        label,
        "Data"
            | "String Data"
            | "Options"
            | "Parameters"
            | "Labels"
            | "Match Labels"
            | "Node Selector"
    )
}

fn list_line(list: &Value) -> String {
    list.as_array()
        .into_iter()
        .flatten()
        .map(plain)
        .collect::<Vec<_>>()
        .join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => crate::jsonpath::scalar_text(other),
    }
}

/// `miimonInterval` as `Miimon Interval`.
fn words(key: &str) -> String {
    let mut out = String::new();
    let mut previous_lower = false;
    for (at, next) in key.chars().enumerate() {
        if at == 0 {
            out.extend(next.to_uppercase());
        } else {
            if next.is_uppercase() && previous_lower {
                out.push(' ');
            }
            out.push(next);
        }
        previous_lower = next.is_lowercase() || next.is_ascii_digit();
    }
    out
}

fn conditions_in_words(out: &mut String, object: &Value, now: Timestamp, color: bool) {
    let conditions = conditions::of(object);
    if conditions.is_empty() {
        return;
    }
    section(out, "Conditions", color);
    for condition in conditions {
        let mark = paint(color, condition.tone(), condition.plain());
        let since = if condition.since.is_empty() {
            String::new()
        } else {
            format!(", for {}", age::since(condition.since, now))
        };
        out.push_str(&format!("  {}: {mark}{since}", words(condition.type_)));
        let why: Vec<_> = [words(condition.reason), condition.message.to_owned()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        if !why.is_empty() {
            out.push_str(&format!(": {}", why.join(", ")));
        }
        out.push('\n');
    }
}

fn events_table(out: &mut String, events: &[Value], now: Timestamp, color: bool) {
    section(out, "Events", color);
    if events.is_empty() {
        out.push_str("  (none in the last hour)\n");
        return;
    }
    let mut table = Table::new(
        ["SEEN", "TYPE", "REASON", "WHAT"]
            .map(str::to_owned)
            .to_vec(),
        true,
        color,
    );
    let rows: Vec<Vec<Cell>> = events
        .iter()
        .map(|event| {
            let kind = object::text(event, "/spec/type");
            vec![
                seen(event, now).into(),
                Cell::toned(kind, conditions::tone_of_word("TYPE", kind)),
                object::text(event, "/spec/reason").into(),
                object::text(event, "/spec/note").into(),
            ]
        })
        .collect();
    for line in table.rows(&rows).lines() {
        out.push_str(&format!("  {line}\n"));
    }
}

/// When an event happened last, and how often since when if it did several times.
pub(crate) fn seen(event: &Value, now: Timestamp) -> String {
    let last = age::since(object::text(event, "/spec/lastTimestamp"), now);
    match event.pointer("/spec/count").and_then(Value::as_u64) {
        Some(count) if count > 1 => {
            format!(
                "{last} (x{count} over {})",
                age::since(object::text(event, "/spec/firstTimestamp"), now)
            )
        }
        _ => last,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().expect("a timestamp")
    }

    #[test]
    fn a_description_tells_intent_state_reasons_and_history() {
        let guest = json!({
            "kind": "VirtualMachine",
            "metadata": {"name": "web", "generation": 3, "creationTimestamp": "2026-01-01T10:00:00Z", "labels": {"app": "web", "tier": "front"}},
            "spec": {"memory": "2Gi", "disks": [{"name": "root", "bootOrder": 1}], "features": ["acpi", "apic"], "autostart": true},
            "status": {"observedGeneration": 2, "node": "an01", "conditions": [
                {"type": "Ready", "status": "False", "reason": "NoMemory", "message": "an01 has 1Gi left, 2Gi are needed", "lastTransitionTime": "2026-01-01T11:55:00Z"}]},
        });
        let event = json!({"spec": {"type": "Warning", "reason": "NoMemory", "note": "cannot start", "count": 4,
            "firstTimestamp": "2026-01-01T11:00:00Z", "lastTimestamp": "2026-01-01T11:59:00Z"}});

        let text = describe(&guest, &[event], now(), false);

        let expected = "\
Name:         web
Kind:         VirtualMachine
Labels:       app=web
              tier=front
Created:      2026-01-01T10:00:00Z (120m ago)
Generation:   3, of which 2 has been acted on

Spec
  Autostart: yes
  Disks:
    - Boot Order: 1
      Name: root
  Features: acpi, apic
  Memory: 2Gi

Status
  Node: an01

Conditions
  Ready: no, for 5m: No Memory, an01 has 1Gi left, 2Gi are needed

Events
  SEEN                TYPE      REASON     WHAT
  60s (x4 over 60m)   Warning   NoMemory   cannot start
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_secret_is_described_without_its_values() {
        let secret = json!({"kind": "Secret", "metadata": {"name": "ipmi"}, "spec": {"data": {"password": "c2VjcmV0"}, "type": "Opaque"}});
        let text = describe(&secret, &[], now(), false);
        assert!(text.contains("password: 6 bytes"), "{text}");
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }

    #[test]
    fn an_object_that_is_being_deleted_says_what_it_waits_for() {
        let object = json!({"kind": "Volume", "metadata": {"name": "v", "deletionTimestamp": "2026-01-01T11:59:30Z", "finalizers": ["quorate.dev/data"]}});
        assert!(
            describe(&object, &[], now(), false)
                .contains("Deleted:      30s ago, waiting for quorate.dev/data")
        );
    }
}
