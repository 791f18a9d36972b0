use std::collections::BTreeSet;

use quorate_crds::KindInfo;
use quorate_schema::ViolationReason;
use quorate_store::{Bucket, Condition, Key, View};
use serde_json::Value;

use super::{
    Findings, fields,
    table::{self, Reference},
};
use crate::{
    error::{ApiError, Cause, Subject},
    resource::object,
};

/// Every reference that `next` makes and `old` did not must lead to an object that is there to stay.
pub(super) fn check(
    view: &View,
    kind: &KindInfo,
    old: Option<&Value>,
    next: &Value,
    findings: &mut Findings,
) {
    for reference in table::references_of(kind.kind) {
        let known: BTreeSet<&str> = old
            .map(|old| {
                fields::find(old, reference.field)
                    .iter()
                    .filter_map(fields::Field::text)
                    .collect()
            })
            .unwrap_or_default();
        for field in fields::find(next, reference.field) {
            let Some(name) = field.text() else { continue };
            if known.contains(name) {
                continue;
            }
            let key = Key::new(Bucket::new(reference.target), name);
            match view.get(&key) {
                Some(stored) if !deleting(&stored.value) => {
                    let condition = Condition::AtRevision(key, stored.modified);
                    if !findings.admitted.conditions.contains(&condition) {
                        findings.admitted.conditions.push(condition);
                    }
                }
                Some(_) => findings.causes.push(Cause::new(
                    field.path,
                    ViolationReason::Invalid,
                    format!(
                        "found {name:?}, which is being deleted; allowed: the name of one of the {} that stays",
                        reference.target
                    ),
                )),
                None => findings.causes.push(Cause::new(
                    field.path,
                    ViolationReason::Invalid,
                    format!(
                        "found {name:?}, allowed: the name of one of the {}; there is none of this name, create it first",
                        reference.target
                    ),
                )),
            }
        }
    }
}

/// Nothing may refer to what is to be deleted.
pub(super) fn check_removal(
    view: &View,
    kind: &KindInfo,
    name: &str,
) -> Result<Vec<Condition>, ApiError> {
    const SHOWN: usize = 5;
    let mut users = Vec::new();
    let mut conditions = Vec::new();
    let mut more = 0;
    for referrer in quorate_crds::kinds() {
        let references: Vec<&Reference> = table::references_of(referrer.kind)
            .filter(|reference| reference.target == kind.plural)
            .collect();
        if references.is_empty() {
            continue;
        }
        let bucket = Bucket::new(referrer.plural);
        conditions.push(Condition::BucketUnchangedSince(
            bucket.clone(),
            view.bucket_revision(&bucket),
        ));
        for (key, value) in mentioning(view, &bucket, name) {
            let found = references
                .iter()
                .flat_map(|reference| fields::find(&value, reference.field))
                .find(|field| field.text() == Some(name));
            match found {
                Some(_) if users.len() == SHOWN => more += 1,
                Some(field) => {
                    users.push(format!(
                        "{}/{} ({})",
                        referrer.singular, key.name, field.path
                    ));
                }
                None => {}
            }
        }
    }
    if users.is_empty() {
        return Ok(conditions);
    }
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(ApiError::conflict(
        Subject::new(kind.plural, name),
        format!(
            "still in use by {}{more}; change or delete those first",
            users.join(", ")
        ),
    ))
}

/// The objects of a bucket whose text holds `name` at all; only those are worth parsing.
fn mentioning(view: &View, bucket: &Bucket, name: &str) -> Vec<(Key, Value)> {
    let quoted = format!("\"{name}\"");
    view.list(bucket, None, usize::MAX)
        .into_iter()
        .filter(|(_, stored)| {
            std::str::from_utf8(&stored.value).is_ok_and(|text| text.contains(&quoted))
        })
        .filter_map(|(key, stored)| Some((key, serde_json::from_slice(&stored.value).ok()?)))
        .collect()
}

fn deleting(stored: &[u8]) -> bool {
    serde_json::from_slice::<Value>(stored).is_ok_and(|value| object::is_deleting(&value))
}
