//! Version 2 of OpenAPI in the encoding that client-go reads: the messages of gnostic's `OpenAPIv2.proto`, as far as
//! clients of Kubernetes look at them.

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value};

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    /// A text, when it is there.
    fn text_of(&mut self, field: u32, value: &Value, name: &str) -> &mut Self {
        match value.get(name).and_then(Value::as_str) {
            Some(text) => self.text(field, text),
            None => self,
        }
    }

    fn texts_of(&mut self, field: u32, value: &Value, name: &str) -> &mut Self {
        for text in list(value, name).iter().filter_map(Value::as_str) {
            self.text(field, text);
        }
        self
    }

    fn flag_of(&mut self, field: u32, value: &Value, name: &str) -> &mut Self {
        if value.get(name) == Some(&Value::Bool(true)) {
            encode_key(field, WireType::Varint, &mut self.0);
            encode_varint(1, &mut self.0);
        }
        self
    }

    fn message(&mut self, field: u32, message: Message) -> &mut Self {
        self.bytes(field, &message.0)
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Whatever begins with `x-`.
    fn extensions(&mut self, field: u32, value: &Value) -> &mut Self {
        for (name, value) in fields(value).filter(|(name, _)| name.starts_with("x-")) {
            self.message(field, named(name, any(value)));
        }
        self
    }
}

/// The document as a message.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut paths = Message::default();
    for (path, item) in fields(&document["paths"]) {
        paths.message(2, named(path, path_item(item)));
    }
    let mut definitions = Message::default();
    for (name, definition) in fields(&document["definitions"]) {
        definitions.message(1, named(name, schema(definition)));
    }
    let mut info = Message::default();
    info.text_of(1, &document["info"], "title")
        .text_of(2, &document["info"], "version");
    let mut message = Message::default();
    message
        .text_of(1, document, "swagger")
        .message(2, info)
        .message(8, paths)
        .message(9, definitions);
    message.0
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (field, method) in [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (8, "patch"),
    ] {
        if let Some(described) = item.get(method) {
            message.message(field, operation(described));
        }
    }
    message
}

fn operation(operation: &Value) -> Message {
    let mut message = Message::default();
    message
        .text_of(3, operation, "description")
        .text_of(5, operation, "operationId")
        .texts_of(6, operation, "produces")
        .texts_of(7, operation, "consumes");
    for described in list(operation, "parameters") {
        message.message(8, parameter(described));
    }
    let mut responses = Message::default();
    for (code, described) in fields(&operation["responses"]) {
        let mut response = Message::default();
        response.text_of(1, described, "description");
        response.message(2, wrapped(1, schema(&described["schema"])));
        responses.message(1, named(code, wrapped(1, response)));
    }
    message.message(9, responses).extensions(13, operation);
    message
}

fn parameter(parameter: &Value) -> Message {
    let is_body = parameter["in"] == "body";
    let mut message = Message::default();
    if is_body {
        message
            .text_of(2, parameter, "name")
            .text_of(3, parameter, "in")
            .flag_of(4, parameter, "required")
            .message(5, schema(&parameter["schema"]));
        return wrapped(1, wrapped(1, message));
    }
    message
        .text_of(2, parameter, "in")
        .text_of(3, parameter, "description")
        .text_of(4, parameter, "name")
        .text_of(6, parameter, "type")
        .flag_of(20, parameter, "uniqueItems");
    wrapped(1, wrapped(2, wrapped(3, message)))
}

fn schema(schema_: &Value) -> Message {
    let mut message = Message::default();
    message
        .text_of(1, schema_, "$ref")
        .text_of(2, schema_, "format")
        .text_of(4, schema_, "description");
    if let Some(default) = schema_.get("default") {
        message.message(5, any(default));
    }
    message
        .text_of(13, schema_, "pattern")
        .texts_of(19, schema_, "required");
    for allowed in list(schema_, "enum") {
        message.message(20, any(allowed));
    }
    match schema_.get("additionalProperties") {
        Some(inner @ Value::Object(_)) => {
            message.message(21, wrapped(1, schema(inner)));
        }
        Some(Value::Bool(true)) => {
            let mut item = Message::default();
            item.flag_of(2, schema_, "additionalProperties");
            message.message(21, item);
        }
        _ => {}
    }
    if let Some(type_) = schema_.get("type").and_then(Value::as_str) {
        let mut item = Message::default();
        item.text(1, type_);
        message.message(22, item);
    }
    if let Some(items) = schema_.get("items") {
        message.message(23, wrapped(1, schema(items)));
    }
    if schema_.get("properties").is_some() {
        let mut properties = Message::default();
        for (name, property) in fields(&schema_["properties"]) {
            properties.message(1, named(name, schema(property)));
        }
        message.message(25, properties);
    }
    message.extensions(31, schema_);
    message
}

/// A value of any form, as YAML; JSON is YAML.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(2, &value.to_string());
    message
}

fn named(name: &str, value: Message) -> Message {
    let mut message = Message::default();
    message.text(1, name).message(2, value);
    message
}

fn wrapped(field: u32, inner: Message) -> Message {
    let mut message = Message::default();
    message.message(field, inner);
    message
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_its_fields_one_after_the_other() {
        let encoded = encode(&json!({
            "swagger": "2.0",
            "definitions": {"A": {"type": "object", "x-y": 1}},
        }));
        let expected: Vec<u8> = [
            &b"\x0a\x032.0"[..],
            b"\x12\x00",
            b"\x42\x00",
            // definitions { A { type { object } extension { x-y: 1 } } }
            b"\x4a\x1f\x0a\x1d\x0a\x01A\x12\x18\xb2\x01\x08\x0a\x06object\xfa\x01\x0a\x0a\x03x-y\x12\x03\x12\x011",
        ]
        .concat();
        assert_eq!(encoded, expected);
    }
}
