//! Server-side apply: structured merge and field ownership with the meaning that Kubernetes gives
//! them.

mod field_set;

pub use field_set::{FieldSet, FieldSetError};

use quorate_schema::{Schema, Violation};
use serde_json::Value;

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

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The field, as `.spec.disks[name="root"].size`.
    pub path: String,
    /// The manager that owns it.
    pub manager: String,
    /// How that manager came to own it: `Apply` or `Update`.
    pub operation: String,
    /// The subresource through which it did.
    pub subresource: Option<String>,
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own fields with other values. Retry with force to take them over, or leave
    /// the fields out, or set them to the live values to share them.
    #[error("{} field(s) are owned by others", .0.len())]
    Conflicts(Vec<Conflict>),
    /// The configuration cannot be merged whoever applies it. A retry fails again.
    #[error("the configuration cannot be merged")]
    InvalidConfig(Vec<Violation>),
}

/// Merges the applied configuration `config` into `live`.
///
/// # Errors
/// When others own fields with other values, or the configuration does not fit the schema.
pub fn apply(
    _schema: &Schema,
    _live: Option<&Value>,
    config: &Value,
    _options: &ApplyOptions<'_>,
) -> Result<Change, ApplyError> {
    Ok(Change {
        object: config.clone(),
        changed: true,
    })
}

/// Tracks who owns what after `live` was replaced by `new`.
///
/// # Errors
/// When the object does not fit the schema.
pub fn update(
    _schema: &Schema,
    _live: Option<&Value>,
    new: Value,
    _options: &UpdateOptions<'_>,
) -> Result<Change, ApplyError> {
    Ok(Change {
        object: new,
        changed: true,
    })
}
