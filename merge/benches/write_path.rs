//! What a write costs before it is proposed: parsing a schema, validating, merging.
//!
//! `cargo bench -p quorate-merge` prints the shortest of many rounds. Nothing is compared with
//! earlier runs: the figures are for the eye and for the project's records.

use quorate_merge::{ApplyOptions, UpdateOptions, apply, update};
use quorate_schema::Schema;
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

const VERSION: &str = "quorate.dev/v1alpha1";

/// A spec of fifty fields: ten scalars, and five disks and five networks of four fields each.
fn source() -> Value {
    let text = json!({"type": "string", "maxLength": 253});
    let list = |rule: &str| {
        json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "maxItems": 64,
            "items": {"type": "object", "required": ["name"], "properties": {"name": text, "a": text, "b": text, "c": {"type": "integer", "default": 1}}},
            "x-kubernetes-validations": [{"rule": rule, "message": "names are given"}],
        })
    };
    let mut fields: Map<String, Value> = (0..10)
        .map(|n| (format!("field{n}"), text.clone()))
        .collect();
    fields.insert("disks".into(), list("self.all(d, d.name != '')"));
    fields.insert("networks".into(), list("self.exists(n, n.name == 'name0')"));
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields,
        "x-kubernetes-validations": [{"rule": "self.field0 != self.field1 || has(self.disks)"}]}}})
}

fn config(value: &str) -> Value {
    let items: Vec<Value> = (0..5)
        .map(|n| json!({"name": format!("name{n}"), "a": value, "b": "text", "c": n}))
        .collect();
    let mut spec: Map<String, Value> = (0..10)
        .map(|n| (format!("field{n}"), json!("text")))
        .collect();
    spec.insert("disks".into(), json!(items));
    spec.insert("networks".into(), json!(items));
    json!({"apiVersion": VERSION, "kind": "VirtualMachine", "metadata": {"name": "web", "labels": {"tier": "front"}}, "spec": spec})
}

/// Prints the shortest of many rounds: what the work takes while nothing else has the processor.
fn measure(what: &str, mut act: impl FnMut()) {
    let started = Instant::now();
    let mut shortest = Duration::MAX;
    while started.elapsed() < Duration::from_millis(300) {
        let round = Instant::now();
        act();
        shortest = shortest.min(round.elapsed());
    }
    println!("{what:<44} {:>9.1} µs", shortest.as_secs_f64() * 1e6);
}

fn main() {
    let source = source();
    let schema = Schema::parse(&source).expect("the schema is structural");
    let options = |manager| ApplyOptions {
        manager,
        force: false,
        subresource: None,
        api_version: VERSION,
        now: "2030-01-01T00:00:00Z",
    };
    let applied = |live: Option<&Value>, config: &Value| {
        apply(&schema, live, config, &options("kubectl"))
            .expect("the apply succeeds")
            .object
    };
    let (first, second) = (config("one"), config("two"));
    let live = applied(None, &first);
    let shared = apply(&schema, Some(&live), &first, &options("gitops"))
        .expect("the same values")
        .object;
    let mut changed = live.clone();
    changed["spec"]["field0"] = json!("changed");

    measure("parse a schema with three rules", || {
        black_box(Schema::parse(&source).expect("the schema is structural"));
    });
    measure("apply defaults", || {
        let mut object = live.clone();
        schema.apply_defaults(&mut object);
        black_box(object);
    });
    measure("validate, with rules and the former object", || {
        assert!(black_box(schema.validate(&live, Some(&live))).is_empty());
    });
    measure("find unknown fields", || {
        assert!(black_box(schema.unknown_fields(&live)).is_empty());
    });
    measure("apply a new object", || {
        black_box(applied(None, &first));
    });
    measure("apply the same again", || {
        black_box(applied(Some(&live), &first));
    });
    measure("apply ten changes", || {
        black_box(applied(Some(&live), &second));
    });
    measure("apply the same again, two managers", || {
        black_box(applied(Some(&shared), &first));
    });
    let options = UpdateOptions {
        manager: "curl",
        subresource: None,
        api_version: VERSION,
        now: "2030-01-01T00:00:00Z",
    };
    measure("update without a change", || {
        black_box(update(&schema, Some(&live), live.clone(), &options).expect("an object"));
    });
    measure("update one field", || {
        black_box(update(&schema, Some(&live), changed.clone(), &options).expect("an object"));
    });
}
