//! Which fields refer to other objects, and which claim something for their object alone.
//!
//! One line per field, so that a new field of a kind needs no code here. A test checks that every path
//! exists in the schema of its kind.

use serde_json::Value;

use super::fields::{self, Field};

/// A field that names another object.
pub(super) struct Reference {
    /// The kind that has the field.
    pub(super) kind: &'static str,
    /// Where.
    pub(super) field: &'static str,
    /// The plural of the kind it names.
    pub(super) target: &'static str,
}

/// A field whose value belongs to one object only.
pub(super) struct Claim {
    /// The kind that has the field.
    pub(super) kind: &'static str,
    /// The objects, list items or maps that have the field; empty for the object itself.
    pub(super) within: &'static str,
    /// The field.
    pub(super) field: &'static str,
    /// The field beside it in which the value is unique; everywhere when none.
    pub(super) scope: Option<&'static str>,
    /// The boolean field beside it that says that the value may be shared with others who say so.
    pub(super) shared: Option<&'static str>,
    /// What kinds of claims exclude each other.
    pub(super) space: &'static str,
    /// What people call it.
    pub(super) what: &'static str,
}

const REFERENCES: &[Reference] = &[];

const CLAIMS: &[Claim] = &[];

/// The fields of `kind` that name other objects.
pub(super) fn references_of(kind: &str) -> impl Iterator<Item = &'static Reference> {
    REFERENCES.iter().filter(move |entry| entry.kind == kind)
}

/// The fields of `kind` that claim something.
pub(super) fn claims_of(kind: &str) -> impl Iterator<Item = &'static Claim> {
    CLAIMS.iter().filter(move |entry| entry.kind == kind)
}

impl Claim {
    /// Every value claimed in `object`, with its scope and whether it may be shared.
    pub(super) fn fields<'a>(&self, object: &'a Value) -> Vec<(Field<'a>, Option<&'a str>, bool)> {
        fields::find(object, self.within)
            .into_iter()
            .flat_map(|owner| {
                let beside = |name: &str| owner.value.get(name);
                let scope = self.scope.and_then(beside).and_then(Value::as_str);
                let shared = self
                    .shared
                    .and_then(beside)
                    .and_then(Value::as_bool)
                    .unwrap_or(false);
                let prefix = owner.path.clone();
                fields::find(owner.value, self.field)
                    .into_iter()
                    .map(move |field| {
                        let path = if prefix.is_empty() {
                            field.path
                        } else {
                            format!("{prefix}.{}", field.path)
                        };
                        (Field { path, ..field }, scope, shared)
                    })
            })
            .collect()
    }
}
