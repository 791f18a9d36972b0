//! Hosts that nothing but their own watchdog could make safe.
//!
//! Such a host counts as off when its watchdog must have fired, and no device ever confirms it. A cluster accepts that by
//! saying so. A watchdog behind another level, and a host without any level, need no such word.

use quorate_crds::{Cluster, FenceDevice, FenceDeviceType, FenceLevel, Node};
use quorate_schema::ViolationReason;
use quorate_store::View;
use serde_json::Value;

use super::{Findings, one, read, read_all};
use crate::error::Cause;

/// A host that is declared, or changed.
pub(super) fn check(view: &View, next: &Value, findings: &mut Findings) {
    let Some(node) = read::<Node>(next) else {
        return;
    };
    let is_watchdog = |device: &str| {
        let device =
            one(view, "fencedevices", device).and_then(|device| read::<FenceDevice>(&device));
        device.is_some_and(|device| device.spec.type_ == FenceDeviceType::Watchdog)
    };
    if !rests_on_it(&node.spec.fencing.levels, is_watchdog) {
        return;
    }
    let clusters = read_all::<Cluster>(view, "clusters");
    let accepted = |cluster: &Cluster| cluster.spec.fencing.watchdog_only;
    if !clusters.is_empty() && !clusters.values().any(accepted) {
        findings.causes.push(Cause::new(
            "spec.fencing.levels".to_owned(),
            ViolationReason::Invalid,
            "found nothing but the host's own watchdog, allowed: a device that confirms that the host is off as a level \
             before it, or watchdogOnly: true in the Cluster's spec.fencing, which accepts that nothing confirms it"
                .to_owned(),
        ));
    }
}

fn rests_on_it(levels: &[FenceLevel], is_watchdog: impl Fn(&str) -> bool) -> bool {
    let mut devices = levels.iter().flat_map(|level| &level.devices);
    !levels.is_empty() && devices.all(|target| is_watchdog(target.device.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rests(levels: Value) -> bool {
        let levels: Vec<FenceLevel> = serde_json::from_value(levels).expect("levels");
        rests_on_it(&levels, |device| device == "dog")
    }

    #[test]
    fn only_a_host_with_nothing_but_its_watchdog_rests_on_it() {
        assert!(rests(
            json!([{"name": "dog", "devices": [{"device": "dog"}]}])
        ));
        assert!(!rests(json!([])));
        assert!(!rests(json!([
            {"name": "ipmi", "devices": [{"device": "bmc"}]},
            {"name": "dog", "devices": [{"device": "dog"}]},
        ])));
        assert!(!rests(
            json!([{"name": "both", "devices": [{"device": "bmc"}, {"device": "dog"}]}])
        ));
    }
}
