use std::collections::BTreeSet;

use quorate_crds::{
    KindInfo,
    references::{self, Reference, Tie},
};
use quorate_schema::ViolationReason;
use quorate_store::{Bucket, Condition, Key, View};
use serde_json::Value;

use super::Findings;
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
    let known: BTreeSet<(&'static str, String)> = old
        .map(|old| references::of(kind.kind, old))
        .unwrap_or_default()
        .into_iter()
        .map(|reference| (reference.kind, reference.name))
        .collect();
    for reference in references::of(kind.kind, next) {
        let target = (reference.kind, reference.name.clone());
        if reference.tie != Tie::Mentions && !known.contains(&target) {
            check_one(view, &reference, findings);
        }
    }
}

fn check_one(view: &View, reference: &Reference, findings: &mut Findings) {
    let Some(target) = quorate_crds::find(reference.kind) else {
        return;
    };
    let key = Key::new(Bucket::new(target.plural), reference.name.as_str());
    let found = &reference.name;
    let kind = reference.kind;
    let problem = match view.get(&key) {
        Some(stored) if !is_deleting(&stored.value) => {
            findings.rely_on(Condition::AtRevision(key, stored.modified));
            return;
        }
        Some(_) => format!(
            "found {found:?}, a {kind} that is being deleted; allowed: the name of a {kind} that stays"
        ),
        None => format!(
            "found {found:?}, allowed: the name of a {kind} that exists; create it first, or apply both together with `quorate apply -f`"
        ),
    };
    findings.causes.push(Cause::new(
        reference.path.clone(),
        ViolationReason::Invalid,
        problem,
    ));
}

/// Nothing that needs it may refer to what is to be deleted. What the answer relied on is returned.
pub(super) fn check_removal(
    view: &View,
    kind: &KindInfo,
    name: &str,
) -> Result<Vec<Condition>, ApiError> {
    const SHOWN: usize = 5;
    let mut users = Vec::new();
    let mut conditions = Vec::new();
    let referrers = quorate_crds::kinds().iter().filter(|referrer| {
        references::fields(referrer.kind).any(|(_, target)| target == kind.kind)
    });
    for referrer in referrers {
        let bucket = Bucket::new(referrer.plural);
        conditions.push(Condition::BucketUnchangedSince(
            bucket.clone(),
            view.bucket_revision(&bucket),
        ));
        for (key, value) in mentioning(view, &bucket, name) {
            let found = references::of(referrer.kind, &value)
                .into_iter()
                .find(|it| it.tie == Tie::Needs && it.kind == kind.kind && it.name == name);
            if let Some(found) = found {
                users.push(format!(
                    "{}/{} ({})",
                    referrer.singular, key.name, found.path
                ));
            }
        }
    }
    if users.is_empty() {
        return Ok(conditions);
    }
    let more = match users.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    users.truncate(SHOWN);
    Err(ApiError::conflict(
        Subject::new(kind.plural, name),
        format!(
            "still needed by {}{more}; change or delete those first",
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

fn is_deleting(stored: &[u8]) -> bool {
    serde_json::from_slice::<Value>(stored).is_ok_and(|value| object::is_deleting(&value))
}
