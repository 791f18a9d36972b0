//! From a Rust type to a structural schema as a CustomResourceDefinition holds it.
//!
//! What schemars writes is close to that, but says enums of documented variants as `oneOf`, makes
//! optional fields nullable and uses number formats that kube-apiserver does not know. Here it is
//! put
//! right once, for every face of a kind.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The structural schema of `T`, without any reference in it.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

fn tidy(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    unwrap_option(object);
    reflow(object);
    list_variants(object);
    for noise in ["nullable", "title", "components"] {
        object.remove(noise);
    }
    if object.get("additionalProperties") == Some(&Value::Bool(false)) {
        object.remove("additionalProperties");
    }
    let known = match object.get("format").and_then(Value::as_str) {
        Some("uint8" | "int8" | "uint16" | "int16" | "uint32") => Some("int32"),
        Some("uint64" | "uint" | "int") => Some("int64"),
        _ => None,
    };
    if let Some(known) = known {
        object.insert("format".to_owned(), json!(known));
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        for property in properties.values_mut() {
            tidy(property);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(inner) {
            tidy(inner);
        }
    }
    shorten_default(object);
}

/// An optional field is absent or has a value; an explicit null would be a third state that nobody
/// asked for.
fn unwrap_option(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("anyOf") else {
        return;
    };
    let is_null = |choice: &&Value| choice.get("enum") == Some(&json!([null]));
    if choices.iter().filter(is_null).count() != 1 || choices.len() != 2 {
        return;
    }
    let Some(Value::Object(inner)) = choices.iter().find(|choice| !is_null(choice)).cloned() else {
        return;
    };
    object.remove("anyOf");
    for (key, value) in inner {
        object.entry(key).or_insert(value);
    }
}

/// Where a line of source ends means nothing to a reader of the description; where a paragraph ends
/// does.
fn reflow(object: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = object.get_mut("description") {
        let paragraphs: Vec<String> = description.split("\n\n").map(one_line).collect();
        *description = paragraphs.join("\n\n");
    }
}

/// Kubernetes allows no `oneOf` that defines values, so the variants become an `enum` and what each
/// of them means goes into the description.
fn list_variants(object: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = object.remove("oneOf") else {
        return;
    };
    let mut values = Vec::new();
    let mut lines = Vec::new();
    for variant in &variants {
        let meaning = variant.get("description").and_then(Value::as_str);
        for value in variant
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let (Some(name), Some(meaning)) = (value.as_str(), meaning) {
                lines.push(format!("- `{name}`: {}", one_line(meaning)));
            }
            values.push(value.clone());
        }
    }
    let mut description = object
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if !lines.is_empty() {
        description.push_str("\n\n");
        description.push_str(&lines.join("\n"));
        object.insert("description".to_owned(), json!(description.trim()));
    }
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(values));
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// When the defaults of an object are exactly those of its fields, `{}` says the same: they are
/// filled in after it. Where the object has rules it is left as it is: kube-apiserver puts the
/// rules to a default before anything is filled in.
fn shorten_default(object: &mut Map<String, Value>) {
    if object.contains_key("x-kubernetes-validations") {
        return;
    }
    let Some(Value::Object(default)) = object.get("default") else {
        return;
    };
    let Some(Value::Object(properties)) = object.get("properties") else {
        return;
    };
    let same = default.iter().all(|(name, value)| {
        properties
            .get(name)
            .and_then(|property| property.get("default"))
            .is_some_and(|own| own == value || (own == &json!({}) && value.is_object()))
    });
    if same {
        object.insert("default".to_owned(), json!({}));
    }
}
