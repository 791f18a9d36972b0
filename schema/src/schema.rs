//! A whole schema: parsed once, then used from many threads.

use crate::error::SchemaError;
use crate::node::Node;
use crate::path::Path;
use crate::violation::Violation;
use crate::{defaults, parse, unknown, validate};
use serde_json::Value;
use std::sync::Arc;

/// A structural schema with everything compiled. A clone shares the original.
#[derive(Debug, Clone)]
pub struct Schema {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Value,
    root: Node,
}

impl Schema {
    /// Parses `source`, an OpenAPI v3 schema as a CustomResourceDefinition holds it.
    ///
    /// # Errors
    /// When the schema is not structural, or a rule or pattern in it does not compile.
    pub fn parse(source: &Value) -> Result<Self, SchemaError> {
        Ok(Self {
            inner: Arc::new(Inner {
                source: source.clone(),
                root: parse::resource(source)?,
            }),
        })
    }

    /// The schema as it was given to [`Schema::parse`].
    #[must_use]
    pub fn source(&self) -> &Value {
        &self.inner.source
    }

    /// The outermost node.
    #[must_use]
    pub fn root(&self) -> &Node {
        &self.inner.root
    }

    /// Puts the default into every absent field that has one.
    pub fn apply_defaults(&self, object: &mut Value) {
        defaults::apply(self.root(), object);
    }

    /// What is wrong with `object`; `old` is the object that it replaces, for transition rules.
    /// Unknown fields are not reported here, see [`Schema::unknown_fields`].
    #[must_use]
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<Violation> {
        let mut violations = Vec::new();
        validate::value(self.root(), object, old, &Path::ROOT, &mut violations);
        violations
    }

    /// The fields of `object` that the schema does not know.
    #[must_use]
    pub fn unknown_fields(&self, object: &Value) -> Vec<Violation> {
        let mut violations = Vec::new();
        unknown::report(self.root(), object, &Path::ROOT, &mut violations);
        violations
    }

    /// Removes the fields that the schema does not know.
    pub fn prune(&self, object: &mut Value) {
        unknown::prune(self.root(), object);
    }
}
