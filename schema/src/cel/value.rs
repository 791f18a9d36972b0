//! The values that rules compute with. What comes from the object is borrowed, never copied.

use super::budget::{Budget, Failure};
use crate::format::Format;
use crate::node::{ListType, Node, NodeKind};
use crate::{duration, quantity::Quantity};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    /// No value: `oldSelf` of an object that is new.
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    /// Nanoseconds.
    Duration(i64),
    Quantity(Quantity),
    List(Rc<[Val<'a>]>),
    /// A list or object of the object, with its schema.
    Part(&'a Value, Option<&'a Node>),
}

impl<'a> Val<'a> {
    pub(super) fn of(value: &'a Value, node: Option<&'a Node>) -> Result<Self, Failure> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(integer) if node.is_none_or(|node| node.kind != NodeKind::Number) => {
                    Self::Int(integer)
                }
                _ => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text)
                if node.is_some_and(|node| node.format == Some(Format::Duration)) =>
            {
                Self::Duration(nanoseconds(text)?)
            }
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Part(value, node),
        })
    }

    /// The number of items, when this is a list.
    pub(super) fn length(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Part(Value::Array(items), _) => Some(items.len()),
            _ => None,
        }
    }

    /// The item at `index`, when this is a list that has it.
    pub(super) fn item(&self, index: usize) -> Result<Option<Val<'a>>, Failure> {
        match self {
            Self::List(items) => Ok(items.get(index).cloned()),
            Self::Part(Value::Array(items), node) => {
                let node = node.and_then(|node| node.items.as_deref());
                items.get(index).map(|item| Val::of(item, node)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// The field or map entry `name`, when this is an object that has it.
    pub(super) fn field(&self, name: &str) -> Result<Option<Val<'a>>, Failure> {
        match self {
            Self::Part(Value::Object(fields), node) => {
                let node = node.and_then(|node| node.child(name));
                fields
                    .get(name)
                    .map(|value| Val::of(value, node))
                    .transpose()
            }
            _ => Ok(None),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "no value",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Double(_) => "a double",
            Self::Text(_) => "a string",
            Self::Duration(_) => "a duration",
            Self::Quantity(_) => "a quantity",
            Self::List(_) | Self::Part(Value::Array(_), _) => "a list",
            Self::Part(..) => "an object",
        }
    }
}

/// A duration for rules.
pub(super) fn nanoseconds(text: &str) -> Result<i64, Failure> {
    duration::parse(text)
        .ok()
        .and_then(|duration| i64::try_from(duration.as_nanos()).ok())
        .ok_or_else(|| Failure::error(format!("{text:?} is no duration")))
}

/// CEL's equality, in which sets and list maps compare without their order, as in kube-apiserver.
pub(super) fn equal(a: &Val<'_>, b: &Val<'_>, budget: &mut Budget) -> Result<bool, Failure> {
    budget.spend(1)?;
    Ok(match (a, b) {
        (Val::Null, Val::Null) | (Val::Absent, Val::Absent) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Text(a), Val::Text(b)) => {
            budget.spend_text(a.len().min(b.len()))?;
            a == b
        }
        (Val::Duration(a), Val::Duration(b)) => a == b,
        (Val::Quantity(a), Val::Quantity(b)) => a == b,
        (Val::Int(_) | Val::Double(_), Val::Int(_) | Val::Double(_)) => {
            order(a, b) == Some(Ordering::Equal)
        }
        (Val::Part(Value::Object(left), _), Val::Part(Value::Object(right), _)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for name in left.keys() {
                match (a.field(name)?, b.field(name)?) {
                    (Some(x), Some(y)) if equal(&x, &y, budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => match (a.length(), b.length()) {
            (Some(left), Some(right)) if left == right => {
                if is_unordered(a) || is_unordered(b) {
                    same_items(a, b, left, budget)?
                } else {
                    same_sequence(a, b, left, budget)?
                }
            }
            _ => false,
        },
    })
}

fn is_unordered(value: &Val<'_>) -> bool {
    matches!(value, Val::Part(_, Some(node)) if node.list_type != ListType::Atomic)
}

fn same_sequence(
    a: &Val<'_>,
    b: &Val<'_>,
    length: usize,
    budget: &mut Budget,
) -> Result<bool, Failure> {
    for index in 0..length {
        match (a.item(index)?, b.item(index)?) {
            (Some(x), Some(y)) if equal(&x, &y, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn same_items(
    a: &Val<'_>,
    b: &Val<'_>,
    length: usize,
    budget: &mut Budget,
) -> Result<bool, Failure> {
    for index in 0..length {
        let Some(item) = a.item(index)? else {
            return Ok(false);
        };
        if !contains(b, &item, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the list `list` has an item equal to `item`.
pub(super) fn contains(
    list: &Val<'_>,
    item: &Val<'_>,
    budget: &mut Budget,
) -> Result<bool, Failure> {
    for index in 0..list.length().unwrap_or(0) {
        if let Some(candidate) = list.item(index)?
            && equal(&candidate, item, budget)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The order of two values, when they have one.
pub(super) fn order(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) | (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Int(a), Val::Double(b)) => compare_mixed(*a, *b),
        (Val::Double(a), Val::Int(b)) => compare_mixed(*b, *a).map(Ordering::reverse),
        (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Quantity(a), Val::Quantity(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Compares exactly, without the rounding of an integer beyond 2⁵³ to a double.
fn compare_mixed(integer: i64, double: f64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    if double >= LIMIT {
        return Some(Ordering::Less);
    }
    if double < -LIMIT {
        return Some(Ordering::Greater);
    }
    // Within the limits, truncation is exact.
    let whole = double.trunc() as i64;
    Some(
        integer
            .cmp(&whole)
            .then_with(|| 0.0_f64.total_cmp(&(double.fract() + 0.0))),
    )
}
