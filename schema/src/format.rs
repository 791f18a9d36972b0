//! String and number formats.

/// A `format` that this crate checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 3339 date and time.
    DateTime,
}
