//! From the JSON of a schema to nodes, refusing what is not structural.
//!
//! kube-apiserver accepts a CustomResourceDefinition only when its schema is structural: every
//! level says its type, and nothing hides fields inside `allOf` and its like. The same is refused
//! here, and two things more, because field ownership depends on them: a list without a list type,
//! and a keyword that nobody knows.

use crate::cel::Rule;
use crate::error::SchemaError;
use crate::format::Format;
use crate::metadata;
use crate::node::{Bound, ListType, MapType, Node, NodeKind, Pattern};
use crate::path::Path;
use crate::validate;
use serde_json::{Map, Number, Value};

/// Levels of a schema. kube-apiserver has no such bound; it keeps foreign schemas off the stack's end.
const MAX_DEPTH: usize = 64;
/// The size of a compiled pattern in bytes: `[a-z]{1,253}` takes a few thousand.
const MAX_PATTERN_SIZE: usize = 1 << 20;

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

/// Parses the schema of a whole resource.
pub(crate) fn resource(source: &Value) -> Result<Node, SchemaError> {
    let mut node = level(source, &mut Vec::new(), Role::Structure)?;
    if node.kind != NodeKind::Object {
        return Err(refuse(
            &[],
            "found no object, allowed: type: object for a resource",
        ));
    }
    node.resource = true;
    metadata::add_resource_fields(&mut node);
    compile_rules(&mut node, source, &mut Vec::new(), true)?;
    check_defaults(&node, &mut Vec::new())?;
    Ok(node)
}

/// Parses the schema of a part of a resource, without rules.
pub(crate) fn part(source: &Value) -> Result<Node, SchemaError> {
    level(source, &mut Vec::new(), Role::Structure)
}

/// Whether a level says what a value is or, inside `allOf` and its like, only limits it.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Structure,
    Limit,
}

fn refuse(path: &[String], message: impl Into<String>) -> SchemaError {
    let path = if path.is_empty() {
        "the root".to_owned()
    } else {
        path.join(".")
    };
    SchemaError::NotStructural {
        path,
        message: message.into(),
    }
}

fn level(source: &Value, path: &mut Vec<String>, role: Role) -> Result<Node, SchemaError> {
    if path.len() > MAX_DEPTH {
        return Err(refuse(
            path,
            format!("found more than {MAX_DEPTH} levels, allowed: {MAX_DEPTH}"),
        ));
    }
    let Some(map) = source.as_object() else {
        return Err(refuse(path, "found no object, allowed: a schema object"));
    };
    let keywords = Keywords {
        map,
        path: path.clone(),
    };
    let mut node = Node::new(kind(&keywords, role)?);
    if role == Role::Limit {
        keywords.refuse_structure()?;
    }
    keywords.values(&mut node)?;
    keywords.extensions(&mut node)?;
    children(&keywords, &mut node, path, role)?;
    if node.resource {
        metadata::add_resource_fields(&mut node);
    }
    junctors(&keywords, &mut node, path)?;
    keywords.refuse_unknown()?;
    if role == Role::Structure {
        check_structure(&node, path)?;
    }
    Ok(node)
}

fn kind(keywords: &Keywords<'_>, role: Role) -> Result<NodeKind, SchemaError> {
    let declared = keywords.text("type")?;
    let int_or_string = keywords.flag("x-kubernetes-int-or-string")?;
    let preserve = keywords.flag("x-kubernetes-preserve-unknown-fields")?;
    match declared {
        Some(_) if int_or_string => Err(keywords.refuse(
            "found type beside x-kubernetes-int-or-string, allowed: one of them",
        )),
        Some("object") => Ok(NodeKind::Object),
        Some("array") => Ok(NodeKind::Array),
        Some("string") => Ok(NodeKind::String),
        Some("integer") => Ok(NodeKind::Integer),
        Some("number") => Ok(NodeKind::Number),
        Some("boolean") => Ok(NodeKind::Boolean),
        Some(other) => Err(keywords.refuse(format!(
            "found type {other:?}, allowed: object, array, string, integer, number, boolean"
        ))),
        None if int_or_string => Ok(NodeKind::IntOrString),
        None if preserve || role == Role::Limit => Ok(NodeKind::Any),
        None => Err(keywords.refuse(
            "found no type, allowed: a type, x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields",
        )),
    }
}

fn children(
    keywords: &Keywords<'_>,
    node: &mut Node,
    path: &mut Vec<String>,
    role: Role,
) -> Result<(), SchemaError> {
    if let Some(properties) = keywords.map.get("properties") {
        let Some(properties) = properties.as_object() else {
            return Err(keywords
                .refuse("found properties that are no object, allowed: an object of schemas"));
        };
        for (name, source) in properties {
            path.push(name.clone());
            let child = level(source, path, role)?;
            path.pop();
            node.properties.insert(name.clone(), child);
        }
    }
    if let Some(source) = keywords.map.get("additionalProperties") {
        if source.is_boolean() {
            return Err(keywords.refuse(
                "found additionalProperties true or false, allowed: a schema, or x-kubernetes-preserve-unknown-fields",
            ));
        }
        if !node.properties.is_empty() {
            return Err(keywords
                .refuse("found properties beside additionalProperties, allowed: one of them"));
        }
        path.push("*".to_owned());
        node.additional_properties = Some(Box::new(level(source, path, role)?));
        path.pop();
    }
    if let Some(source) = keywords.map.get("items") {
        path.push("items".to_owned());
        node.items = Some(Box::new(level(source, path, role)?));
        path.pop();
    }
    Ok(())
}

fn junctors(
    keywords: &Keywords<'_>,
    node: &mut Node,
    path: &mut Vec<String>,
) -> Result<(), SchemaError> {
    for (keyword, limits) in [
        ("allOf", &mut node.all_of),
        ("anyOf", &mut node.any_of),
        ("oneOf", &mut node.one_of),
    ] {
        let Some(value) = keywords.map.get(keyword) else {
            continue;
        };
        let Some(sources) = value.as_array().filter(|list| !list.is_empty()) else {
            return Err(keywords.refuse(format!(
                "found {keyword} that is no list, allowed: a list of schemas"
            )));
        };
        if node.kind == NodeKind::IntOrString && is_int_or_string(sources) {
            continue;
        }
        for (index, source) in sources.iter().enumerate() {
            path.push(format!("{keyword}[{index}]"));
            limits.push(level(source, path, Role::Limit)?);
            path.pop();
        }
    }
    if let Some(source) = keywords.map.get("not") {
        path.push("not".to_owned());
        node.not = Some(Box::new(level(source, path, Role::Limit)?));
        path.pop();
    }
    Ok(())
}

/// `anyOf: [{type: integer}, {type: string}]`, the one place where types may stand in a junctor: it
/// tells other tools what `x-kubernetes-int-or-string` says already.
fn is_int_or_string(sources: &[Value]) -> bool {
    let types: Vec<_> = sources.iter().map(|source| &source["type"]).collect();
    types == ["integer", "string"]
}

/// What holds between the keywords of one level and the next.
fn check_structure(node: &Node, path: &[String]) -> Result<(), SchemaError> {
    if node.kind != NodeKind::Object
        && (!node.properties.is_empty() || node.additional_properties.is_some())
        && node.kind != NodeKind::Any
    {
        return Err(refuse(
            path,
            format!(
                "found properties beside type {}, allowed: type object",
                node.kind.as_str()
            ),
        ));
    }
    for required in &node.required {
        let known = node.child(required).is_some() || node.preserve_unknown;
        let of_every_resource =
            path.is_empty() && metadata::RESOURCE_FIELDS.contains(&required.as_str());
        if !known && !of_every_resource {
            return Err(refuse(
                path,
                format!("found required field {required:?}, allowed: the names of properties"),
            ));
        }
    }
    for limit in node
        .all_of
        .iter()
        .chain(&node.any_of)
        .chain(&node.one_of)
        .chain(node.not.as_deref())
    {
        check_limit(limit, node, path)?;
    }
    match (node.kind, node.items.as_deref()) {
        (NodeKind::Array, None) => Err(refuse(
            path,
            "found a list without items, allowed: a schema in items",
        )),
        (NodeKind::Array, Some(items)) => check_list(node, items, path),
        (_, Some(_)) => Err(refuse(
            path,
            format!(
                "found items beside type {}, allowed: type array",
                node.kind.as_str()
            ),
        )),
        (_, None) => Ok(()),
    }
}

/// A limit may speak only of fields that the structure has: it could not be pruned otherwise.
fn check_limit(limit: &Node, node: &Node, path: &[String]) -> Result<(), SchemaError> {
    for (name, inner) in &limit.properties {
        match node.child(name) {
            Some(child) => check_limit(inner, child, path)?,
            None if node.preserve_unknown => {}
            None => {
                return Err(refuse(
                    path,
                    format!(
                        "found field {name:?} in allOf, anyOf, oneOf or not, allowed: the names of properties"
                    ),
                ));
            }
        }
    }
    match (limit.items.as_deref(), node.items.as_deref()) {
        (Some(inner), Some(items)) => check_limit(inner, items, path),
        (Some(_), None) => Err(refuse(
            path,
            "found items in allOf, anyOf, oneOf or not, allowed: only for a list",
        )),
        (None, _) => Ok(()),
    }
}

fn is_scalar(node: &Node) -> bool {
    matches!(
        node.kind,
        NodeKind::String
            | NodeKind::Integer
            | NodeKind::Number
            | NodeKind::Boolean
            | NodeKind::IntOrString
    )
}

fn check_list(node: &Node, items: &Node, path: &[String]) -> Result<(), SchemaError> {
    match &node.list_type {
        ListType::Atomic => Ok(()),
        ListType::Set => {
            let atomic = is_scalar(items)
                || (items.kind == NodeKind::Object && items.map_type == MapType::Atomic)
                || (items.kind == NodeKind::Array && items.list_type == ListType::Atomic);
            if !atomic || items.nullable {
                return Err(refuse(
                    path,
                    "found a set of objects, lists or nullable values, allowed: scalars, or objects with x-kubernetes-map-type: atomic",
                ));
            }
            Ok(())
        }
        ListType::Map { keys } => {
            if items.kind != NodeKind::Object || items.nullable {
                return Err(refuse(
                    path,
                    "found x-kubernetes-list-type: map, allowed only for items of type object that are not nullable",
                ));
            }
            for key in keys {
                let Some(field) = items.properties.get(key).filter(|field| is_scalar(field)) else {
                    return Err(refuse(
                        path,
                        format!(
                            "found list map key {key:?}, allowed: a scalar property of the items"
                        ),
                    ));
                };
                if !items.requires(key) && field.default.is_none() {
                    return Err(refuse(
                        path,
                        format!(
                            "found list map key {key:?} that may be absent, allowed: a required property or one with a default"
                        ),
                    ));
                }
                if field.nullable {
                    return Err(refuse(
                        path,
                        format!(
                            "found list map key {key:?} that is nullable, allowed: a property that is not"
                        ),
                    ));
                }
            }
            Ok(())
        }
    }
}

/// Compiles the rules when the whole tree stands, for they are checked against the types below.
fn compile_rules(
    node: &mut Node,
    source: &Value,
    path: &mut Vec<String>,
    has_old: bool,
) -> Result<(), SchemaError> {
    if let Some(sources) = source.get("x-kubernetes-validations") {
        let Some(sources) = sources.as_array() else {
            return Err(refuse(
                path,
                "found x-kubernetes-validations that is no list, allowed: a list of rules",
            ));
        };
        let mut rules = Vec::with_capacity(sources.len());
        for source in sources {
            rules.push(Rule::compile(source, node, has_old).map_err(|error| {
                SchemaError::Rule {
                    path: if path.is_empty() {
                        "the root".to_owned()
                    } else {
                        path.join(".")
                    },
                    rule: source["rule"].as_str().unwrap_or_default().to_owned(),
                    message: error.to_string(),
                }
            })?);
        }
        node.rules = rules;
    }
    if let Some(properties) = source.get("properties").and_then(Value::as_object) {
        for (name, source) in properties {
            let of_every_resource =
                node.resource && metadata::RESOURCE_FIELDS.contains(&name.as_str());
            if let (false, Some(child)) = (of_every_resource, node.properties.get_mut(name)) {
                path.push(name.clone());
                compile_rules(child, source, path, has_old)?;
                path.pop();
            }
        }
    }
    if let (Some(child), Some(source)) = (
        node.additional_properties.as_deref_mut(),
        source.get("additionalProperties"),
    ) {
        path.push("*".to_owned());
        compile_rules(child, source, path, has_old)?;
        path.pop();
    }
    let keyed = matches!(node.list_type, ListType::Map { .. });
    if let (Some(child), Some(source)) = (node.items.as_deref_mut(), source.get("items")) {
        path.push("items".to_owned());
        compile_rules(child, source, path, has_old && keyed)?;
        path.pop();
    }
    Ok(())
}

/// A default that its own schema refuses would make valid manifests invalid.
fn check_defaults(node: &Node, path: &mut Vec<String>) -> Result<(), SchemaError> {
    if let Some(default) = &node.default {
        let mut whole = default.clone();
        crate::defaults::apply(node, &mut whole);
        let mut violations = Vec::new();
        validate::value(node, &whole, None, &Path::ROOT, &mut violations);
        crate::unknown::report(node, &whole, &Path::ROOT, &mut violations);
        if let Some(violation) = violations.first() {
            return Err(refuse(
                path,
                format!("the default is not valid: {violation}"),
            ));
        }
    }
    for (name, child) in &node.properties {
        path.push(name.clone());
        check_defaults(child, path)?;
        path.pop();
    }
    for (name, child) in [("*", &node.additional_properties), ("items", &node.items)] {
        if let Some(child) = child {
            path.push(name.to_owned());
            check_defaults(child, path)?;
            path.pop();
        }
    }
    Ok(())
}

/// The keywords of one level, read with their types checked.
struct Keywords<'a> {
    map: &'a Map<String, Value>,
    path: Vec<String>,
}

impl<'a> Keywords<'a> {
    fn refuse(&self, message: impl Into<String>) -> SchemaError {
        refuse(&self.path, message)
    }

    fn wrong(&self, keyword: &str, allowed: &str) -> SchemaError {
        let found = crate::describe::value(&self.map[keyword]);
        self.refuse(format!("{keyword}: found {found}, allowed: {allowed}"))
    }

    fn text(&self, keyword: &str) -> Result<Option<&'a str>, SchemaError> {
        match self.map.get(keyword) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(keyword, "a string")),
        }
    }

    fn flag(&self, keyword: &str) -> Result<bool, SchemaError> {
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

    fn values(&self, node: &mut Node) -> Result<(), SchemaError> {
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
        let regex = regex::RegexBuilder::new(text)
            .size_limit(MAX_PATTERN_SIZE)
            .build()
            .map_err(|source| SchemaError::Pattern {
                path: self.path.join("."),
                pattern: text.to_owned(),
                source,
            })?;
        Ok(Some(Pattern { regex }))
    }

    fn extensions(&self, node: &mut Node) -> Result<(), SchemaError> {
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

    fn refuse_structure(&self) -> Result<(), SchemaError> {
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

    fn refuse_unknown(&self) -> Result<(), SchemaError> {
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
