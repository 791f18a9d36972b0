//! Laws that hold for any configurations, whoever applies them in whatever order.

use crate::cluster::{Cluster, object};
use proptest::prelude::*;
use quorate_merge::FieldSet;
use serde_json::{Map, Value, json};

/// Any spec that fits the schema of the stories, from a small vocabulary so that managers meet.
fn spec() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(vec!["a", "b", "c"]);
    let scalars = (
        prop::option::of(word()),
        prop::option::of(0..3_i64),
        prop::option::of(word()),
        prop::option::of(prop::collection::vec(word(), 0..3)),
    );
    let tags =
        prop::option::of(prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..4).prop_shuffle());
    let params = prop::option::of(prop::collection::btree_map(word(), word(), 0..3));
    let disk = (
        prop::option::of(word()),
        prop::option::of(prop::sample::subsequence(vec![1, 2, 3], 0..3)),
    );
    let disks = prop::option::of(prop::collection::btree_map(word(), disk, 0..4));
    let window = prop::option::of(word());
    (scalars, tags, params, disks, window).prop_map(
        |((memory, cpus, kind, args), tags, params, disks, window)| {
            let mut spec = Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    spec.insert(name.to_owned(), value);
                }
            };
            put("memory", memory.map(|memory| json!(memory)));
            put("cpus", cpus.map(|cpus| json!(cpus)));
            put("firmware", kind.map(|kind| json!({"kind": kind})));
            put("args", args.map(|args| json!(args)));
            put("tags", tags.map(|tags| json!(tags)));
            put("params", params.map(|params| json!(params)));
            put("window", window.map(|from| json!({"from": from})));
            put(
                "disks",
                disks.map(|disks| {
                    disks
                        .into_iter()
                        .map(|(name, (size, parts))| {
                            let mut disk = json!({"name": name});
                            if let Some(size) = size {
                                disk["size"] = json!(size);
                            }
                            if let Some(parts) = parts {
                                disk["parts"] = parts
                                    .iter()
                                    .map(|number| json!({"number": number}))
                                    .collect();
                            }
                            disk
                        })
                        .collect()
                }),
            );
            Value::Object(spec)
        },
    )
}

/// Two specs without a common field.
fn disjoint() -> impl Strategy<Value = (Value, Value)> {
    (spec(), spec(), prop::collection::vec(any::<bool>(), 8)).prop_map(|(one, two, sides)| {
        let names = [
            "memory", "cpus", "firmware", "args", "tags", "params", "disks", "window",
        ];
        let side = |spec: &Value, wanted: bool| -> Value {
            let fields = names
                .iter()
                .zip(&sides)
                .filter(|(_, side)| **side == wanted);
            fields
                .filter_map(|(name, _)| Some(((*name).to_owned(), spec.get(*name)?.clone())))
                .collect::<Map<_, _>>()
                .into()
        };
        (side(&one, true), side(&two, false))
    })
}

/// Any JSON, with the names of the schema of the stories.
fn value() -> impl Strategy<Value = Value> {
    let words = vec![
        "memory",
        "firmware",
        "params",
        "tags",
        "args",
        "disks",
        "ports",
        "free",
        "name",
        "port",
        "parts",
        "number",
        "manager",
        "operation",
        "Apply",
        "fieldsV1",
        "f:spec",
        "f:disks",
        "k:{}",
        "v:1",
        ".",
    ];
    let word = prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        word.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..5).prop_map(|fields| json!(fields)),
        ]
    })
}

fn paths(names: Vec<Vec<&'static str>>) -> FieldSet {
    let mut root = json!({});
    for path in names {
        let mut at = &mut root;
        for element in path {
            at = &mut at[element];
            if at.is_null() {
                *at = json!({});
            }
        }
        at["."] = json!({});
    }
    FieldSet::from_value(&root).expect("the paths are well formed")
}

fn field_set() -> impl Strategy<Value = FieldSet> {
    let element = prop::sample::select(vec![
        "f:a",
        "f:b",
        "v:1",
        "v:\"x\"",
        "k:{\"name\":\"x\"}",
        "i:0",
    ]);
    let path = prop::collection::vec(element, 1..4);
    prop::collection::vec(path, 0..6).prop_map(paths)
}

/// The items of every list in some fixed order: who applies first decides about the order of lists.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(unordered).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), unordered(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_is_applying_once(first in spec(), second in spec()) {
        let mut cluster = Cluster::new();
        cluster.apply("alice", first).force("bob", second.clone());
        let before = cluster.object().to_string();
        cluster.apply("bob", second);
        prop_assert!(!cluster.changed);
        prop_assert_eq!(cluster.object().to_string(), before);
    }

    #[test]
    fn after_a_forced_apply_the_object_has_what_the_configuration_says(first in spec(), second in spec()) {
        let mut cluster = Cluster::new();
        cluster.apply("alice", first).force("bob", second.clone());
        let mut again = Cluster::new();
        again.live = Some(object(cluster.spec().clone()));
        again.apply("anybody", second);
        prop_assert_eq!(again.spec(), cluster.spec());
    }

    #[test]
    fn the_order_in_which_disjoint_configurations_are_applied_does_not_matter((one, two) in disjoint()) {
        let (mut a, mut b) = (Cluster::new(), Cluster::new());
        a.apply("alice", one.clone()).apply("bob", two.clone());
        b.apply("bob", two).apply("alice", one);
        prop_assert_eq!(unordered(a.spec()), unordered(b.spec()));
        prop_assert_eq!((a.owned("alice"), a.owned("bob")), (b.owned("alice"), b.owned("bob")));
    }

    #[test]
    fn what_all_owners_have_dropped_is_gone(first in spec(), second in spec(), third in spec()) {
        let mut cluster = Cluster::new();
        cluster.apply("alice", first).force("bob", second).force("carol", third);
        cluster.apply("alice", json!({})).apply("bob", json!({})).apply("carol", json!({}));
        prop_assert_eq!(cluster.spec(), &json!({}));
    }

    #[test]
    fn a_manager_that_comes_and_goes_leaves_what_others_own((one, two) in disjoint()) {
        let (mut alone, mut visited) = (Cluster::new(), Cluster::new());
        alone.apply("alice", one.clone());
        visited.apply("alice", one).apply("bob", two).apply("bob", json!({}));
        prop_assert_eq!(alone.owned("alice"), visited.owned("alice"));
        // What stays of the visitor is the empty spec that it asks for.
        prop_assert_eq!(alone.spec(), visited.spec());
    }

    #[test]
    fn an_update_makes_the_updater_owner_of_exactly_what_differs(first in spec(), second in spec()) {
        let mut cluster = Cluster::new();
        cluster.apply("alice", first.clone());
        cluster.update("bob", |object| object["spec"] = second.clone());
        prop_assert_eq!(cluster.spec(), &second);
        if first == second {
            prop_assert_eq!(cluster.owned("bob"), Value::Null);
        }
        // Applying the updated state owns it too, without a conflict and without a change.
        cluster.apply("carol", second.clone());
        prop_assert_eq!(cluster.spec(), &second);
    }

    #[test]
    fn any_values_are_merged_or_refused(live in value(), first in value(), second in value()) {
        let mut cluster = Cluster::new();
        cluster.live = Some(json!({"metadata": first, "spec": live}));
        for spec in [&first, &second] {
            let _ = cluster.try_apply("alice", &object(spec.clone()), false, None);
            let _ = cluster.try_apply("bob", &object(spec.clone()), true, None);
            let _ = cluster.try_apply("bob", spec, true, Some("status"));
            cluster.update("carol", |object| object["spec"] = spec.clone());
            cluster.update("carol", |object| object["metadata"] = json!({"managedFields": [spec]}));
        }
    }

    #[test]
    fn field_sets_survive_writing_and_reading(set in field_set()) {
        prop_assert_eq!(FieldSet::from_value(&set.to_value()), Ok(set));
    }

    #[test]
    fn field_sets_obey_the_laws_of_sets(a in field_set(), b in field_set(), c in field_set()) {
        let union = |x: &FieldSet, y: &FieldSet| x.clone().union(y);
        let minus = |x: &FieldSet, y: &FieldSet| x.clone().difference(y);
        prop_assert_eq!(union(&a, &b), union(&b, &a));
        prop_assert_eq!(union(&union(&a, &b), &c), union(&a, &union(&b, &c)));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.intersection(&union(&b, &c)), union(&a.intersection(&b), &a.intersection(&c)));
        prop_assert_eq!(minus(&a, &b), minus(&a, &a.intersection(&b)));
        prop_assert_eq!(union(&minus(&a, &b), &a.intersection(&b)), a.clone());
        prop_assert!(minus(&a, &b).intersection(&b).is_empty());
        prop_assert!(minus(&a, &a).is_empty());
        prop_assert_eq!(union(&a, &b).paths().len(), a.paths().len() + minus(&b, &a).paths().len());
    }
}

#[test]
fn what_is_no_field_set_is_refused_with_the_place() {
    for (value, message) in [
        (json!(1), "managed fields at : found 1, allowed: an object"),
        (
            json!({"f:a": {"x": {}}}),
            "managed fields at f:a.x: found \"x\", allowed: f:name",
        ),
        (
            json!({"f:a": {"k:1": {}}}),
            "managed fields at f:a.k:1: found \"k:1\", allowed: an object of keys",
        ),
        (
            json!({"v:": {}}),
            "managed fields at v:: found \"v:\", allowed: a JSON value",
        ),
        (
            json!({"f:a": 1}),
            "managed fields at f:a: found 1, allowed: an object",
        ),
    ] {
        let error = FieldSet::from_value(&value)
            .expect_err("refused")
            .to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
