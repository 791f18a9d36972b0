//! Other operations on the same host.

use quorate_crds::{EvidenceKind, FenceAction, FenceOperation, FenceOperationStatus, FencePhase};

use crate::fencing::room::Room;

/// Why a host's power must not return yet, or not at all.
pub(super) enum OtherFence {
    /// Another operation is making a later incarnation safe.
    AtWork,
    /// This one has switched the host off to stay off.
    KeepsOff(String),
}

pub(super) fn other_fence(
    room: &Room,
    name: &str,
    operation: &FenceOperation,
    incarnation: Option<u64>,
) -> Option<OtherFence> {
    room.operations
        .iter()
        .filter(|(other, held)| *other != name && held.object.spec.node == operation.spec.node)
        .find_map(|(other, held)| {
            let (spec, status) = (&held.object.spec, held.object.status.as_ref());
            let switches = matches!(spec.action, FenceAction::PowerOff | FenceAction::PowerCycle);
            let meant = status
                .and_then(|status| status.incarnation)
                .or(spec.incarnation);
            match status.and_then(|status| status.phase) {
                _ if !switches => None,
                None | Some(FencePhase::Pending | FencePhase::Running | FencePhase::Blocked) => {
                    Some(OtherFence::AtWork)
                }
                Some(FencePhase::Succeeded)
                    if spec.action == FenceAction::PowerOff
                        && meant >= incarnation
                        && !booted_again(status) =>
                {
                    Some(OtherFence::KeepsOff(other.clone()))
                }
                Some(_) => None,
            }
        })
}

/// What proves a boot over by a later one has switched nothing off.
fn booted_again(status: Option<&FenceOperationStatus>) -> bool {
    let evidence = status.and_then(|status| status.evidence.as_ref());
    evidence.is_some_and(|evidence| evidence.kind == EvidenceKind::NewBoot)
}
