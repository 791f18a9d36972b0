//! Why a manifest cannot be read, and where.

/// Why [`crate::manifest::parse`] refused its input. None of these goes away by trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than allowed.
    #[error("the manifest has {found} bytes, allowed are {allowed}: split it into several files")]
    TooLarge {
        /// How many there are.
        found: usize,
        /// How many may be there.
        allowed: usize,
    },
    /// Bytes that are no text.
    #[error(
        "line {line}: found bytes that are no UTF-8, allowed is UTF-8 text: save the file as UTF-8"
    )]
    NotUtf8 {
        /// The line of the first such byte.
        line: usize,
    },
    /// The input is no well-formed YAML or JSON.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What was found and what is allowed.
        message: String,
    },
    /// A key that a map has already.
    #[error(
        "line {line}, column {column}: the key {key:?} stands twice in the same map: remove one of the two"
    )]
    DuplicateKey {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// The key.
        key: String,
    },
    /// Nested deeper than allowed.
    #[error(
        "line {line}, column {column}: lists and maps are nested deeper than {allowed} levels, which no object needs"
    )]
    TooDeep {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// How many levels there may be.
        allowed: usize,
    },
    /// So many values or aliases that reading on could exhaust memory.
    #[error(
        "line {line}, column {column}: {what}: split the manifest, or write out what the aliases stand for"
    )]
    TooComplex {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// Which limit was exceeded.
        what: String,
    },
    /// A document or list item that is no object.
    #[error(
        "document {document}: found {found}, allowed is an object with apiVersion, kind and metadata"
    )]
    NotAnObject {
        /// The number of the document, counted from 1.
        document: usize,
        /// What was found.
        found: &'static str,
    },
    /// A `List` whose `items` is missing or no list.
    #[error("document {document}: a List must have its objects under items")]
    ListWithoutItems {
        /// The number of the document, counted from 1.
        document: usize,
    },
    /// More objects than allowed.
    #[error("the manifest has more than {allowed} objects: split it into several files")]
    TooManyObjects {
        /// How many may be there.
        allowed: usize,
    },
}

impl ManifestError {
    pub(super) fn not_utf8(bytes: &[u8], error: std::str::Utf8Error) -> Self {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        Self::NotUtf8 {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        }
    }
}
