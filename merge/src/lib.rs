//! Server-side apply: structured merge and field ownership with the meaning that Kubernetes gives
//! them.
//!
//! Several people and programs write the same object: an operator applies the manifest of a guest, a
//! controller sets an annotation, the daemons report a status. `metadata.managedFields` notes who
//! set what, so that an apply changes only what its configuration says, removes what the
//! configuration no longer says, and refuses to overwrite what others set unless told to.
//!
//! [`apply`] and [`update`] are pure functions from the live object and a change to the new object.
//! Validation, defaults and everything that the server itself sets (generation, timestamps) happen
//! outside. The algorithms are those of Kubernetes' structured-merge-diff; an object emptied by a
//! removal stays `{}` where somebody owns it, where upstream leaves null.

mod apply;
mod compare;
mod config;
mod field_set;
mod managers;
mod ownership;
mod shape;
mod structured;
mod update;

pub use apply::apply;
pub use field_set::{FieldSet, FieldSetError};
pub use managers::Operation;
pub use update::update;

use quorate_schema::{Violation, ViolationReason};
use serde_json::Value;
use std::fmt;

/// Who applies, and how.
#[derive(Debug, Clone, Copy)]
pub struct ApplyOptions<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// Whether to take over fields that others own with other values.
    pub force: bool,
    /// The subresource written to, such as `status`.
    pub subresource: Option<&'a str>,
    /// The API version of the configuration.
    pub api_version: &'a str,
    /// The time of the change, RFC 3339 in whole seconds.
    pub now: &'a str,
}

/// Who creates, replaces or patches.
#[derive(Debug, Clone, Copy)]
pub struct UpdateOptions<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The subresource written to, such as `status`.
    pub subresource: Option<&'a str>,
    /// The API version of the object.
    pub api_version: &'a str,
    /// The time of the change, RFC 3339 in whole seconds.
    pub now: &'a str,
}

/// The outcome of a merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The whole object, with its new `metadata.managedFields`.
    pub object: Value,
    /// Whether it differs from the live object in anything, managed fields included.
    pub changed: bool,
}

impl Change {
    fn of(live: Option<&Value>, object: Value) -> Self {
        Self {
            changed: live != Some(&object),
            object,
        }
    }
}

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The field, as `.spec.disks[name="root"].size`.
    pub path: String,
    /// The manager that owns it.
    pub manager: String,
    /// How that manager came to own it.
    pub operation: Operation,
    /// The subresource through which it did.
    pub subresource: Option<String>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: owned by {:?} ({}",
            self.path, self.manager, self.operation
        )?;
        if let Some(subresource) = &self.subresource {
            write!(f, " of {subresource}")?;
        }
        f.write_str(")")
    }
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields with other values. A retry succeeds with force, which takes the fields
    /// over, or with a configuration that leaves them out or sets them to the live values.
    #[error("{}; apply with force to take the fields over, or leave them out of the configuration", joined(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration cannot be merged whoever applies it. A retry fails again.
    #[error("{}", joined(.0))]
    InvalidConfig(Vec<Violation>),
}

fn no_object() -> ApplyError {
    ApplyError::InvalidConfig(vec![Violation::new(
        "",
        ViolationReason::TypeMismatch,
        "found no object, allowed: an object with apiVersion, kind and metadata",
    )])
}

fn joined<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join("; ")
}
