//! A guest's memory fits on at least one host (R9), as far as hosts have told theirs. Whether all guests
//! fit together, also on the survivors of a lost host, is the planner's to say.

use quorate_schema::{ViolationReason, quantity::Quantity};
use quorate_store::{Bucket, View};
use serde_json::Value;

use super::{Findings, text};
use crate::{error::Cause, resource::object};

pub(super) fn check(view: &View, next: &Value, findings: &mut Findings) {
    let memory = text(next, "/spec/memory").unwrap_or_default();
    let Ok(wanted) = memory.parse::<Quantity>() else {
        return;
    };
    let mut largest: Option<(Quantity, String)> = None;
    for (_, stored) in view.list(&Bucket::new("nodes"), None, usize::MAX) {
        let Ok(node) = serde_json::from_slice::<Value>(&stored.value) else {
            continue;
        };
        let Some(told) = text(&node, "/status/allocatable/memory")
            .or_else(|| text(&node, "/status/capacity/memory"))
        else {
            // A host that has not told may be large enough.
            return;
        };
        let Ok(there) = told.parse::<Quantity>() else {
            return;
        };
        if largest.as_ref().is_none_or(|(most, _)| there > *most) {
            largest = Some((there, format!("{told} of host {:?}", object::name(&node))));
        }
    }
    if let Some((most, what)) = largest
        && wanted > most
    {
        findings.causes.push(Cause::new(
            "spec.memory",
            ViolationReason::Invalid,
            format!("found {memory}, allowed: at most {what}, the largest there is"),
        ));
    }
}
