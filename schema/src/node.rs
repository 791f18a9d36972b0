//! One level of a schema, parsed: what validation, defaulting, merging and `explain` walk along.
//!
//! Fields are public because a node is data. Everything that can be compiled (patterns, rules) is
//! compiled once when the schema is parsed, so that walking an object allocates only for violations.

use crate::cel::Rule;
use crate::format::Format;
use crate::pattern::Pattern;
use serde_json::Value;
use std::collections::BTreeMap;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// `type: object`, with fixed properties or as a map.
    Object,
    /// `type: array`.
    Array,
    /// `type: string`.
    String,
    /// `type: integer`.
    Integer,
    /// `type: number`.
    Number,
    /// `type: boolean`.
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
    /// No type: any value at all (`x-kubernetes-preserve-unknown-fields` without a type).
    Any,
}

impl NodeKind {
    /// The word for this type in messages and in `explain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer or string",
            Self::Any => "any value",
        }
    }
}

/// `x-kubernetes-list-type`: what makes two items of a list the same one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListType {
    /// The list is one value; it has one owner.
    #[default]
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects told apart by the values of these fields.
    Map {
        /// `x-kubernetes-list-map-keys`, in the schema's order.
        keys: Vec<String>,
    },
}

/// `x-kubernetes-map-type`: whether an object's fields have owners of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapType {
    /// Every field has owners of its own.
    #[default]
    Granular,
    /// The object is one value; it has one owner.
    Atomic,
}

/// A bound on a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The bound itself.
    pub value: serde_json::Number,
    /// Whether the bound itself is outside.
    pub exclusive: bool,
}

/// One level of a schema.
#[derive(Debug, Clone)]
pub struct Node {
    /// `description`.
    pub description: Option<String>,
    /// `type`.
    pub kind: NodeKind,
    /// `properties`.
    pub properties: BTreeMap<String, Node>,
    /// `additionalProperties`: the schema of a map's values.
    pub additional_properties: Option<Box<Node>>,
    /// `items`: the schema of a list's items.
    pub items: Option<Box<Node>>,
    /// `required`.
    pub required: Vec<String>,
    /// `nullable`.
    pub nullable: bool,
    /// `default`.
    pub default: Option<Value>,
    /// `enum`.
    pub allowed: Vec<Value>,
    /// `format`; an unknown format is ignored, as by kube-apiserver.
    pub format: Option<Format>,
    /// `pattern`.
    pub pattern: Option<Pattern>,
    /// `minimum` with `exclusiveMinimum`.
    pub minimum: Option<Bound>,
    /// `maximum` with `exclusiveMaximum`.
    pub maximum: Option<Bound>,
    /// `multipleOf`.
    pub multiple_of: Option<serde_json::Number>,
    /// `minLength`, in characters.
    pub min_length: Option<u64>,
    /// `maxLength`, in characters.
    pub max_length: Option<u64>,
    /// `minItems`.
    pub min_items: Option<u64>,
    /// `maxItems`.
    pub max_items: Option<u64>,
    /// `minProperties`.
    pub min_properties: Option<u64>,
    /// `maxProperties`.
    pub max_properties: Option<u64>,
    /// `x-kubernetes-list-type` with its keys.
    pub list_type: ListType,
    /// `x-kubernetes-map-type`.
    pub map_type: MapType,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// Whether this is a whole resource: the root, or `x-kubernetes-embedded-resource`.
    pub resource: bool,
    /// `x-kubernetes-validations`.
    pub rules: Vec<Rule>,
    /// `allOf`: value constraints that must all hold.
    pub all_of: Vec<Node>,
    /// `anyOf`: value constraints of which one at least must hold.
    pub any_of: Vec<Node>,
    /// `oneOf`: value constraints of which exactly one must hold.
    pub one_of: Vec<Node>,
    /// `not`: a value constraint that must not hold.
    pub not: Option<Box<Node>>,
}

impl Node {
    /// A node of `kind` without any constraint.
    #[must_use]
    pub fn new(kind: NodeKind) -> Self {
        Self {
            description: None,
            kind,
            properties: BTreeMap::new(),
            additional_properties: None,
            items: None,
            required: Vec::new(),
            nullable: false,
            default: None,
            allowed: Vec::new(),
            format: None,
            pattern: None,
            minimum: None,
            maximum: None,
            multiple_of: None,
            min_length: None,
            max_length: None,
            min_items: None,
            max_items: None,
            min_properties: None,
            max_properties: None,
            list_type: ListType::Atomic,
            map_type: MapType::Granular,
            preserve_unknown: kind == NodeKind::Any,
            resource: false,
            rules: Vec::new(),
            all_of: Vec::new(),
            any_of: Vec::new(),
            one_of: Vec::new(),
            not: None,
        }
    }

    /// The schema of the field or map entry `name`, when there is one.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.properties
            .get(name)
            .or(self.additional_properties.as_deref())
    }

    /// The node at `path`, a sequence of field names; lists are stepped through to their items, so
    /// that `spec`, `disks`, `size` finds the size of a disk.
    #[must_use]
    pub fn descend<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        path.into_iter().try_fold(self, |node, name| {
            let mut node = node;
            while let Some(items) = node.items.as_deref() {
                node = items;
            }
            node.child(name)
        })
    }

    /// Whether the object is a map: keys chosen by the user, all values of one schema.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.kind == NodeKind::Object
            && self.properties.is_empty()
            && self.additional_properties.is_some()
    }

    /// Whether the field `name` must be given.
    #[must_use]
    pub fn requires(&self, name: &str) -> bool {
        self.required.iter().any(|required| required == name)
    }
}
