//! What the query says about how a call is to be done.

use quorate_schema::selector::{FieldSelector, LabelSelector, SelectorError};
use serde_json::Value;

use super::{
    asked::{Asked, Query},
    refusal::Refusal,
};
use crate::{
    error::ApiError,
    resource::{Preconditions, Propagation, WriteOptions},
};

/// Kubernetes' own limit.
const MAX_MANAGER: usize = 128;

/// What becomes of fields that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and the caller is told.
    Warn,
    /// They are refused.
    Strict,
}

/// How a change is to be done.
#[derive(Clone, Debug)]
pub(super) struct ChangeOptions {
    pub(super) write: WriteOptions,
    pub(super) validation: Validation,
}

impl ChangeOptions {
    pub(super) fn read(asked: &Asked) -> Result<Self, Refusal> {
        let manager = match asked.query.filled("fieldManager") {
            Some(manager) => manager.to_owned(),
            None => asked.program().chars().take(MAX_MANAGER).collect(),
        };
        if manager.len() > MAX_MANAGER || manager.chars().any(char::is_control) {
            return Err(bad(format!(
                "fieldManager: allowed: at most {MAX_MANAGER} bytes, all of them printable"
            )));
        }
        let validation = match asked.query.filled("fieldValidation") {
            None | Some("Warn") => Validation::Warn,
            Some("Ignore") => Validation::Ignore,
            Some("Strict") => Validation::Strict,
            Some(other) => {
                return Err(bad(format!(
                    "fieldValidation: found {other:?}, allowed: Ignore, Warn, Strict"
                )));
            }
        };
        Ok(Self {
            write: WriteOptions {
                manager,
                dry_run: dry_run(asked.query.all("dryRun"))?,
                force: asked.query.flag("force").unwrap_or_default(),
            },
            validation,
        })
    }
}

fn dry_run<'a>(mut stages: impl Iterator<Item = &'a str>) -> Result<bool, Refusal> {
    stages.try_fold(false, |_, stage| match stage {
        "All" => Ok(true),
        other => Err(bad(format!("dryRun: found {other:?}, allowed: All"))),
    })
}

/// How something is to be deleted; from the body and, where that says nothing, the query.
#[derive(Clone, Debug)]
pub(super) struct DeleteOptions {
    pub(super) preconditions: Preconditions,
    pub(super) propagation: Propagation,
    pub(super) dry_run: bool,
}

impl DeleteOptions {
    pub(super) fn read(query: &Query, body: &[u8]) -> Result<Self, Refusal> {
        let options: Value = if body.iter().all(u8::is_ascii_whitespace) {
            Value::Null
        } else {
            let mut documents = quorate_crds::manifest::parse(body, &Default::default())
                .map_err(|error| bad(format!("the options are not readable: {error}")))?;
            match (documents.pop(), documents.is_empty()) {
                (Some(options), true) => options,
                _ => {
                    return Err(bad(
                        "the body must hold DeleteOptions and nothing else".into()
                    ));
                }
            }
        };
        let text = |path: &str| {
            let value = options.pointer(path).and_then(Value::as_str);
            value.filter(|value| !value.is_empty())
        };
        let listed = options.get("dryRun").and_then(Value::as_array);
        let stages = listed
            .into_iter()
            .flatten()
            .map(|stage| stage.as_str().unwrap_or_default());
        let orphans = options
            .get("orphanDependents")
            .and_then(Value::as_bool)
            .or_else(|| query.flag("orphanDependents"));
        let policy = text("/propagationPolicy").or_else(|| query.filled("propagationPolicy"));
        let propagation = match (policy, orphans) {
            (None, None) => Propagation::Default,
            (None, Some(true)) | (Some("Orphan"), None) => Propagation::Orphan,
            (None, Some(false)) | (Some("Background"), None) => Propagation::Background,
            (Some("Foreground"), None) => Propagation::Foreground,
            (Some(_), Some(_)) => {
                return Err(bad(
                    "orphanDependents and propagationPolicy may not both be set".into(),
                ));
            }
            (Some(other), None) => {
                return Err(bad(format!(
                    "propagationPolicy: found {other:?}, allowed: Orphan, Background, Foreground"
                )));
            }
        };
        Ok(Self {
            preconditions: Preconditions {
                uid: text("/preconditions/uid").unwrap_or_default().to_owned(),
                resource_version: text("/preconditions/resourceVersion")
                    .unwrap_or_default()
                    .to_owned(),
            },
            propagation,
            dry_run: dry_run(stages.chain(query.all("dryRun")))?,
        })
    }
}

/// Which objects a call is about.
pub(super) fn selectors(query: &Query) -> Result<(LabelSelector, FieldSelector), Refusal> {
    let refused = |error: SelectorError| bad(error.to_string());
    let labels = query.text("labelSelector").unwrap_or_default();
    let fields = query.text("fieldSelector").unwrap_or_default();
    Ok((
        LabelSelector::parse(labels).map_err(refused)?,
        FieldSelector::parse(fields).map_err(refused)?,
    ))
}

pub(super) fn bad(message: String) -> Refusal {
    ApiError::BadRequest(message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_body_says_about_a_deletion_counts_before_the_query() {
        let body = br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground",
            "preconditions":{"uid":"u1","resourceVersion":"7"},"dryRun":["All"]}"#;
        let options = DeleteOptions::read(&Query::default(), body).expect("readable");
        assert_eq!(options.propagation, Propagation::Foreground);
        assert_eq!(options.preconditions.uid, "u1");
        assert_eq!(options.preconditions.resource_version, "7");
        assert!(options.dry_run);
    }

    #[test]
    fn without_options_a_deletion_is_as_the_object_says() {
        let options = DeleteOptions::read(&Query::default(), b"").expect("readable");
        assert_eq!(options.propagation, Propagation::Default);
        assert!(!options.dry_run);
    }

    #[test]
    fn unknown_words_are_refused() {
        for body in [
            r#"{"propagationPolicy":"Sideways"}"#,
            r#"{"dryRun":["Some"]}"#,
            r#"{"orphanDependents":true,"propagationPolicy":"Orphan"}"#,
            "[1]",
            "{",
        ] {
            assert!(
                DeleteOptions::read(&Query::default(), body.as_bytes()).is_err(),
                "{body}"
            );
        }
    }
}
