//! The static types of rules.
//!
//! kube-apiserver refuses a rule that names a field which the schema does not have or compares what
//! cannot be compared; finding that out when the schema is parsed is worth a small type checker.

use crate::format::Format;
use crate::node::{Node, NodeKind};
use std::fmt;
use std::rc::Rc;

#[derive(Debug, Clone)]
pub(super) enum Type<'n> {
    /// Known only when the rule runs: an integer or string.
    Dyn,
    Null,
    Bool,
    Int,
    Double,
    Text,
    Duration,
    Quantity,
    /// What kube-apiserver converts and this crate does not: times, dates and bytes.
    Opaque(&'static str),
    List(Rc<Type<'n>>),
    /// A list in the object; the node is the list's.
    Items(&'n Node),
    /// An object with fixed fields.
    Object(&'n Node),
    /// A map in the object; the node is that of the values.
    Map(&'n Node),
    /// The metadata of a resource, of which rules see the name alone.
    Metadata,
    Optional(Rc<Type<'n>>),
}

impl<'n> Type<'n> {
    pub(super) fn of(node: &'n Node) -> Self {
        match (node.kind, node.format) {
            (NodeKind::Object, _) => match node.additional_properties.as_deref() {
                Some(values) => Self::Map(values),
                None => Self::Object(node),
            },
            (NodeKind::Array, _) => Self::Items(node),
            (NodeKind::String, Some(Format::Duration)) => Self::Duration,
            (NodeKind::String, Some(Format::DateTime)) => Self::Opaque("date-time"),
            (NodeKind::String, Some(Format::Date)) => Self::Opaque("date"),
            (NodeKind::String, Some(Format::Byte)) => Self::Opaque("byte"),
            (NodeKind::String, _) => Self::Text,
            (NodeKind::Integer, _) => Self::Int,
            (NodeKind::Number, _) => Self::Double,
            (NodeKind::Boolean, _) => Self::Bool,
            (NodeKind::IntOrString, _) => Self::Dyn,
            (NodeKind::Any, _) => Self::Opaque("any value"),
        }
    }

    /// The type of a list's items or of a map's keys: what a macro's variable stands for.
    pub(super) fn element(&self) -> Option<Self> {
        match self {
            Self::Dyn => Some(Self::Dyn),
            Self::List(items) => Some((**items).clone()),
            Self::Items(node) => node.items.as_deref().map(Self::of),
            Self::Map(_) => Some(Self::Text),
            _ => None,
        }
    }

    /// Whether both may hold the same value, so that `==` says something.
    pub(super) fn comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn | Self::Null, _) | (_, Self::Dyn | Self::Null) => true,
            (Self::Bool, Self::Bool)
            | (Self::Int, Self::Int)
            | (Self::Double, Self::Double)
            | (Self::Text, Self::Text)
            | (Self::Duration, Self::Duration)
            | (Self::Quantity, Self::Quantity) => true,
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (Self::Object(a), Self::Object(b)) | (Self::Map(a), Self::Map(b)) => {
                std::ptr::eq(*a, *b)
            }
            (Self::Optional(a), Self::Optional(b)) => a.comparable(b),
            (a, b) if a.is_list() && b.is_list() => match (a.element(), b.element()) {
                (Some(a), Some(b)) => a.comparable(&b),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether `<` and its like order the two.
    pub(super) fn ordered(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Dyn, Self::Dyn | Self::Int | Self::Double | Self::Text)
                | (Self::Int | Self::Double | Self::Text, Self::Dyn)
                | (Self::Int | Self::Double, Self::Int | Self::Double)
                | (Self::Text, Self::Text)
                | (Self::Bool, Self::Bool)
                | (Self::Duration, Self::Duration)
        )
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::List(_) | Self::Items(_))
    }

    pub(super) fn may_be(&self, other: &Self) -> bool {
        matches!(self, Self::Dyn) || std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The type of an expression that has one or the other.
    pub(super) fn either(self, other: &Self) -> Self {
        match (&self, other) {
            (Self::Null, _) => other.clone(),
            (_, Self::Null) => self,
            _ if !matches!(self, Self::Dyn)
                && self.comparable(other)
                && !matches!(other, Self::Dyn) =>
            {
                self
            }
            _ => Self::Dyn,
        }
    }
}

impl fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dyn => "an integer or string",
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Double => "a number with fraction (double)",
            Self::Text => "a string",
            Self::Duration => "a duration",
            Self::Quantity => "a quantity",
            Self::Opaque(what) => return write!(f, "a field of format or type {what}"),
            Self::List(_) | Self::Items(_) => "a list",
            Self::Object(_) | Self::Metadata => "an object",
            Self::Map(_) => "a map",
            Self::Optional(_) => "an optional value",
        })
    }
}
