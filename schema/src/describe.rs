//! Found values in messages: recognisable, and never long.

use serde_json::Value;

/// The longest piece of a foreign value that a message repeats, in characters.
const SHOWN: usize = 64;

/// The value as JSON when it is a short scalar; what it is otherwise.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(string) => text(string),
        Value::Array(items) => match items.len() {
            1 => "a list of 1 item".to_owned(),
            n => format!("a list of {n} items"),
        },
        Value::Object(fields) => match fields.len() {
            1 => "an object with 1 field".to_owned(),
            n => format!("an object with {n} fields"),
        },
    }
}

/// The text in quotes, cut when it is long.
pub(crate) fn text(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// `items` joined with commas.
pub(crate) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut joined = String::new();
    for item in items {
        if !joined.is_empty() {
            joined += ", ";
        }
        joined += item.as_ref();
    }
    joined
}
