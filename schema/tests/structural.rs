//! What kube-apiserver accepts as a structural schema, and what objects it accepts by one.
//!
//! Mirrors the Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions":
//! "Specifying a structural schema", "Field pruning", "Defaulting", "Defaulting and Nullable", and
//! "Merge Strategy" of "Server-Side Apply" for list and map types.

use quorate_schema::{Schema, SchemaError, Violation, ViolationReason};
use serde_json::{Value, json};

/// The schema of a resource with `fields` in its spec.
fn spec(fields: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}})
}

fn schema(fields: Value) -> Schema {
    Schema::parse(&spec(fields)).expect("the schema is structural")
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec})
}

fn violations(fields: Value, spec: Value) -> Vec<Violation> {
    schema(fields).validate(&object(spec), None)
}

/// The only violation, as path, reason and message.
fn only(violations: Vec<Violation>) -> (String, ViolationReason, String) {
    let [violation] = <[Violation; 1]>::try_from(violations).expect("one violation");
    (violation.path, violation.reason, violation.message)
}

fn refusal(source: Value) -> String {
    match Schema::parse(&source).expect_err("the schema is refused") {
        SchemaError::NotStructural { path, message } => format!("{path}: {message}"),
        other => other.to_string(),
    }
}

#[test]
fn a_sound_object_has_no_violations() {
    let found = violations(
        json!({"memory": {"type": "string", "format": "quantity"}, "cpus": {"type": "integer", "minimum": 1}}),
        json!({"memory": "2Gi", "cpus": 2}),
    );
    assert_eq!(found, []);
}

#[test]
fn a_violation_says_what_was_found_and_what_is_allowed() {
    let found = violations(
        json!({"memory": {"type": "string", "format": "quantity"}}),
        json!({"memory": "2 GB"}),
    );
    assert_eq!(
        found[0].to_string(),
        r#"spec.memory: found "2 GB", allowed: a quantity such as 2Gi, 500M, 1.5 or 250m"#
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let found = violations(
        json!({
            "cpus": {"type": "integer", "minimum": 1, "maximum": 64},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "mac": {"type": "string", "pattern": "^[0-9a-f]+$"},
            "on": {"type": "boolean"},
        }),
        json!({"cpus": 0, "mode": "c", "mac": "XY", "on": "yes"}),
    );
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "spec.cpus: found 0, allowed: 1 to 64",
            "spec.mac: found \"XY\", allowed: what matches ^[0-9a-f]+$",
            "spec.mode: found \"c\", allowed: \"a\", \"b\"",
            "spec.on: found \"yes\", allowed: true or false; without quotes",
        ]
    );
}

#[test]
fn types_are_never_converted() {
    for (kind, value) in [
        ("string", json!(1)),
        ("integer", json!("1")),
        ("integer", json!(1.5)),
        ("integer", json!(u64::MAX)),
        ("number", json!("1")),
        ("boolean", json!(1)),
        ("object", json!([])),
        ("string", json!(null)),
    ] {
        let (path, reason, _) = only(violations(
            json!({"f": {"type": kind}}),
            json!({"f": value}),
        ));
        assert_eq!(
            (path.as_str(), reason),
            ("spec.f", ViolationReason::TypeMismatch),
            "{kind} {value}"
        );
    }
}

#[test]
fn bounds_are_exact_and_may_exclude_themselves() {
    let big = json!({"n": {"type": "integer", "maximum": 9_007_199_254_740_992_i64}});
    assert_eq!(
        violations(big.clone(), json!({"n": 9_007_199_254_740_992_i64})),
        []
    );
    assert_eq!(
        violations(big, json!({"n": 9_007_199_254_740_993_i64})).len(),
        1
    );
    let exclusive = json!({"n": {"type": "number", "minimum": 0, "exclusiveMinimum": true}});
    let (_, _, message) = only(violations(exclusive.clone(), json!({"n": 0})));
    assert_eq!(message, "found 0, allowed: more than 0");
    assert_eq!(violations(exclusive, json!({"n": 0.1})), []);
    let step = json!({"n": {"type": "integer", "multipleOf": 5}});
    assert_eq!(violations(step.clone(), json!({"n": 15})), []);
    assert_eq!(violations(step, json!({"n": 16})).len(), 1);
}

#[test]
fn lengths_count_characters_and_not_bytes() {
    let fields = json!({"s": {"type": "string", "minLength": 2, "maxLength": 3}});
    assert_eq!(violations(fields.clone(), json!({"s": "äöü"})), []);
    let (_, reason, _) = only(violations(fields.clone(), json!({"s": "äöüx"})));
    assert_eq!(reason, ViolationReason::TooLong);
    assert_eq!(violations(fields, json!({"s": "ä"})).len(), 1);
}

#[test]
fn required_fields_and_counts_are_checked() {
    let fields = json!({"disks": {
        "type": "array", "x-kubernetes-list-type": "atomic", "minItems": 1, "maxItems": 2,
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    }});
    let (path, reason, _) = only(violations(fields.clone(), json!({"disks": [{}]})));
    assert_eq!(
        (path.as_str(), reason),
        ("spec.disks[0].name", ViolationReason::Required)
    );
    assert_eq!(violations(fields.clone(), json!({"disks": []})).len(), 1);
    let three = json!({"disks": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
    let (_, reason, _) = only(violations(fields, three));
    assert_eq!(reason, ViolationReason::TooMany);
}

#[test]
fn a_set_has_each_value_once_and_a_list_map_each_key_once() {
    let set = json!({"tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}});
    let (path, reason, message) = only(violations(set, json!({"tags": ["a", "b", "a"]})));
    assert_eq!(
        (path.as_str(), reason),
        ("spec.tags[2]", ViolationReason::Duplicate)
    );
    assert_eq!(message, "found \"a\" once more, allowed: each only once");
    let map = json!({"ports": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": {"type": "object", "required": ["port", "protocol"], "properties": {
            "port": {"type": "integer"}, "protocol": {"type": "string"}}},
    }});
    let two = json!({"ports": [{"port": 1, "protocol": "tcp"}, {"port": 1, "protocol": "udp"}]});
    assert_eq!(violations(map.clone(), two), []);
    let twice = json!({"ports": [{"port": 1, "protocol": "tcp"}, {"port": 1, "protocol": "tcp"}]});
    let (_, _, message) = only(violations(map, twice));
    assert_eq!(
        message,
        "found port 1, protocol \"tcp\" once more, allowed: each only once"
    );
}

#[test]
fn int_or_string_is_either() {
    let fields = json!({"port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}});
    assert_eq!(violations(fields.clone(), json!({"port": 80})), []);
    assert_eq!(violations(fields.clone(), json!({"port": "http"})), []);
    assert_eq!(violations(fields, json!({"port": true})).len(), 1);
}

#[test]
fn junctors_limit_values_and_say_which_fields_are_meant() {
    let fields = json!({"disk": {
        "type": "object",
        "properties": {"volume": {"type": "string"}, "image": {"type": "string"}},
        "oneOf": [{"required": ["volume"]}, {"required": ["image"]}],
    }});
    assert_eq!(
        violations(fields.clone(), json!({"disk": {"image": "a"}})),
        []
    );
    let (_, _, message) = only(violations(fields.clone(), json!({"disk": {}})));
    assert_eq!(
        message,
        "found none, allowed: exactly one of: volume; image"
    );
    let (_, _, message) = only(violations(
        fields,
        json!({"disk": {"image": "a", "volume": "b"}}),
    ));
    assert_eq!(message, "found 2, allowed: exactly one of: volume; image");
}

#[test]
fn unknown_fields_are_reported_with_the_nearest_known_one_and_can_be_pruned() {
    let schema = schema(json!({"memory": {"type": "string"}, "cpus": {"type": "integer"}}));
    let mut thing = object(json!({"memroy": "2Gi", "cpus": 2}));
    let (path, reason, message) = only(schema.unknown_fields(&thing));
    assert_eq!(
        (path.as_str(), reason),
        ("spec.memroy", ViolationReason::Unknown)
    );
    assert_eq!(
        message,
        "found unknown field \"memroy\", did you mean \"memory\"? allowed: cpus, memory"
    );
    assert_eq!(schema.validate(&thing, None), []);
    schema.prune(&mut thing);
    assert_eq!(thing, object(json!({"cpus": 2})));
}

/// "Controlling pruning": below preserved unknown fields, known ones are still pruned.
#[test]
fn preserved_unknown_fields_stay_and_known_ones_below_are_checked() {
    let schema = schema(json!({"free": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"closed": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }}));
    let mut thing = object(json!({"free": {"any": {"thing": 1}, "closed": {"a": "x", "b": "y"}}}));
    assert_eq!(only(schema.unknown_fields(&thing)).0, "spec.free.closed.b");
    schema.prune(&mut thing);
    assert_eq!(
        thing["spec"],
        json!({"free": {"any": {"thing": 1}, "closed": {"a": "x"}}})
    );
}

/// "Defaulting": defaults apply to absent fields, and inside what defaults brought.
#[test]
fn defaults_fill_absent_fields_outer_before_inner() {
    let schema = schema(json!({
        "firmware": {"type": "object", "default": {}, "properties": {"secure": {"type": "boolean", "default": true}}},
        "disks": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "object", "properties": {"bus": {"type": "string", "default": "virtio"}}}},
        "absent": {"type": "object", "properties": {"x": {"type": "string", "default": "y"}}},
    }));
    let mut thing = object(json!({"disks": [{}, {"bus": "sata"}]}));
    schema.apply_defaults(&mut thing);
    assert_eq!(
        thing["spec"],
        json!({"firmware": {"secure": true}, "disks": [{"bus": "virtio"}, {"bus": "sata"}]})
    );
    let before = thing.clone();
    schema.apply_defaults(&mut thing);
    assert_eq!(thing, before);
}

/// "Defaulting and Nullable": null in a field that is not nullable goes before defaulting.
#[test]
fn null_counts_as_absent_unless_the_field_is_nullable() {
    let schema = schema(json!({
        "a": {"type": "string", "nullable": true},
        "b": {"type": "string", "nullable": true, "default": "x"},
        "c": {"type": "string", "default": "x"},
        "d": {"type": "string"},
    }));
    let mut thing = object(json!({"a": null, "b": null, "c": null, "d": null}));
    schema.apply_defaults(&mut thing);
    assert_eq!(thing["spec"], json!({"a": null, "b": null, "c": "x"}));
    assert_eq!(schema.validate(&thing, None), []);
}

#[test]
fn metadata_is_checked_by_the_rules_of_kubernetes() {
    let schema = schema(json!({}));
    let mut thing = object(json!({}));
    thing["metadata"] = json!({
        "name": "Web_1",
        "labels": {"tier": "a b", "-x": "y"},
        "annotations": {"example.org/Note": "any text at all"},
        "finalizers": ["quorate.dev/volume", "quorate.dev/volume"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"}],
        "nmae": "x",
    });
    let mut paths: Vec<String> = schema
        .validate(&thing, None)
        .into_iter()
        .map(|v| v.path)
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "metadata.finalizers[1]",
            "metadata.labels[-x]",
            "metadata.labels[tier]",
            "metadata.name"
        ]
    );
    assert_eq!(only(schema.unknown_fields(&thing)).0, "metadata.nmae");
    thing["metadata"] = json!({"generateName": "web-"});
    assert_eq!(schema.validate(&thing, None), []);
    thing["metadata"] = json!({});
    assert_eq!(only(schema.validate(&thing, None)).0, "metadata.name");
}

/// A CustomResourceDefinition may limit `metadata.name` and nothing else of the metadata.
#[test]
fn a_schema_may_limit_the_name() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}}}))
    .expect("the schema is structural");
    let named = json!({"apiVersion": "v", "kind": "K", "metadata": {"name": "long"}});
    assert_eq!(only(schema.validate(&named, None)).0, "metadata.name");
}

#[test]
fn what_is_not_structural_is_refused_with_the_place() {
    for (field, message) in [
        (
            json!({"$ref": "#/x", "type": "string"}),
            "spec.f: found keyword \"$ref\"",
        ),
        (json!({}), "spec.f: found no type"),
        (json!({"type": "strin"}), "spec.f: found type \"strin\""),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "spec.f: found a list without x-kubernetes-list-type",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "atomic"}),
            "spec.f: found a list without items",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
            "spec.f: found x-kubernetes-list-type: map without keys",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": {"type": "string"}}}}),
            "spec.f: found list map key \"n\" that may be absent",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": {"type": "object"}}, "required": ["n"]}}),
            "spec.f: found list map key \"n\", allowed: a scalar",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
            "spec.f: found a set of objects",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            "spec.f: found properties beside additionalProperties",
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            "spec.f: found additionalProperties true or false",
        ),
        (
            json!({"type": "object", "required": ["x"]}),
            "spec.f: found required field \"x\"",
        ),
        (
            json!({"type": "object", "anyOf": [{"type": "object"}]}),
            "spec.f.anyOf[0]: found type inside",
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"x": {"minLength": 1}}}]}),
            "spec.f: found field \"x\" in allOf",
        ),
        (
            json!({"type": "string", "default": 5}),
            "spec.f: the default is not valid",
        ),
        (
            json!({"type": "string", "uniqueItems": true}),
            "spec.f: uniqueItems",
        ),
        (
            json!({"type": "string", "pattern": "("}),
            "pattern \"(\" at spec.f",
        ),
        (
            json!({"type": "integer", "minimum": "1"}),
            "spec.f: minimum: found \"1\"",
        ),
        (
            json!({"type": "string", "x-kubernetes-int-or-string": true}),
            "spec.f: found type beside",
        ),
    ] {
        let refused = refusal(spec(json!({"f": field})));
        assert!(refused.starts_with(message), "{refused}");
    }
    assert!(refusal(json!([])).starts_with("the root: found no object"));
    assert!(refusal(json!({"type": "string"})).starts_with("the root"));
}

#[test]
fn a_schema_deeper_than_anybody_writes_is_refused() {
    let mut deep = json!({"type": "string"});
    for _ in 0..40 {
        deep = json!({"type": "object", "properties": {"a": {"type": "object", "additionalProperties": deep}}});
    }
    assert!(refusal(deep).contains("levels"));
}

#[test]
fn checking_stops_when_there_is_more_than_anybody_reads() {
    let fields = json!({"l": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}}});
    let many: Vec<i32> = (0..100_000).collect();
    assert_eq!(violations(fields, json!({"l": many})).len(), 100);
}
