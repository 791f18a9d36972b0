//! The `-o` option.

use std::str::FromStr;

use crate::jsonpath::{Path, Template};

/// What `-o` chose.
#[derive(Debug, Clone, Default)]
pub(crate) enum Format {
    /// The kind's columns.
    #[default]
    Table,
    /// The kind's columns, the less important ones too.
    Wide,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// `kind/name`, one a line.
    Name,
    /// A template filled in from each answer.
    JsonPath(Template),
    /// Columns of the caller's own.
    CustomColumns(Vec<CustomColumn>),
}

/// One column of `-o custom-columns=HEADER:PATH,…`.
#[derive(Debug, Clone)]
pub(crate) struct CustomColumn {
    pub(crate) header: String,
    pub(crate) path: Path,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = match text.split_once('=') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        match (word, rest) {
            ("table", None) => Ok(Self::Table),
            ("wide", None) => Ok(Self::Wide),
            ("yaml", None) => Ok(Self::Yaml),
            ("json", None) => Ok(Self::Json),
            ("name", None) => Ok(Self::Name),
            ("jsonpath", Some(template)) => Ok(Self::JsonPath(template.parse().map_err(|error| format!("{error}"))?)),
            ("custom-columns", Some(columns)) => Ok(Self::CustomColumns(custom_columns(columns)?)),
            ("jsonpath", None) => Err("write the template after it: -o jsonpath='{.metadata.name}'".to_owned()),
            ("custom-columns", None) => {
                Err("write the columns after it: -o custom-columns=NAME:.metadata.name,MEMORY:.spec.memory".to_owned())
            }
            _ => Err(format!(
                "{text:?} is no output format; allowed are table, wide, yaml, json, name, jsonpath=TEMPLATE and \
                 custom-columns=HEADER:PATH,…"
            )),
        }
    }
}

fn custom_columns(text: &str) -> Result<Vec<CustomColumn>, String> {
    split_outside_brackets(text)
        .into_iter()
        .map(|column| {
            let (header, path) = column
                .split_once(':')
                .filter(|(header, path)| !header.is_empty() && !path.is_empty())
                .ok_or_else(|| {
                    format!("{column:?} is not HEADER:PATH, like MEMORY:.spec.memory")
                })?;
            let path = path.parse().map_err(|error| format!("{error}"))?;
            Ok(CustomColumn {
                header: header.to_owned(),
                path,
            })
        })
        .collect()
}

// A filter may hold commas.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0_u32;
    let mut start = 0;
    for (at, next) in text.char_indices() {
        match next {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Format>().expect_err("must be refused")
    }

    #[test]
    fn every_documented_format_is_understood() {
        for text in [
            "table",
            "wide",
            "yaml",
            "json",
            "name",
            "jsonpath={.metadata.name}",
            "custom-columns=A:.a,B:.b[0,1]",
        ] {
            text.parse::<Format>()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn a_wrong_format_is_answered_with_the_right_ones() {
        assert!(refused("xml").contains("allowed are table, wide"));
        assert!(refused("jsonpath").contains("after it"));
        assert!(refused("jsonpath={.a").contains("not closed"));
        assert!(refused("custom-columns=NAME").contains("HEADER:PATH"));
    }
}
