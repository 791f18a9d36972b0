//! Whether a host's safety rests on its own watchdog. Only then is the feeding of it bound to the lease (rule R5): elsewhere
//! a lease that nobody renews must not reset a host that is well.

use quorate_crds::{FenceDevice, FenceDeviceType, Node};
use quorate_store::View;

use super::find;

/// Whether a fence level of `node` names a device that is the host's own watchdog.
pub(super) fn is_bound(view: &View, node: &str) -> bool {
    let levels = find::<Node>(view, "Node", node)
        .map(|node| node.spec.fencing.levels)
        .unwrap_or_default();
    levels
        .iter()
        .flat_map(|level| &level.devices)
        .filter_map(|target| find::<FenceDevice>(view, "FenceDevice", target.device.as_str()))
        .any(|device| device.spec.type_ == FenceDeviceType::Watchdog)
}
