//! CEL rules of `x-kubernetes-validations`, in the subset that kube-apiserver shares.
//!
//! A rule stands at a level of the schema, sees that level's value as `self` and, when there is a
//! former object, the former value as `oldSelf`; a rule that names `oldSelf` is skipped while there
//! is none, unless it says `optionalOldSelf: true`. It runs when the level and all below it have
//! the right types.
//!
//! | allowed | remarks |
//! |---|---|
//! | `self.x`, `has(self.x)`, `self[0]`, `self['key']` | names escaped as in Kubernetes: `self.x__dash__y`, `self.__namespace__`; of `metadata` only `name` and `generateName` |
//! | `&& \|\| ! ?:`, `== != < <= > >=`, `in`, `+ - * / %` | sets and list maps are equal whatever their order; `+` appends atomic lists only |
//! | `all`, `exists`, `exists_one`, `map`, `filter` | over lists and the keys of maps |
//! | `size`, `startsWith`, `endsWith`, `contains`, `matches` | `matches` takes a string literal |
//! | `int`, `double`, `string` | not `string` of a double |
//! | `duration`, and fields of format `duration` | compared, added, subtracted |
//! | `quantity`, `isQuantity`, `compareTo`, `isLessThan`, `isGreaterThan` | exact; the rest of the quantity library is refused |
//! | `hasValue`, `value`, `orValue` | on `oldSelf` of a rule with `optionalOldSelf` |
//!
//! Everything else is refused when the schema is parsed: other functions, unsigned and bytes
//! literals, map and message literals, fields that the schema does not declare, comparisons of
//! different types, and more than 1024 characters or 64 nested operations. Fields of format
//! `date-time`, `date` and `byte` can be tested with `has()` and compared with one another, no more.
//!
//! The syntax is parsed by the `cel` crate. Evaluation is our own: it reads the object in place,
//! knows the schema's types, and counts its steps, none of which the crate's interpreter does.

mod budget;
mod compile;
mod escape;
mod eval;
mod expr;
mod rule;
mod types;
mod value;

pub use rule::Rule;

pub(crate) use budget::Budget;

use std::fmt;

/// Why a rule was refused. A retry with the same rule fails again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    message: String,
}

impl RuleError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}
