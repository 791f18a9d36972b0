//! CEL rules of `x-kubernetes-validations`.

use crate::node::Node;
use crate::path::Path;
use crate::violation::Violation;
use serde_json::Value;

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The text of the rule.
    pub text: String,
}

/// Why a rule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(String);

/// What the rules of one object may still cost.
pub(crate) struct Budget {}

impl Budget {
    pub(crate) fn of_one_object() -> Self {
        Self {}
    }
}

impl Rule {
    pub(crate) fn compile(source: &Value, _node: &Node) -> Result<Self, RuleError> {
        Ok(Self {
            text: source["rule"]
                .as_str()
                .ok_or_else(|| RuleError("found no rule".into()))?
                .to_owned(),
        })
    }

    pub(crate) fn check(
        &self,
        _node: &Node,
        _value: &Value,
        _old: Option<&Value>,
        _path: &Path<'_>,
        _budget: &mut Budget,
        _out: &mut Vec<Violation>,
    ) {
    }
}
