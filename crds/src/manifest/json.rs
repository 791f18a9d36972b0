//! The JSON side of manifests.

use super::strict::{Strict, take_duplicate};
use super::{Limits, ManifestError};
use serde_json::{Deserializer, Value};

pub(super) fn parse(text: &str, limits: &Limits) -> Result<Vec<Value>, ManifestError> {
    check_size(text, limits)?;
    take_duplicate();
    Deserializer::from_str(text)
        .into_iter::<Strict>()
        .map(|value| {
            value
                .map(|Strict(value)| value)
                .map_err(|error| from(&error))
        })
        .collect()
}

/// Depth and number of values, seen without building anything.
fn check_size(text: &str, limits: &Limits) -> Result<(), ManifestError> {
    let (mut line, mut column, mut depth, mut nodes) = (1, 0, 0_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for character in text.chars() {
        column += 1;
        if character == '\n' {
            (line, column) = (line + 1, 0);
        }
        if in_text {
            in_text = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '"' => in_text = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' | ':' => nodes += 1,
            _ => {}
        }
        if depth > limits.max_depth {
            return Err(ManifestError::TooDeep {
                line,
                column,
                allowed: limits.max_depth,
            });
        }
        if nodes > limits.max_nodes {
            return Err(ManifestError::TooComplex {
                line,
                column,
                what: format!("more than {} values", limits.max_nodes),
            });
        }
    }
    Ok(())
}

fn from(error: &serde_json::Error) -> ManifestError {
    let (line, column) = (error.line(), error.column());
    if let Some(key) = take_duplicate() {
        return ManifestError::DuplicateKey { line, column, key };
    }
    let text = error.to_string();
    let place = format!(" at line {line} column {column}");
    ManifestError::Syntax {
        line,
        column,
        message: format!(
            "the text starts like JSON and is not well-formed: {}",
            text.strip_suffix(&place).unwrap_or(&text)
        ),
    }
}
