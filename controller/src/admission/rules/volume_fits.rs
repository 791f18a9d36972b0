//! A volume is not larger than the pool it lies in (R9, STO-11), as far as the pool's size is known.

use quorate_schema::{ViolationReason, quantity::Quantity};
use quorate_store::View;
use serde_json::Value;

use super::{Findings, one, text};
use crate::error::Cause;

pub(super) fn check(view: &View, next: &Value, findings: &mut Findings) {
    if next.pointer("/spec/overProvision") == Some(&Value::Bool(true)) {
        return;
    }
    let pool = text(next, "/spec/pool").unwrap_or_default();
    let Some(status) = one(view, "storagepools", pool) else {
        return;
    };
    let size = text(next, "/spec/size").unwrap_or_default();
    let capacity = text(&status, "/status/capacity").unwrap_or_default();
    if let (Ok(wanted), Ok(there)) = (size.parse::<Quantity>(), capacity.parse::<Quantity>())
        && wanted > there
    {
        findings.causes.push(Cause::new(
            "spec.size",
            ViolationReason::Invalid,
            format!(
                "found {size}, allowed: at most {capacity}, which is all that pool {pool:?} has; set overProvision to promise more"
            ),
        ));
    }
}
