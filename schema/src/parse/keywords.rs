//! The keywords of one level of a schema, read with their types checked.

use super::refuse;
use crate::error::SchemaError;
use crate::format::Format;
use crate::node::{Bound, ListType, MapType, Node, NodeKind};
use crate::pattern::Pattern;
use serde_json::{Map, Number, Value};

/// Keywords without a meaning for checking.
const DOCUMENTATION: [&str; 4] = ["description", "title", "example", "externalDocs"];

/// Keywords that say what a value is, rather than limit it; `allOf` and its like may not hold them.
const STRUCTURE: [&str; 7] = [
    "type",
    "additionalProperties",
    "default",
    "nullable",
    "title",
    "description",
    "example",
];

/// The keywords of one level, read with their types checked.
pub(super) struct Keywords<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) path: Vec<String>,
}

impl<'a> Keywords<'a> {
    pub(super) fn refuse(&self, message: impl Into<String>) -> SchemaError {
        refuse(&self.path, message)
    }

    fn wrong(&self, keyword: &str, allowed: &str) -> SchemaError {
        let found = crate::describe::value(&self.map[keyword]);
        self.refuse(format!("{keyword}: found {found}, allowed: {allowed}"))
    }

    pub(super) fn text(&self, keyword: &str) -> Result<Option<&'a str>, SchemaError> {
        match self.map.get(keyword) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(keyword, "a string")),
        }
    }

    pub(super) fn flag(&self, keyword: &str) -> Result<bool, SchemaError> {
        match self.map.get(keyword) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(keyword, "true or false")),
        }
    }

    fn number(&self, keyword: &str) -> Result<Option<Number>, SchemaError> {
        match self.map.get(keyword) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number.clone())),
            Some(_) => Err(self.wrong(keyword, "a number")),
        }
    }

    fn count(&self, keyword: &str) -> Result<Option<u64>, SchemaError> {
        match self.map.get(keyword) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count) => Ok(Some(count)),
                None => Err(self.wrong(keyword, "a whole number")),
            },
        }
    }

    fn texts(&self, keyword: &str) -> Result<Vec<String>, SchemaError> {
        let Some(value) = self.map.get(keyword) else {
            return Ok(Vec::new());
        };
        value
            .as_array()
            .and_then(|list| {
                list.iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect()
            })
            .ok_or_else(|| self.wrong(keyword, "a list of strings"))
    }

    fn bound(&self, keyword: &str, exclusive: &str) -> Result<Option<Bound>, SchemaError> {
        let exclusive = self.flag(exclusive)?;
        Ok(self
            .number(keyword)?
            .map(|value| Bound { value, exclusive }))
    }

    pub(super) fn values(&self, node: &mut Node) -> Result<(), SchemaError> {
        node.description = self.text("description")?.map(str::to_owned);
        node.required = self.texts("required")?;
        node.nullable = self.flag("nullable")?;
        node.default = self
            .map
            .get("default")
            .cloned()
            .filter(|default| !default.is_null());
        node.allowed = match self.map.get("enum") {
            None => Vec::new(),
            Some(Value::Array(values)) if !values.is_empty() => values.clone(),
            Some(_) => return Err(self.wrong("enum", "a list with at least one value")),
        };
        node.format = self.text("format")?.and_then(Format::from_name);
        node.pattern = self.pattern()?;
        node.minimum = self.bound("minimum", "exclusiveMinimum")?;
        node.maximum = self.bound("maximum", "exclusiveMaximum")?;
        node.multiple_of = self.number("multipleOf")?;
        if node
            .multiple_of
            .as_ref()
            .and_then(Number::as_f64)
            .is_some_and(|n| n <= 0.0)
        {
            return Err(self.wrong("multipleOf", "a number above 0"));
        }
        node.min_length = self.count("minLength")?;
        node.max_length = self.count("maxLength")?;
        node.min_items = self.count("minItems")?;
        node.max_items = self.count("maxItems")?;
        node.min_properties = self.count("minProperties")?;
        node.max_properties = self.count("maxProperties")?;
        if self.flag("uniqueItems")? {
            return Err(self.wrong("uniqueItems", "x-kubernetes-list-type: set in its place"));
        }
        Ok(())
    }

    fn pattern(&self) -> Result<Option<Pattern>, SchemaError> {
        let Some(text) = self.text("pattern")? else {
            return Ok(None);
        };
        Pattern::compile(text)
            .map(Some)
            .map_err(|source| SchemaError::Pattern {
                path: self.path.join("."),
                pattern: text.to_owned(),
                source,
            })
    }

    pub(super) fn extensions(&self, node: &mut Node) -> Result<(), SchemaError> {
        node.preserve_unknown |= self.flag("x-kubernetes-preserve-unknown-fields")?;
        if self.flag("x-kubernetes-embedded-resource")? {
            if node.kind != NodeKind::Object {
                return Err(
                    self.wrong("x-kubernetes-embedded-resource", "only beside type: object")
                );
            }
            node.resource = true;
        }
        node.map_type = match self.text("x-kubernetes-map-type")? {
            None | Some("granular") => MapType::Granular,
            Some("atomic") => MapType::Atomic,
            Some(_) => return Err(self.wrong("x-kubernetes-map-type", "granular or atomic")),
        };
        if self.map.contains_key("x-kubernetes-map-type") && node.kind != NodeKind::Object {
            return Err(self.wrong("x-kubernetes-map-type", "only beside type: object"));
        }
        node.list_type = self.list_type(node.kind)?;
        Ok(())
    }

    fn list_type(&self, kind: NodeKind) -> Result<ListType, SchemaError> {
        let keys = self.texts("x-kubernetes-list-map-keys")?;
        let list_type = match (self.text("x-kubernetes-list-type")?, kind) {
            (None, NodeKind::Array) => {
                return Err(self.refuse(
                    "found a list without x-kubernetes-list-type, allowed: atomic, set or map",
                ));
            }
            (None, _) => ListType::Atomic,
            (Some(_), kind) if kind != NodeKind::Array => {
                return Err(self.wrong("x-kubernetes-list-type", "only beside type: array"));
            }
            (Some("atomic"), _) => ListType::Atomic,
            (Some("set"), _) => ListType::Set,
            (Some("map"), _) if keys.is_empty() => {
                return Err(self.refuse(
                    "found x-kubernetes-list-type: map without keys, allowed: with x-kubernetes-list-map-keys",
                ));
            }
            (Some("map"), _) => ListType::Map { keys: keys.clone() },
            (Some(_), _) => return Err(self.wrong("x-kubernetes-list-type", "atomic, set or map")),
        };
        if !keys.is_empty() && !matches!(list_type, ListType::Map { .. }) {
            return Err(self.wrong(
                "x-kubernetes-list-map-keys",
                "only beside x-kubernetes-list-type: map",
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        if keys.iter().any(|key| !seen.insert(key)) {
            return Err(self.wrong("x-kubernetes-list-map-keys", "each key once"));
        }
        Ok(list_type)
    }

    pub(super) fn refuse_structure(&self) -> Result<(), SchemaError> {
        let found = self
            .map
            .keys()
            .find(|key| STRUCTURE.contains(&key.as_str()) || key.starts_with("x-kubernetes-"));
        match found {
            Some(keyword) => Err(self.refuse(format!(
                "found {keyword} inside allOf, anyOf, oneOf or not, allowed: keywords that limit values"
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn refuse_unknown(&self) -> Result<(), SchemaError> {
        const KNOWN: [&str; 33] = [
            "type",
            "format",
            "properties",
            "additionalProperties",
            "items",
            "required",
            "enum",
            "default",
            "nullable",
            "pattern",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "uniqueItems",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "x-kubernetes-int-or-string",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-map-type",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-validations",
        ];
        match self
            .map
            .keys()
            .find(|key| !KNOWN.contains(&key.as_str()) && !DOCUMENTATION.contains(&key.as_str()))
        {
            Some(keyword) => Err(self.refuse(format!(
                "found keyword {keyword:?}, allowed: the keywords of a structural schema"
            ))),
            None => Ok(()),
        }
    }
}
