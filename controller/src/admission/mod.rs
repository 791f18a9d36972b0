//! What a schema cannot say: whether the rest of the cluster agrees with an object.
//!
//! Three things are checked, all by pure functions over a view and the candidate:
//!
//! - *References.* What an object names must exist when the reference is made, and what is named cannot
//!   be deleted while the reference lasts. (`quorate apply` orders the objects of a directory so that this
//!   is never in the way.)
//! - *Claims.* Some things can belong to one object only: a MAC address, a port, a disk. The claim is a
//!   record of its own, written in the same transaction as the object, so uniqueness holds without looking
//!   at any other object and two concurrent writers never both win.
//! - *Rules* that compare with other objects, one per file.
//!
//! Whatever a check looked at becomes a condition of the transaction: if it changes before the log
//! reaches the entry, nothing is written and the check is made again.

mod claims;
mod fields;
mod node_removal;
mod references;
mod rules;
mod table;

use quorate_crds::KindInfo;
use quorate_store::{Condition, View, Write};
use serde_json::Value;

use crate::error::{ApiError, Cause, Subject};

/// What a write needs beside itself.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// What the checks relied on.
    pub(crate) conditions: Vec<Condition>,
    /// The claims that change hands.
    pub(crate) writes: Vec<Write>,
    /// What the caller should know.
    pub(crate) warnings: Vec<String>,
}

/// What the checks of one write have found so far.
#[derive(Default)]
struct Findings {
    causes: Vec<Cause>,
    admitted: Admitted,
}

impl Findings {
    /// The answer is right only while this holds.
    fn rely_on(&mut self, condition: Condition) {
        if !self.admitted.conditions.contains(&condition) {
            self.admitted.conditions.push(condition);
        }
    }
}

/// Checks the change of an object from `old` to `next`.
pub(crate) fn check(
    view: &View,
    kind: &KindInfo,
    name: &str,
    old: Option<&Value>,
    next: &Value,
) -> Result<Admitted, ApiError> {
    let mut findings = Findings::default();
    references::check(view, kind, old, next, &mut findings);
    claims::check(view, kind, name, old, Some(next), &mut findings);
    rules::check(view, kind, name, old, next, &mut findings);
    if findings.causes.is_empty() {
        return Ok(findings.admitted);
    }
    Err(ApiError::Invalid {
        subject: Subject::new(kind.plural, name),
        causes: findings.causes,
    })
}

/// What a new object of a kind waits for when it is deleted.
///
/// The data of a Volume, and of a snapshot, lies on hosts: its object may go only when the leader has seen all of it gone,
/// or nobody would know any more what the hosts still hold. A guest is shut down first, and is seen until it is off.
pub(crate) fn finalizer(kind: &KindInfo) -> Option<&'static str> {
    match kind.kind {
        "Volume" | "VolumeSnapshot" => Some("quorate.dev/data"),
        "VirtualMachine" => Some(quorate_planner::GUEST_FINALIZER),
        _ => None,
    }
}

/// Whether nothing of the object was ever given to a host, so that its deletion has nothing to wait for.
pub(crate) fn is_nowhere(kind: &KindInfo, object: &Value) -> bool {
    let said = |field: &str| object.pointer(field).is_some_and(|value| !value.is_null());
    kind.kind == "VirtualMachine" && !said("/status/node") && !said("/status/epoch")
}

/// Gives back what an object that goes has claimed.
pub(crate) fn release(view: &View, kind: &KindInfo, name: &str, old: &Value) -> Admitted {
    let mut findings = Findings::default();
    claims::check(view, kind, name, Some(old), None, &mut findings);
    findings.admitted
}

/// Refuses the deletion of what others still refer to, and of hosts that are not empty; returns what the answer relied on.
pub(crate) fn check_removal(
    view: &View,
    kind: &KindInfo,
    name: &str,
) -> Result<Vec<Condition>, ApiError> {
    let mut conditions = references::check_removal(view, kind, name)?;
    if kind.kind == "Node" {
        conditions.extend(node_removal::check(view, name)?);
    }
    Ok(conditions)
}
