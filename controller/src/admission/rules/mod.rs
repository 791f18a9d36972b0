//! Rules that compare an object with others of its cluster.

mod event_count;

use quorate_crds::KindInfo;
use quorate_store::View;
use serde_json::Value;

use super::Findings;

/// Applies every rule to the change of an object from `old` to `next`.
pub(super) fn check(
    view: &View,
    kind: &KindInfo,
    _name: &str,
    old: Option<&Value>,
    _next: &Value,
    findings: &mut Findings,
) {
    if kind.kind == "Event" {
        event_count::check(view, kind, old, findings);
    }
}
