//! Why a schema was refused.

/// Why [`crate::Schema::parse`] refused a schema. A retry with the same schema fails again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SchemaError {
    /// The schema is not structural: kube-apiserver would refuse it in a CustomResourceDefinition,
    /// or this crate's stricter rules do.
    #[error("schema at {path}: {message}")]
    NotStructural {
        /// Where in the schema, as a path of its keys.
        path: String,
        /// What was found and what is allowed.
        message: String,
    },
    /// A rule of `x-kubernetes-validations` does not compile, or uses what kube-apiserver does not share.
    #[error("rule {rule:?} at {path}: {message}")]
    Rule {
        /// Where in the schema, as a path of its keys.
        path: String,
        /// The text of the rule.
        rule: String,
        /// What was found and what is allowed.
        message: String,
    },
    /// A `pattern` is no regular expression.
    #[error("pattern {pattern:?} at {path}")]
    Pattern {
        /// Where in the schema, as a path of its keys.
        path: String,
        /// The text of the pattern.
        pattern: String,
        /// What the expression compiler says.
        #[source]
        source: regex::Error,
    },
}
