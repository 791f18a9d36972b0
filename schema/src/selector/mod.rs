//! Label and field selectors, as `kubectl -l` and `--field-selector` take them.

use serde_json::{Map, Value};

/// Why a selector was refused. A retry with the same text fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector {selector:?}: {message}")]
pub struct SelectorError {
    /// The selector as given.
    pub selector: String,
    /// What was found and what is allowed.
    pub message: String,
}

/// A label selector: requirements that labels must all meet. The default selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {}

impl LabelSelector {
    /// Parses `app=web,tier in (a,b),!canary`. An empty text selects everything.
    ///
    /// # Errors
    /// When the text is no selector.
    pub fn parse(_text: &str) -> Result<Self, SelectorError> {
        Ok(Self {})
    }

    /// Reads `{matchLabels: …, matchExpressions: …}`.
    ///
    /// # Errors
    /// When the value is no such object.
    pub fn from_value(_value: &Value) -> Result<Self, SelectorError> {
        Ok(Self {})
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether `labels` (an object's `metadata.labels`) meet every requirement.
    #[must_use]
    pub fn matches(&self, _labels: Option<&Map<String, Value>>) -> bool {
        true
    }

    /// Whether the labels of `object` meet every requirement.
    #[must_use]
    pub fn matches_object(&self, _object: &Value) -> bool {
        true
    }
}

/// A field selector: `metadata.name=web,status.phase!=Running`. The default selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {}

impl FieldSelector {
    /// Parses `path=value,path!=value`. An empty text selects everything.
    ///
    /// # Errors
    /// When the text is no selector.
    pub fn parse(_text: &str) -> Result<Self, SelectorError> {
        Ok(Self {})
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// The value that `path` must have, when the selector names one: a list by `metadata.name` is a
    /// look-up.
    #[must_use]
    pub fn required_value(&self, _path: &str) -> Option<&str> {
        None
    }

    /// The paths that the selector looks at.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Whether `object` meets every requirement; an absent field has the empty value.
    #[must_use]
    pub fn matches(&self, _object: &Value) -> bool {
        true
    }
}
