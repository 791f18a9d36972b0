//! What is left of a host whose Node was deleted: records of its plan, and fence operations.
//!
//! A number that was given once is never given again: evidence that an incarnation is off must not pass for evidence about
//! a later one that has its number. And what the host held then is still held.

use quorate_crds::{FenceOperation, FencePhase};
use quorate_store::{Bucket, View};

use super::{DeskError, follow::records_of, leave::holds};

/// The newest incarnation of which there is a trace; 0 when there is none. `kept` is what the present boot of the host was
/// granted before, 0 when it remembers nothing.
///
/// # Errors
/// When the host may hold something that a boot before this one was given, and nobody knows whether that one is over.
pub(super) fn newest_incarnation(view: &View, node: &str, kept: u64) -> Result<u64, DeskError> {
    let records = records_of(view, node);
    let operations: Vec<FenceOperation> = view
        .list(&Bucket::new("fenceoperations"), None, usize::MAX)
        .iter()
        .filter_map(|(_, stored)| serde_json::from_slice(&stored.value).ok())
        .filter(|operation: &FenceOperation| operation.spec.node.as_str() == node)
        .collect();
    let off = operations.iter().filter_map(proven_off).max().unwrap_or(0);
    let planned = records.iter().map(|(_, record)| record.spec.incarnation);
    let fenced = operations
        .iter()
        .filter_map(|operation| operation.spec.incarnation);
    let newest = planned.chain(fenced).max().unwrap_or(0).max(off).max(kept);
    if kept == newest {
        return if newest > 0 && off >= newest {
            Err(DeskError::IncarnationOver {
                reason: format!(
                    "incarnation {newest} of host {node} was confirmed off, and the same boot of it registers: what it held may run elsewhere. Boot the host"
                ),
            })
        } else {
            Ok(newest)
        };
    }
    let held = records.iter().find_map(|(_, record)| {
        let incarnation = record.spec.incarnation;
        (incarnation > off)
            .then(|| holds(record, incarnation))
            .flatten()
    });
    match held {
        Some(what) => Err(DeskError::not_now(format!(
            "the Node {node} was deleted while incarnation {newest} of it held {what}; see that the machine was off since then, and confirm it by `quorate node confirm-fenced {node}`"
        ))),
        None => Ok(newest),
    }
}

fn proven_off(operation: &FenceOperation) -> Option<u64> {
    let status = operation.status.as_ref()?;
    let proven = status.phase == Some(FencePhase::Succeeded) && status.voided_at.is_none();
    let evidence = status.evidence.as_ref()?;
    proven.then_some(evidence.incarnation)
}
