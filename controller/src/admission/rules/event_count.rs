use quorate_crds::KindInfo;
use quorate_schema::ViolationReason;
use quorate_store::{Bucket, View};
use serde_json::Value;

use super::Findings;
use crate::{error::Cause, events::MAX_EVENTS};

/// Events expire; until then their number is bounded, so that a loop gone wild fills no store.
pub(super) fn check(view: &View, kind: &KindInfo, old: Option<&Value>, findings: &mut Findings) {
    let found = view.count(&Bucket::new(kind.plural));
    if old.is_none() && found >= MAX_EVENTS {
        findings.causes.push(Cause::new(
            "",
            ViolationReason::Forbidden,
            format!(
                "found {found} events, allowed: {MAX_EVENTS}; they expire within the hour, or delete some"
            ),
        ));
    }
}
