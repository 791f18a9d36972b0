//! What manifests may look like, and what is refused before it can do harm.

use proptest::prelude::*;
use quorate_crds::manifest::{Limits, ManifestError, parse, to_yaml};
use serde_json::{Value, json};
use std::fmt::Write as _;

fn read(text: &str) -> Result<Vec<Value>, ManifestError> {
    parse(text.as_bytes(), &Limits::default())
}

#[test]
fn several_yaml_documents_are_read_in_order_and_empty_ones_are_skipped() {
    let objects = read("---\nkind: A\n---\n# nothing here\n---\nkind: B\nspec: {size: 2Gi}\n---\n");
    assert_eq!(
        objects,
        Ok(vec![
            json!({"kind": "A"}),
            json!({"kind": "B", "spec": {"size": "2Gi"}})
        ])
    );
}

#[test]
fn json_is_read_also_when_several_objects_follow_one_another() {
    let objects = read("{\"kind\": \"A\"}\n{\"kind\": \"B\", \"n\": [1, -2, 2.5, true, null]}\n");
    assert_eq!(
        objects,
        Ok(vec![
            json!({"kind": "A"}),
            json!({"kind": "B", "n": [1, -2, 2.5, true, null]})
        ])
    );
}

#[test]
fn yaml_in_braces_is_read_and_json_that_is_cut_off_is_called_json() {
    let objects = read("{kind: A, spec: {size: 2Gi}}\n---\nkind: B\n");
    assert_eq!(
        objects,
        Ok(vec![
            json!({"kind": "A", "spec": {"size": "2Gi"}}),
            json!({"kind": "B"})
        ])
    );
    let refused = read("{\"kind\": \"A\", \"spec\": {").expect_err("cut off");
    assert!(refused.to_string().contains("JSON"), "{refused}");
    let twice = read("{kind: A, kind: B}").expect_err("a key twice");
    assert!(
        matches!(
            twice,
            ManifestError::Syntax { .. } | ManifestError::DuplicateKey { .. }
        ),
        "{twice}"
    );
}

#[test]
fn a_list_stands_for_its_items() {
    let objects = read("kind: List\nitems:\n- kind: A\n- kind: B\n");
    assert_eq!(
        objects,
        Ok(vec![json!({"kind": "A"}), json!({"kind": "B"})])
    );
    assert_eq!(
        read("kind: List\n"),
        Err(ManifestError::ListWithoutItems { document: 1 })
    );
}

#[test]
fn yes_and_on_are_texts_not_booleans() {
    let objects = read("a: yes\nb: on\nc: true\n").expect("well-formed");
    assert_eq!(objects, vec![json!({"a": "yes", "b": "on", "c": true})]);
}

#[test]
fn a_key_that_stands_twice_is_named_with_its_place() {
    let yaml = read("kind: A\nspec:\n  size: 1Gi\n  size: 2Gi\n");
    assert!(
        matches!(&yaml, Err(ManifestError::DuplicateKey { line: 4, key, .. }) if key == "size"),
        "{yaml:?}"
    );
    let json = read("{\"kind\": \"A\",\n \"spec\": {\"size\": 1,\n \"size\": 2}}");
    assert!(
        matches!(&json, Err(ManifestError::DuplicateKey { line: 3, key, .. }) if key == "size"),
        "{json:?}"
    );
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").expect("writing to a string");
    }
    let refusal = read(&bomb);
    assert!(
        matches!(refusal, Err(ManifestError::TooComplex { .. })),
        "{refusal:?}"
    );
}

#[test]
fn nesting_beyond_the_limit_is_refused_in_every_notation() {
    let flow = "[".repeat(5_000);
    let block: String = (0..200)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    let json = format!("{{\"a\": {}", "[".repeat(5_000));
    for text in [flow, block, json] {
        let refusal = read(&text);
        assert!(
            matches!(refusal, Err(ManifestError::TooDeep { .. })),
            "{refusal:?}"
        );
    }
}

#[test]
fn too_many_bytes_objects_and_values_are_refused() {
    let limits = Limits {
        max_bytes: 100,
        max_objects: 2,
        max_nodes: 20,
        ..Limits::default()
    };
    let large = "a".repeat(101);
    assert_eq!(
        parse(large.as_bytes(), &limits),
        Err(ManifestError::TooLarge {
            found: 101,
            allowed: 100
        })
    );
    let many = "kind: List\nitems: [{a: 1}, {a: 1}, {a: 1}]";
    assert_eq!(
        parse(many.as_bytes(), &limits),
        Err(ManifestError::TooManyObjects { allowed: 2 })
    );
    let json = "{\"a\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}";
    let refusal = parse(json.as_bytes(), &limits);
    assert!(
        matches!(refusal, Err(ManifestError::TooComplex { .. })),
        "{refusal:?}"
    );
}

#[test]
fn what_is_no_object_is_named() {
    let refusal = read("kind: A\n---\n- 1\n").expect_err("a list is no object");
    assert_eq!(
        refusal.to_string(),
        "document 2: found a list, allowed is an object with apiVersion, kind and metadata"
    );
}

#[test]
fn a_syntax_error_has_a_place() {
    let yaml = read("kind: A\nspec: [1, 2\n").expect_err("an open bracket");
    assert!(yaml.to_string().starts_with("line "), "{yaml}");
    let json = read("{\"kind\": \"A\",}").expect_err("a comma too many");
    assert!(
        json.to_string().starts_with("line 1, column 14: "),
        "{json}"
    );
    let bytes = parse(b"kind: A\n\xff\xfe", &Limits::default()).expect_err("no text");
    assert_eq!(bytes, ManifestError::NotUtf8 { line: 2 });
}

#[test]
fn texts_of_several_lines_are_shown_as_blocks_and_texts_that_look_like_something_else_are_quoted() {
    let object =
        json!({"script": "one\ntwo\n", "answer": "yes", "size": "10", "list": [], "count": 1});
    assert_eq!(
        to_yaml(&object),
        "answer: \"yes\"\ncount: 1\nlist: []\nscript: |\n  one\n  two\nsize: \"10\"\n"
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,24}",
        "[\\n\\t -~]{0,24}",
        "\\PC{0,16}",
        Just("yes".to_owned()),
        Just("0x10".to_owned()),
        Just("1e3".to_owned()),
        Just("~".to_owned()),
        Just("---".to_owned()),
        Just(" a\n  b\n".to_owned()),
        Just("a\n\n".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn what_is_shown_as_yaml_is_read_back_unchanged(value in any_value()) {
        let object = json!({ "kind": "A", "value": value });
        let yaml = to_yaml(&object);
        prop_assert_eq!(read(&yaml), Ok(vec![object.clone()]), "{}", yaml);
        let json = object.to_string();
        prop_assert_eq!(read(&json), Ok(vec![object]));
    }

    #[test]
    fn no_input_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[-{}\\[\\]:,&*!|>'\"#a \\n]{0,80}") {
        let _ = parse(&bytes, &Limits::default());
        let _ = read(&text);
    }
}
