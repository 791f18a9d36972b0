//! Sets of field paths, and their wire form `FieldsV1`.

use serde_json::Value;

/// Why a value is no `FieldsV1`. A retry with the same value fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("managed fields at {path}: {message}")]
pub struct FieldSetError {
    /// Where in the value, as its keys joined with dots.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

/// A set of field paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet {}

impl FieldSet {
    /// Reads `FieldsV1`.
    ///
    /// # Errors
    /// When the value is not in that form.
    pub fn from_value(_value: &Value) -> Result<Self, FieldSetError> {
        Ok(Self {})
    }

    /// Writes `FieldsV1`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(serde_json::Map::new())
    }
}
