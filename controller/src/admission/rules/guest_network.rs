//! Guests are attached only to networks that are open to guests.

use quorate_schema::ViolationReason;
use quorate_store::View;
use serde_json::Value;

use super::{Findings, one};
use crate::{admission::fields, error::Cause};

pub(super) fn check(view: &View, old: Option<&Value>, next: &Value, findings: &mut Findings) {
    const FIELD: &str = "spec.nics[].network";
    let known: Vec<&Value> = old
        .map(|old| fields::find(old, FIELD))
        .unwrap_or_default()
        .into_iter()
        .map(|field| field.value)
        .collect();
    for field in fields::find(next, FIELD) {
        let name = field.value.as_str().unwrap_or_default();
        if known.contains(&field.value) {
            continue;
        }
        let Some(network) = one(view, "networks", name) else {
            continue;
        };
        if network.pointer("/spec/guestAccess") != Some(&Value::Bool(true)) {
            findings.causes.push(Cause::new(
                field.path,
                ViolationReason::Invalid,
                format!(
                    "found {name:?}, which is closed to guests; allowed: a network with guestAccess: true"
                ),
            ));
        }
    }
}
