//! Things that belong to one object only.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_crds::KindInfo;
use quorate_schema::ViolationReason;
use quorate_store::{Bucket, Condition, Key, View, Write};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Findings, table};
use crate::error::Cause;

/// Where the claims are stored, out of reach of the API.
const BUCKET: &str = "_claims";

/// Who has claimed something: `kind/name`, and whether it would share.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    holders: BTreeMap<String, bool>,
}

struct Wanted {
    path: String,
    what: &'static str,
    value: String,
    shared: bool,
}

/// Moves the claims of an object from what `old` has to what `next` wants.
pub(super) fn check(
    view: &View,
    kind: &KindInfo,
    name: &str,
    old: Option<&Value>,
    next: Option<&Value>,
    findings: &mut Findings,
) {
    let me = format!("{}/{name}", kind.singular);
    let mut unused = Findings::default();
    let had = old.map_or_else(BTreeMap::new, |old| wanted(kind, old, &mut unused));
    let wants = next.map_or_else(BTreeMap::new, |next| wanted(kind, next, findings));

    for (claim, want) in &wants {
        if had.get(claim).is_some_and(|had| had.shared == want.shared) {
            continue;
        }
        take(view, &me, claim, want, findings);
    }
    for claim in had.keys().filter(|claim| !wants.contains_key(*claim)) {
        give_back(view, &me, claim, findings);
    }
}

/// What an object claims, by the key of the claim.
fn wanted(kind: &KindInfo, object: &Value, findings: &mut Findings) -> BTreeMap<String, Wanted> {
    let mut wants: BTreeMap<String, Wanted> = BTreeMap::new();
    for claim in table::claims_of(kind.kind) {
        for (field, scope, shared) in claim.fields(object) {
            // Where something is unique within a scope, it is claimed only where the scope is given.
            if claim.is_scoped() && scope.is_none() {
                continue;
            }
            let text = match field.value {
                Value::String(text) if !text.is_empty() => text.to_ascii_lowercase(),
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            let key = match scope {
                Some(scope) => format!("{}/{scope}/{text}", claim.space),
                None => format!("{}/{text}", claim.space),
            };
            let want = Wanted {
                path: field.path,
                what: claim.what,
                value: text,
                shared,
            };
            match wants.get(&key) {
                Some(_) if claim.repeats => {}
                Some(first) if !(first.shared && shared) => findings.causes.push(Cause::new(
                    want.path,
                    ViolationReason::Duplicate,
                    format!(
                        "found {} {:?}, which {} has already; allowed: each once",
                        want.what, want.value, first.path
                    ),
                )),
                _ => {
                    wants.insert(key, want);
                }
            }
        }
    }
    wants
}

fn take(view: &View, me: &str, claim: &str, want: &Wanted, findings: &mut Findings) {
    let key = Key::new(Bucket::new(BUCKET), claim);
    let (mut record, condition) = read(view, &key);
    record.holders.remove(me);
    let holders: Vec<&str> = record.holders.keys().map(String::as_str).collect();
    let others_share = record.holders.values().all(|shared| *shared);
    let free = holders.is_empty() || (want.shared && others_share);
    if !free {
        findings.causes.push(Cause::new(
            want.path.clone(),
            ViolationReason::Duplicate,
            format!(
                "found {} {:?}, which belongs to {}; allowed: one that is free",
                want.what,
                want.value,
                holders.join(", ")
            ),
        ));
        return;
    }
    record.holders.insert(me.to_owned(), want.shared);
    put(key, &record, condition, findings);
}

fn give_back(view: &View, me: &str, claim: &str, findings: &mut Findings) {
    let key = Key::new(Bucket::new(BUCKET), claim);
    let (mut record, condition) = read(view, &key);
    if record.holders.remove(me).is_none() {
        return;
    }
    put(key, &record, condition, findings);
}

/// Lets writes that share something which no single object stands for come one after the other: each of them rests on
/// there having been none meanwhile.
pub(super) fn in_turn(view: &View, what: &str, findings: &mut Findings) {
    let key = Key::new(Bucket::new(BUCKET), format!("turn/{what}"));
    let (_, condition) = read(view, &key);
    findings.rely_on(condition);
    findings.admitted.writes.push(Write::Put {
        key,
        value: Bytes::from_static(b"{}"),
        expires_at_ms: None,
    });
}

fn read(view: &View, key: &Key) -> (Record, Condition) {
    match view.get(key) {
        Some(stored) => (
            serde_json::from_slice(&stored.value).unwrap_or_default(),
            Condition::AtRevision(key.clone(), stored.modified),
        ),
        None => (Record::default(), Condition::Absent(key.clone())),
    }
}

fn put(key: Key, record: &Record, condition: Condition, findings: &mut Findings) {
    findings.admitted.conditions.push(condition);
    findings.admitted.writes.push(if record.holders.is_empty() {
        Write::Delete { key }
    } else {
        let value = serde_json::json!(record).to_string();
        Write::Put {
            key,
            value: Bytes::from(value),
            expires_at_ms: None,
        }
    });
}
