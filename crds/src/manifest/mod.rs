//! Manifests: what people write, in YAML or JSON, and how objects are shown to them in YAML.
//!
//! A manifest comes from anywhere, so its size, depth and number of objects are limited before
//! anything of it is built, and what is ambiguous (a key twice, two values for one field by an
//! alias
//! bomb) is refused rather than guessed at.

mod error;
mod json;
mod strict;
mod yaml;

pub use error::ManifestError;
pub use yaml::to_yaml;

use serde_json::Value;

/// How much a manifest may ask of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that one input may have.
    pub max_bytes: usize,
    /// How deep lists and maps may be nested.
    pub max_depth: usize,
    /// The most objects in one input, those in lists counted one by one.
    pub max_objects: usize,
    /// The most values, keys and containers in one input, after aliases are replaced.
    pub max_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 4 * 1024 * 1024,
            max_depth: 48,
            max_objects: 10_000,
            max_nodes: 500_000,
        }
    }
}

/// Reads every object of a manifest: one or several YAML documents, or JSON values one after the
/// other. Empty documents are skipped, and a `List` stands for its items.
///
/// # Errors
/// When the input is no UTF-8, has a syntax error or a key twice, exceeds a limit, or holds
/// something that is no object. Reading the same input again fails again.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Vec<Value>, ManifestError> {
    if bytes.len() > limits.max_bytes {
        return Err(ManifestError::TooLarge {
            found: bytes.len(),
            allowed: limits.max_bytes,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| ManifestError::not_utf8(bytes, error))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = if is_json(text) {
        json::parse(text, limits)?
    } else {
        yaml::parse(text, limits)?
    };
    let mut objects = Vec::with_capacity(documents.len());
    for (index, document) in documents.into_iter().enumerate() {
        expand(document, index + 1, limits, &mut objects)?;
    }
    Ok(objects)
}

/// Whether it begins as a JSON object does: YAML's maps in braces rarely have quotation marks.
fn is_json(text: &str) -> bool {
    let within = text.trim_start().strip_prefix('{');
    within.is_some_and(|within| within.trim_start().starts_with(['"', '}']))
}

fn expand(
    document: Value,
    number: usize,
    limits: &Limits,
    objects: &mut Vec<Value>,
) -> Result<(), ManifestError> {
    if document.is_null() {
        return Ok(());
    }
    if !document.is_object() {
        return Err(ManifestError::NotAnObject {
            document: number,
            found: type_name(&document),
        });
    }
    let items = match document {
        Value::Object(mut list) if is_list(&list) => match list.remove("items") {
            Some(Value::Array(items)) => items,
            _ => return Err(ManifestError::ListWithoutItems { document: number }),
        },
        object => vec![object],
    };
    for item in items {
        if !item.is_object() {
            return Err(ManifestError::NotAnObject {
                document: number,
                found: type_name(&item),
            });
        }
        if objects.len() == limits.max_objects {
            return Err(ManifestError::TooManyObjects {
                allowed: limits.max_objects,
            });
        }
        objects.push(item);
    }
    Ok(())
}

fn is_list(object: &serde_json::Map<String, Value>) -> bool {
    object
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
