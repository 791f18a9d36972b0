//! Test vectors for CEL rules: what they mean, what is refused, and what they may cost.
//!
//! The meanings are those of the Kubernetes documentation, "Common Expression Language in
//! Kubernetes" and "Validation rules" of "Extend the Kubernetes API with CustomResourceDefinitions".

use quorate_schema::{Schema, SchemaError, Violation, ViolationReason};
use serde_json::{Value, json};

/// The spec that the vectors speak of, and its values.
fn fields() -> Value {
    let text = json!({"type": "string"});
    json!({
        "name": text, "empty": text, "size": text, "limit": text,
        "wait": {"type": "string", "format": "duration"}, "stop": {"type": "string", "format": "duration"},
        "at": {"type": "string", "format": "date-time"},
        "min": {"type": "integer"}, "max": {"type": "integer"}, "big": {"type": "integer"},
        "ratio": {"type": "number"}, "whole": {"type": "number"},
        "on": {"type": "boolean"}, "off": {"type": "boolean"},
        "absent": text, "nothing": {"type": "string", "nullable": true},
        "port": {"x-kubernetes-int-or-string": true}, "x-y": text, "namespace": text, "a__b": text,
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
        "tags2": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
        "order": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "integer"}},
        "labels": {"type": "object", "additionalProperties": text},
        "disks": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": text, "boot": {"type": "integer"}, "cache": text}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": text}},
    })
}

fn values() -> Value {
    json!({
        "name": "wäb", "empty": "", "size": "1Gi", "limit": "1500M", "wait": "1m30s", "stop": "90s",
        "at": "2030-01-01T00:00:00Z", "min": 2, "max": 8, "big": i64::MAX, "ratio": 0.5, "whole": 3,
        "on": true, "off": false, "nothing": null, "port": 80, "x-y": "dash", "namespace": "ns", "a__b": "u",
        "tags": ["a", "b"], "tags2": ["b", "a"], "order": [3, 1, 2], "labels": {"tier": "front", "app": "web"},
        "disks": [{"name": "root", "boot": 1}, {"name": "data", "cache": "none"}],
        "free": {"known": "k", "unknown": 1},
    })
}

fn parse(rules: Value) -> Result<Schema, SchemaError> {
    Schema::parse(&json!({"type": "object", "properties": {"spec": {
        "type": "object", "properties": fields(), "x-kubernetes-validations": rules}}}))
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec})
}

fn check(rule: &str) -> Vec<Violation> {
    parse(json!([{"rule": rule}]))
        .unwrap_or_else(|error| panic!("{rule}: {error}"))
        .validate(&object(values()), None)
}

fn refusal(rule: &str) -> String {
    match parse(json!([{"rule": rule}])) {
        Ok(_) => panic!("{rule} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn these_rules_hold() {
    for rule in [
        // fields, absence and null
        "has(self.name)",
        "!has(self.absent)",
        "!has(self.absent) || self.absent == 'x'",
        "has(self.nothing) && self.nothing == null",
        "self.x__dash__y == 'dash' && self.__namespace__ == 'ns' && self.a__underscores__b == 'u'",
        "self.free.known == 'k'",
        // logic: either side decides, whatever error the other one has
        "self.on && !self.off",
        "self.absent == 'x' || self.on",
        "!(self.absent == 'x' && self.off)",
        "self.on ? true : self.absent == 'x'",
        // numbers
        "self.min < self.max && self.min <= 2 && self.max >= 8 && self.max > 7",
        "self.min + self.max == 10 && self.max - self.min == 6",
        "self.min * 3 == 6 && self.max / 3 == 2 && self.max % 3 == 2 && -self.min == -2",
        "-7 / 2 == -3 && -7 % 2 == -1",
        "self.ratio == 0.5 && self.ratio * 2.0 == 1.0 && self.ratio < 1",
        "self.whole == 3.0 && self.whole / 2.0 == 1.5",
        "self.big > 9223372036854775806",
        "double(self.min) == 2.0 && int(2.9) == 2 && int('12') == 12 && string(self.min) == '2'",
        // texts
        "size(self.name) == 3 && self.name.size() == 3 && self.empty == ''",
        "self.name.startsWith('w') && self.name.endsWith('b') && self.name.contains('ä')",
        "self.name.matches('^w.b$') && self.name.matches('ä') && !matches(self.name, '^x')",
        "self.name + '-1' == 'wäb-1' && 'a' < 'b'",
        "self.port == 80 && self.port != 'http'",
        // lists and maps
        "self.order[0] == 3 && size(self.order) == 3 && 2 in self.order && !(9 in self.order)",
        "self.tags == self.tags2",
        "self.order != [1, 2, 3] && self.order == [3, 1, 2]",
        "self.order + [4] == [3, 1, 2, 4]",
        "self.labels['tier'] == 'front' && self.labels.tier == 'front' && 'app' in self.labels && size(self.labels) == 2",
        "self.labels.all(k, k.size() > 2) && self.labels.exists(k, self.labels[k] == 'web')",
        "self.name in ['web', 'wäb']",
        // macros
        "self.disks.all(d, d.name != '') && self.disks.exists(d, d.name == 'data')",
        "self.disks.exists_one(d, has(d.boot)) && !self.disks.exists_one(d, d.name != '')",
        "self.disks.map(d, d.name) == ['root', 'data']",
        "self.disks.map(d, has(d.boot), d.name) == ['root']",
        "self.disks.filter(d, has(d.cache)).all(d, d.cache == 'none')",
        "self.disks.filter(d, has(d.cache)).size() == 1",
        "self.disks.exists(d, d.boot == 1)",
        "!self.disks.all(d, d.boot == 2)",
        "self.disks.all(a, self.disks.exists_one(b, b.name == a.name))",
        "[].all(x, x == 1) && ![].exists(x, x == 1)",
        // durations and quantities
        "self.wait == self.stop && self.wait > duration('1m') && self.wait - self.stop == duration('0s')",
        "quantity(self.size).isLessThan(quantity(self.limit)) && quantity('2Gi').isGreaterThan(quantity('2G'))",
        "quantity('1Gi').compareTo(quantity('1024Mi')) == 0 && quantity(self.size).compareTo(quantity('2Gi')) == -1",
        "isQuantity('500m') && !isQuantity('2 GB')",
        "has(self.at) && self.at == self.at",
    ] {
        assert_eq!(check(rule), [], "{rule}");
    }
}

#[test]
fn a_rule_that_does_not_hold_or_has_no_result_is_a_violation() {
    for (rule, message) in [
        ("self.min > self.max", "failed rule: self.min > self.max"),
        ("self.absent == 'x'", "no such key: absent"),
        ("self.disks[2].name == 'x'", "index out of bounds: 2"),
        ("self.labels['none'] == 'x'", "no such key: none"),
        ("self.big + 1 > 0", "integer overflow"),
        ("self.max / (self.min - 2) == 1", "division by zero"),
        ("int(self.name) == 1", "cannot convert a string"),
        (
            "quantity(self.name).compareTo(quantity('1')) == 0",
            "cannot convert a string",
        ),
        ("self.disks.all(d, d.cache == 'none')", "no such key: cache"),
        ("self.port < 'a'", "comparison is not defined"),
    ] {
        let found = check(rule);
        assert_eq!(found.len(), 1, "{rule}");
        assert_eq!(
            (found[0].path.as_str(), found[0].reason),
            ("spec", ViolationReason::Invalid)
        );
        assert!(found[0].message.contains(message), "{}", found[0]);
    }
}

#[test]
fn what_kube_apiserver_would_refuse_or_read_differently_is_refused_when_the_schema_is_parsed() {
    for (rule, message) in [
        ("self.nmae == 'x'", "undeclared field \"nmae\""),
        ("self.free.unknown == 1", "undeclared field \"unknown\""),
        ("self.namespace == 'x'", "allowed: __namespace__"),
        ("self.name == 1", "a string and an integer compared"),
        ("self.min == 1.0", "an integer and a number with fraction"),
        ("self.name < 1", "compared by size"),
        ("self.name && self.on", "found a string, allowed: a boolean"),
        ("self.name", "found a string as the result"),
        ("self.min + self.ratio > 1.0", "as operands"),
        ("self.tags + ['c'] == ['c']", "as operands"),
        ("self.wait == '90s'", "a duration and a string compared"),
        ("self.at == '2030-01-01T00:00:00Z'", "compared"),
        ("self.disks['root'].boot == 1", "indexed by"),
        ("self.name[0] == 'w'", "indexed by"),
        (
            "self.name.matches(self.limit)",
            "a string literal in matches()",
        ),
        ("self.name.matches('(')", "regex parse error"),
        ("self.name.lowerAscii() == 'x'", "function \"lowerAscii\""),
        ("type(self.name) == string", "function \"type\""),
        ("self.order.sum() == 6", "function \"sum\""),
        ("foo(1, 2, 3)", "function \"foo\""),
        ("other == 1", "variable \"other\""),
        ("@result", "column"),
        ("self.min == 1u", "unsigned literal"),
        ("b'x' == b'x'", "bytes literal"),
        ("{'a': 1}.a == 1", "map or message literal"),
        ("[1, 'a'] == [1, 'a']", "items of one type"),
        ("self.min.all(x, true)", "a macro over an integer"),
        ("self.name ==", "column"),
        ("", "found no rule"),
        (
            "oldSelf.hasValue()",
            "oldSelf of a rule with optionalOldSelf",
        ),
    ] {
        let refused = refusal(rule);
        assert!(refused.contains(message), "{rule}: {refused}");
    }
}

#[test]
fn a_rule_that_is_too_long_or_too_deep_is_refused_without_harm() {
    let long = vec!["1"; 600].join("+") + " == 600";
    assert!(refusal(&long).contains("1024"));
    let chain = vec!["1"; 500].join("+") + " == 500";
    assert!(refusal(&chain).contains("nested operations"));
    let brackets = "(".repeat(400) + "true" + &")".repeat(400);
    assert!(parse(json!([{"rule": brackets}])).is_err());
    let negations = "!".repeat(1001) + "true";
    let _ = parse(json!([{"rule": negations}]));
}

#[test]
fn of_the_metadata_rules_see_the_name_alone() {
    let with_rule = |rule: &str| {
        Schema::parse(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields()}},
            "x-kubernetes-validations": [{"rule": rule}]}),
        )
    };
    let schema =
        with_rule("self.metadata.name.size() < 3 && self.kind == 'Thing' && self.spec.min == 2")
            .expect("the rule is allowed");
    assert_eq!(schema.validate(&object(values()), None), []);
    let error = with_rule("has(self.metadata.labels)").expect_err("labels are not visible");
    assert!(
        error
            .to_string()
            .contains("metadata.name and metadata.generateName")
    );
}

/// "Transition rules": skipped on creation, checked with the former value on update.
#[test]
fn a_rule_with_old_self_compares_with_the_former_object() {
    let schema = parse(json!([{"rule": "self.name == oldSelf.name", "message": "name cannot be changed", "reason": "FieldValueForbidden", "fieldPath": ".name"}]))
        .expect("the rule is allowed");
    let (old, mut new) = (object(values()), object(values()));
    new["spec"]["name"] = json!("other");
    assert_eq!(schema.validate(&new, None), []);
    assert_eq!(schema.validate(&old, Some(&old)), []);
    let found = schema.validate(&new, Some(&old));
    assert_eq!(
        found,
        [Violation::new(
            "spec.name",
            ViolationReason::Forbidden,
            "name cannot be changed"
        )]
    );
}

/// The same page: items of list maps are correlated by their keys, those of other lists are not.
#[test]
fn the_former_item_of_a_list_map_is_the_one_with_the_same_key() {
    let disks = |list_type: &str, rule: &str| {
        let mut list = json!({"type": "array", "x-kubernetes-list-type": list_type, "items": {
            "type": "object", "required": ["name"],
            "properties": {"name": {"type": "string"}, "gb": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": rule, "message": "a disk cannot shrink"}]}});
        if list_type == "map" {
            list["x-kubernetes-list-map-keys"] = json!(["name"]);
        }
        Schema::parse(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"disks": list}}}}),
        )
    };
    let schema = disks("map", "self.gb >= oldSelf.gb").expect("the rule is allowed");
    let old = object(json!({"disks": [{"name": "a", "gb": 5}, {"name": "b", "gb": 5}]}));
    let new = object(
        json!({"disks": [{"name": "new", "gb": 1}, {"name": "b", "gb": 6}, {"name": "a", "gb": 4}]}),
    );
    let found = schema.validate(&new, Some(&old));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "spec.disks[2]: a disk cannot shrink");
    assert!(disks("atomic", "self.gb >= oldSelf.gb").is_err());
}

/// "optionalOldSelf": the rule runs on creation too.
#[test]
fn an_optional_old_self_may_have_no_value() {
    let schema = parse(
        json!([{"rule": "oldSelf.hasValue() || self.min == 1", "optionalOldSelf": true},
        {"rule": "oldSelf.orValue(self).min <= self.min", "optionalOldSelf": true}]),
    )
    .expect("the rules are allowed");
    let (old, new) = (object(json!({"min": 1})), object(json!({"min": 2})));
    assert_eq!(schema.validate(&old, None), []);
    assert_eq!(schema.validate(&new, None).len(), 1);
    assert_eq!(schema.validate(&new, Some(&old)), []);
    assert_eq!(schema.validate(&old, Some(&new)).len(), 1);
}

/// "The messageExpression field": its result is the message, unless it fails or is empty.
#[test]
fn a_message_may_be_computed() {
    let message = |expression: &str| {
        let schema = parse(json!([{"rule": "self.min > self.max", "message": "fixed", "messageExpression": expression}])).expect("allowed");
        schema.validate(&object(values()), None)[0].message.clone()
    };
    assert_eq!(
        message("'found ' + string(self.min) + ', allowed: more than ' + string(self.max)"),
        "found 2, allowed: more than 8"
    );
    assert_eq!(message("self.absent"), "fixed");
    assert_eq!(message("'  '"), "fixed");
    assert!(parse(json!([{"rule": "true", "messageExpression": "self.min"}])).is_err());
}

#[test]
fn the_fields_of_a_rule_are_checked() {
    for (rule, message) in [
        (json!("true"), "an object with a rule"),
        (
            json!({"rule": "true", "mesage": "x"}),
            "found field \"mesage\"",
        ),
        (json!({"rule": "true", "message": "a\nb"}), "line break"),
        (
            json!({"rule": "true &&\ntrue"}),
            "several lines without a message",
        ),
        (
            json!({"rule": "true", "reason": "Bad"}),
            "reason: found \"Bad\"",
        ),
        (json!({"rule": "true", "fieldPath": "name"}), "fieldPath"),
        (json!({"rule": "true", "fieldPath": ".nmae"}), "fieldPath"),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            "without oldSelf",
        ),
    ] {
        let error = parse(json!([rule])).expect_err("refused").to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// A rule quadratic in a foreign list must not stall the server.
#[test]
fn rules_that_cost_too_much_are_cut_off() {
    let schema = parse(json!([{"rule": "self.order.all(a, self.order.exists_one(b, a == b))"}]))
        .expect("allowed");
    let few: Vec<i32> = (0..100).collect();
    assert_eq!(schema.validate(&object(json!({"order": few})), None), []);
    let many: Vec<i32> = (0..20_000).collect();
    let found = schema.validate(&object(json!({"order": many})), None);
    assert_eq!(found[0].reason, ViolationReason::Forbidden);
    assert!(found[0].message.contains("takes too long"), "{}", found[0]);
}
