//! What is wrong with an object, said so that a person can put it right.
//!
//! A violation names the field in Kubernetes' path syntax, what was found there and what is
//! allowed. Programs look at the reason, people at the message.

use std::fmt;

/// The class of a violation; the names are those of Kubernetes' `field.ErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ViolationReason {
    /// A field that must be there is absent.
    Required,
    /// The value has the right type and breaks a rule: a pattern, a range, a format, an expression.
    Invalid,
    /// The value is none of the listed ones.
    NotSupported,
    /// The value or key occurs more than once in a list that allows each only once.
    Duplicate,
    /// The schema has no such field.
    Unknown,
    /// The value has another type than the schema asks for.
    TypeMismatch,
    /// The string is longer than allowed.
    TooLong,
    /// The list or map has more entries than allowed.
    TooMany,
    /// The field may not be set, or not be changed, here.
    Forbidden,
}

impl ViolationReason {
    /// The word that stands for this reason in API answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Unknown => "FieldValueUnknown",
            Self::TypeMismatch => "FieldValueTypeInvalid",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Forbidden => "FieldValueForbidden",
        }
    }
}

impl fmt::Display for ViolationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, as `spec.disks[1].size` or `metadata.labels[app]`; empty for the object itself.
    pub path: String,
    /// The class of the violation.
    pub reason: ViolationReason,
    /// What was found and what is allowed.
    pub message: String,
}

impl Violation {
    /// A violation of `reason` at `path`.
    #[must_use]
    pub fn new(
        path: impl Into<String>,
        reason: ViolationReason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            reason,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}
