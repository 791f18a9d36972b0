//! A whole schema: parsed once, then used from many threads.

use crate::error::SchemaError;
use crate::node::{Node, NodeKind};
use crate::violation::Violation;
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
                root: Node::new(NodeKind::Object),
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
    pub fn apply_defaults(&self, _object: &mut Value) {}

    /// What is wrong with `object`; `old` is the object that it replaces, for transition rules.
    /// Unknown fields are not reported here, see [`Schema::unknown_fields`].
    #[must_use]
    pub fn validate(&self, _object: &Value, _old: Option<&Value>) -> Vec<Violation> {
        Vec::new()
    }

    /// The fields of `object` that the schema does not know.
    #[must_use]
    pub fn unknown_fields(&self, _object: &Value) -> Vec<Violation> {
        Vec::new()
    }

    /// Removes the fields that the schema does not know.
    pub fn prune(&self, _object: &mut Value) {}
}
