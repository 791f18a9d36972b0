//! CEL rules of `x-kubernetes-validations`.

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The text of the rule.
    pub text: String,
}
