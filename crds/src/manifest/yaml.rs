//! The YAML side of manifests.
//!
//! Of YAML we read what Kubernetes' tools read, minus the traps: `yes` and `on` are texts, a key
//! stands once, anchors and aliases are expanded within narrow limits.

use super::strict::{Strict, take_duplicate};
use super::{Limits, ManifestError};
use serde_json::Value;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Options, UserMessageFormatter};

/// How many anchors, and how many aliases, one input may have.
const MAX_ALIASES: usize = 1_000;
/// For how many values all aliases of one input together may stand.
const MAX_ALIASED_VALUES: usize = 20_000;

pub(super) fn parse(text: &str, limits: &Limits) -> Result<Vec<Value>, ManifestError> {
    take_duplicate();
    let documents: Vec<Strict> = serde_saphyr::from_multiple_with_options(text, options(limits))
        .map_err(|error| from(error.without_snippet(), limits))?;
    Ok(documents.into_iter().map(|Strict(value)| value).collect())
}

fn options(limits: &Limits) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits.max_depth,
            // Beyond the scanner's look-ahead, so that the depth is what is complained about first.
            flow_nesting_limit: limits.max_depth.saturating_add(2_048),
            max_documents: limits.max_objects,
            max_nodes: limits.max_nodes,
            max_events: limits.max_nodes.saturating_mul(2),
            max_total_scalar_bytes: limits.max_bytes,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_recorded_anchor_events: limits.max_nodes,
            max_recorded_anchor_bytes: limits.max_bytes,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIASED_VALUES,
            max_replay_stack_depth: 8,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
        reject_unsupported_tags: true,
    }
}

fn from(error: &Error, limits: &Limits) -> ManifestError {
    let (line, column) = error.location().map_or((1, 1), |place| {
        (
            usize::try_from(place.line()).unwrap_or(usize::MAX),
            usize::try_from(place.column()).unwrap_or(usize::MAX),
        )
    });
    if let Some(key) = take_duplicate() {
        return ManifestError::DuplicateKey { line, column, key };
    }
    let complex = |what: String| ManifestError::TooComplex { line, column, what };
    match cause(error) {
        Error::DuplicateMappingKey { key, .. } => ManifestError::DuplicateKey {
            line,
            column,
            key: key.clone().unwrap_or_default(),
        },
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => ManifestError::TooDeep {
            line,
            column,
            allowed: limits.max_depth,
        },
        Error::Budget {
            breach: BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. },
            ..
        } => complex(format!("more than {} values", limits.max_nodes)),
        Error::Budget {
            breach: BudgetBreach::Documents { .. },
            ..
        } => ManifestError::TooManyObjects {
            allowed: limits.max_objects,
        },
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => complex(format!(
            "more than {MAX_ALIASES} anchors or aliases, or aliases for more than \
                 {MAX_ALIASED_VALUES} values"
        )),
        other => ManifestError::Syntax {
            line,
            column,
            message: message(other, line, column),
        },
    }
}

/// What went wrong, without the trace of aliases that led there.
fn cause(error: &Error) -> &Error {
    match error {
        Error::AliasError { error, .. } => cause(error.without_snippet()),
        other => other,
    }
}

fn message(error: &Error, line: usize, column: usize) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let place = format!(" at line {line}, column {column}");
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Writes `value` as YAML in block style, texts of several lines as literal blocks. Reading it
/// again gives the same value.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        folded_wrap_chars: usize::MAX,
    };
    // A JSON value has no map keys but texts and no number that YAML lacks, so nothing can fail.
    serde_saphyr::to_string_with_options(value, options).unwrap_or_default()
}
