//! Label and field selectors, with the syntax and the meaning that they have in Kubernetes.

mod field;
mod label;

pub use field::FieldSelector;
pub use label::LabelSelector;

/// Why a selector was refused. A retry with the same text fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector {selector:?}: {message}")]
pub struct SelectorError {
    /// The selector as given.
    pub selector: String,
    /// What was found and what is allowed.
    pub message: String,
}
