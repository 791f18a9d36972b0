//! From decisions to one transaction.
//!
//! What does not fit into one is left for the next round: the planner looks again and goes on from what is there, as it
//! would after a crash. A host's records and their head are never parted.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::{NodeState, Time};
use quorate_planner::{Decisions, Reason};
use quorate_store::{Bucket, Condition};
use serde_json::{Value, json};

use crate::{
    admission, conditions,
    error::ApiError,
    resource::{Draft, find_kind, object},
};

/// The bytes of one transaction's objects; the store takes twice as many.
const ROOM: usize = 1 << 20;

/// Takes out of `decisions` whatever would make a host safe that may still come (`Cluster.spec.quorum.startupWait`). Returns
/// these hosts.
pub(super) fn hold_back(decisions: &mut Decisions, awaited: &BTreeSet<String>) -> BTreeSet<String> {
    let held: BTreeSet<String> = decisions
        .fence
        .iter()
        .map(|operation| operation.spec.node.to_string())
        .filter(|node| awaited.contains(node))
        .collect();
    let about = |kind: &str, name: &str| kind == "Node" && held.contains(name);
    decisions
        .fence
        .retain(|operation| !held.contains(operation.spec.node.as_str()));
    decisions
        .statuses
        .retain(|patch| !about(patch.kind, &patch.name));
    decisions
        .events
        .retain(|event| !about(&event.regarding.kind, event.regarding.name.as_str()));
    held
}

/// Says of a host why it is not made safe yet.
pub(super) fn tell_of_waiting(
    draft: &mut Draft<'_>,
    host: &str,
    now: &Time,
) -> Result<(), ApiError> {
    let why = "it was silent already when the leading member started, and may still come: it is fenced after quorum.startupWait";
    draft
        .edit(find_kind("Node")?, host, |node| {
            conditions::set(node, "Ready", false, Reason::FenceWaits, why, now);
        })
        .map(drop)
}

/// Puts as much of `decisions` into `draft` as fits. Whether all of it did.
pub(super) fn put(
    draft: &mut Draft<'_>,
    decisions: &Decisions,
    hosts_away: impl IntoIterator<Item = String>,
) -> Result<bool, ApiError> {
    let mut relied_on: BTreeSet<String> = hosts_away.into_iter().collect();
    let whole = fill(draft, decisions, &mut relied_on)?;
    for host in relied_on {
        draft.rely_on(find_kind("Node")?, &host)?;
    }
    let evidence = Bucket::new("fenceoperations");
    let since = draft.view().bucket_revision(&evidence);
    draft.require(Condition::BucketUnchangedSince(evidence, since));
    Ok(whole)
}

fn fill(
    draft: &mut Draft<'_>,
    decisions: &Decisions,
    relied_on: &mut BTreeSet<String>,
) -> Result<bool, ApiError> {
    let mut room = ROOM;
    let mut take = |size: usize, some: bool| {
        let fits = size <= room || !some;
        room = room.saturating_sub(size);
        fits
    };
    let mut some = false;
    for operation in &decisions.fence {
        draft.create(find_kind("FenceOperation")?, json!(operation))?;
        some = true;
    }
    for new in &decisions.create {
        if let Some(kind) = new["kind"].as_str() {
            if !take(size(new), some) {
                return Ok(false);
            }
            draft.create(find_kind(kind)?, new.clone())?;
            some = true;
        }
    }
    // A replica leaves the in-sync set no later than another is told to write without it: statuses come first.
    for patch in &decisions.statuses {
        if !take(size(&patch.status), some) {
            return Ok(false);
        }
        draft.edit(find_kind(patch.kind)?, &patch.name, |object| {
            merge_status(object, &patch.status);
        })?;
        some = true;
    }
    let plans = find_kind("NodePlan")?;
    let mut by_host: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for record in &decisions.records {
        let host = record.spec.node.as_str();
        by_host.entry(host).or_default().push(json!(record));
    }
    let mut removed: BTreeSet<&str> = BTreeSet::new();
    for (host, records) in by_host {
        let obsolete = decisions
            .obsolete
            .iter()
            .filter(|name| is_record_of(draft, plans, name, host));
        let obsolete: Vec<&String> = obsolete.collect();
        if !take(records.iter().map(size).sum(), some) {
            return Ok(false);
        }
        for record in records {
            draft.put_spec(plans, record)?;
        }
        for name in obsolete {
            draft.remove(plans, name)?;
            removed.insert(name);
        }
        relied_on.insert(host.to_owned());
        some = true;
    }
    let orphaned = decisions.obsolete.iter();
    for name in orphaned.filter(|name| !removed.contains(name.as_str())) {
        draft.remove(plans, name)?;
    }
    for gone in &decisions.delete {
        let_go(draft, find_kind(gone.kind)?, &gone.name)?;
    }
    for event in &decisions.events {
        draft.tell(event)?;
    }
    Ok(true)
}

/// Takes off what holds a deleted object for the leader's sake. It goes with the last of whatever holds it.
fn let_go(
    draft: &mut Draft<'_>,
    kind: &'static quorate_crds::KindInfo,
    name: &str,
) -> Result<(), ApiError> {
    let own = admission::finalizer(kind);
    let others: Vec<Value> = draft
        .get(kind, name)?
        .and_then(|object| object["metadata"]["finalizers"].as_array())
        .into_iter()
        .flatten()
        .filter(|finalizer| finalizer.as_str() != own)
        .cloned()
        .collect();
    if others.is_empty() {
        return draft.remove(kind, name);
    }
    draft
        .edit(kind, name, |object| {
            object["metadata"]["finalizers"] = Value::Array(others);
        })
        .map(drop)
}

/// Whether decisions rest on that host being away.
pub(super) fn is_away(state: Option<NodeState>) -> bool {
    !matches!(state, Some(NodeState::Online))
}

fn is_record_of(
    draft: &mut Draft<'_>,
    plans: &'static quorate_crds::KindInfo,
    name: &str,
    host: &str,
) -> bool {
    draft
        .get(plans, name)
        .ok()
        .flatten()
        .is_some_and(|record| record["spec"]["node"] == host)
}

fn merge_status(target: &mut Value, fields: &Value) {
    if !target["status"].is_object() {
        target["status"] = json!({});
    }
    let Some(status) = target["status"].as_object_mut() else {
        return;
    };
    for (field, value) in fields.as_object().into_iter().flatten() {
        if value.is_null() {
            status.remove(field);
        } else {
            status.insert(field.clone(), value.clone());
        }
    }
}

fn size(object: &Value) -> usize {
    object::encode(object).len()
}
