//! Foreign input of any shape is answered, never a reason to stop.

use proptest::prelude::*;
use quorate_schema::quantity::Quantity;
use quorate_schema::selector::{FieldSelector, LabelSelector};
use quorate_schema::{Schema, duration};
use serde_json::{Value, json};
use std::time::Duration;

/// Any JSON, with keys that schemas and objects have.
fn value() -> impl Strategy<Value = Value> {
    let words = vec![
        "type",
        "object",
        "array",
        "string",
        "integer",
        "properties",
        "items",
        "required",
        "enum",
        "default",
        "pattern",
        "format",
        "quantity",
        "additionalProperties",
        "x-kubernetes-list-type",
        "map",
        "set",
        "name",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
        "rule",
        "self.name == ''",
        "has(self.x)",
        "metadata",
        "labels",
        "spec",
        "anyOf",
        "nullable",
        "maxLength",
        "(",
        "",
        "2Gi",
    ];
    let word = prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

fn schema() -> Schema {
    Schema::parse(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "name": {"type": "string", "default": "x"},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}},
                    "x-kubernetes-validations": [{"rule": "self.name != oldSelf.name || size(self.name) > 1"}]}},
            "enum": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
            "pattern": {"x-kubernetes-int-or-string": true},
            "required": {"type": "object", "additionalProperties": {"type": "number", "minimum": 1}},
        }, "x-kubernetes-validations": [{"rule": "!has(self.enum) || self.enum.all(x, x % 2 == 0)"}]},
    }}))
    .expect("the schema is structural")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_is_a_schema_or_refused(source in value()) {
        let whole = json!({"type": "object", "properties": {"spec": source}});
        for candidate in [source_of(&whole), &whole] {
            if let Ok(schema) = Schema::parse(candidate) {
                let _ = schema.validate(candidate, Some(candidate));
            }
        }
    }

    #[test]
    fn any_value_is_checked(spec in value(), old in value(), metadata in value()) {
        let schema = schema();
        let object = json!({"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "spec": spec});
        let _ = schema.validate(&object, Some(&json!({"spec": old})));
        let _ = schema.validate(&spec, Some(&old));
        let _ = schema.unknown_fields(&object);
    }

    /// "Defaulting": what is complete stays as it is; what is pruned has nothing unknown.
    #[test]
    fn defaulting_and_pruning_twice_is_doing_it_once(spec in value()) {
        let schema = schema();
        let mut object = json!({"metadata": {"name": "x"}, "spec": spec});
        schema.prune(&mut object);
        prop_assert_eq!(schema.unknown_fields(&object), []);
        schema.apply_defaults(&mut object);
        let once = object.clone();
        schema.apply_defaults(&mut object);
        schema.prune(&mut object);
        prop_assert_eq!(object, once);
    }

    #[test]
    fn any_text_is_a_selector_or_refused(text in "[a-z!=<>,() ./\\\\]{0,24}|\\PC{0,16}", labels in value()) {
        if let Ok(selector) = LabelSelector::parse(&text) {
            let _ = selector.matches_object(&labels);
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            let _ = selector.matches(&labels);
        }
        let _ = LabelSelector::from_value(&labels);
    }

    #[test]
    fn any_text_is_a_quantity_that_can_be_written_again_or_refused(text in "[-+]?[0-9]{0,22}\\.?[0-9]{0,22}([KMGTPE]i?|[num]|[eE][-+]?[0-9]{1,5})?|\\PC{0,8}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
            let _ = (quantity.value(), quantity.as_u64());
            let nought = quantity.checked_sub(quantity);
            prop_assert_eq!(nought, Some(Quantity::default()));
        }
    }

    #[test]
    fn durations_survive_writing_and_reading(nanos in 0..i64::MAX as u64, text in "\\PC{0,12}|([0-9]{1,3}\\.?[0-9]{0,3}(h|m|s|ms|us|ns)){0,3}") {
        let duration = Duration::from_nanos(nanos);
        prop_assert_eq!(duration::parse(&duration::format(duration)), Ok(duration));
        if let Ok(duration) = duration::parse(&text) {
            prop_assert_eq!(duration::parse(&duration::format(duration)), Ok(duration));
        }
    }
}

/// The part of a schema that came from outside.
fn source_of(whole: &Value) -> &Value {
    &whole["properties"]["spec"]
}
