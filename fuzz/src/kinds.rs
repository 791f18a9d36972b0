//! What people write: manifests, objects, schemas, selectors, quantities.

use quorate_controller::resource::ContinueToken;
use quorate_crds::manifest::{self, Limits};
use quorate_merge::{ApplyOptions, FieldSet};
use quorate_schema::{
    Schema, duration,
    quantity::Quantity,
    selector::{FieldSelector, LabelSelector},
};
use serde_json::Value;

pub(crate) const MANIFESTS: &[&[u8]] = &[
    include_bytes!("../../deploy/examples/minimal/web.yaml"),
    br#"{"apiVersion":"quorate.dev/v1alpha1","kind":"Secret","metadata":{"name":"a"},"spec":{"data":{"k":"YQ=="}}}"#,
    b"a: &x [1, 2]\nb: *x\n---\nkind: List\nitems:\n- {kind: Node}\n",
];

pub(crate) fn manifest(data: &[u8]) {
    let Ok(objects) = manifest::parse(data, &Limits::default()) else {
        return;
    };
    for object in objects {
        let text = manifest::to_yaml(&object);
        let again = manifest::parse(text.as_bytes(), &Limits::default());
        assert_eq!(again.expect("our own YAML parses"), [object], "{text}");
    }
}

fn objects(data: &[u8]) -> Vec<Value> {
    manifest::parse(data, &Limits::default()).unwrap_or_default()
}

pub(crate) fn object(data: &[u8]) {
    for mut object in objects(data) {
        let named = object["kind"].as_str().and_then(quorate_crds::find);
        for kind in named
            .into_iter()
            .chain(quorate_crds::find("VirtualMachine"))
        {
            let _ = kind.schema.unknown_fields(&object);
            kind.schema.prune(&mut object);
            kind.schema.apply_defaults(&mut object);
            let _ = kind.schema.validate(&object, None);
            let _ = kind.schema.validate(&object, Some(&object));
        }
    }
}

pub(crate) fn schema(data: &[u8]) {
    let Ok(source) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    if let Ok(schema) = Schema::parse(&source) {
        let mut object = source.clone();
        schema.apply_defaults(&mut object);
        let _ = schema.validate(&object, None);
    }
}

pub(crate) fn merge(data: &[u8]) {
    for object in objects(data) {
        let Some(kind) = object["kind"].as_str().and_then(quorate_crds::find) else {
            continue;
        };
        let options = ApplyOptions {
            manager: "fuzz",
            force: false,
            subresource: None,
            api_version: quorate_crds::API_VERSION,
            now: "2026-01-01T00:00:00Z",
        };
        let Ok(first) = quorate_merge::apply(&kind.schema, None, &object, &options) else {
            continue;
        };
        let second = quorate_merge::apply(&kind.schema, Some(&first.object), &object, &options)
            .expect("what was applied once applies again");
        assert!(!second.changed, "applying twice changed {object}");
    }
}

pub(crate) fn field_set(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    if let Ok(set) = FieldSet::from_value(&value) {
        let again = FieldSet::from_value(&set.to_value()).expect("our own form parses");
        assert_eq!(set, again);
    }
}

pub(crate) fn selectors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(selector) = LabelSelector::parse(&text) {
        let _ = selector.matches(None);
    }
    if let Ok(selector) = FieldSelector::parse(&text) {
        let _ = selector.matches(&Value::Null);
    }
}

pub(crate) fn scalars(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(quantity) = text.parse::<Quantity>() {
        let again: Quantity = quantity.to_string().parse().expect("our own form parses");
        assert_eq!(quantity, again);
    }
    if let Ok(length) = duration::parse(&text) {
        let again = duration::parse(&duration::format(length)).expect("our own form parses");
        assert_eq!(length, again);
    }
}

pub(crate) fn continue_token(data: &[u8]) {
    let _ = ContinueToken::decode(&String::from_utf8_lossy(data), "history", "secrets");
}
