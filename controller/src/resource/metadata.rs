//! What the server decides about an object's metadata, whatever the caller sent.
//!
//! `uid`, `creationTimestamp`, `generation` and `deletionTimestamp` are the server's; `generation` counts
//! changes of what people want, never of status; status changes only through its subresource and
//! nothing else does there.

use quorate_crds::KindInfo;
use quorate_merge::{ApplyError, UpdateOptions};
use quorate_schema::ViolationReason;
use serde_json::{Map, Value};

use super::{WriteOptions, object, subject};
use crate::{
    admission,
    error::{ApiError, Cause},
};

/// Fields of metadata that only the server writes; an update keeps them as they are.
const SERVER_FIELDS: [&str; 5] = [
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Refuses a request that names no object.
pub(super) fn require_name(kind: &KindInfo, name: &str) -> Result<(), ApiError> {
    if !name.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        subject(kind, ""),
        Cause::new(
            "metadata.name",
            ViolationReason::Required,
            "found none, allowed: a name such as web-1",
        ),
    ))
}

/// The refusal of a write that relied on an older version.
pub(super) fn modified(kind: &KindInfo, name: &str) -> ApiError {
    ApiError::conflict(
        subject(kind, name),
        "the object has been modified; read it again and apply your changes to the latest version",
    )
}

/// Gives a new object its identity.
pub(super) fn begin(kind: &KindInfo, new: &mut Value, uid: String, now: &str) {
    for field in SERVER_FIELDS.into_iter().chain(["resourceVersion"]) {
        object::set_meta(new, field, None);
    }
    object::set_meta(new, "uid", Some(uid.into()));
    object::set_meta(new, "creationTimestamp", Some(now.into()));
    object::set_meta(new, "generation", Some(1.into()));
    if let Some(finalizer) = admission::finalizer(kind) {
        object::add_finalizer(new, finalizer);
    }
    if kind.status {
        remove_status(new);
    }
}

/// Puts into `next` what an update may not change.
pub(super) fn carry(kind: &KindInfo, live: &Value, mut next: Value) -> Result<Value, ApiError> {
    let name = object::name(live);
    if let Some(uid) = object::meta_str(&next, "uid")
        && object::meta_str(live, "uid") != Some(uid)
    {
        return Err(ApiError::conflict(
            subject(kind, name),
            format!(
                "the uid in the request is {uid}, the object's is {}; it was deleted and created anew, read it again",
                object::meta_str(live, "uid").unwrap_or("none")
            ),
        ));
    }
    for field in SERVER_FIELDS {
        let value = live
            .get("metadata")
            .and_then(|metadata| metadata.get(field));
        object::set_meta(&mut next, field, value.cloned());
    }
    object::set_meta(&mut next, "resourceVersion", None);
    if kind.status {
        match live.get("status") {
            Some(status) => set_status(&mut next, status.clone()),
            None => remove_status(&mut next),
        }
    }
    refuse_new_finalizers(kind, live, &next)?;
    Ok(next)
}

/// Counts a change of what people want. Called on the finished object, so that a default that was
/// left out and filled in again counts for nothing.
pub(super) fn count_generation(live: &Value, next: &mut Value) {
    if !same_intent(live, next) {
        bump_generation(next);
    }
}

/// One more than before.
pub(super) fn bump_generation(next: &mut Value) {
    let generation = next
        .get("metadata")
        .and_then(|metadata| metadata.get("generation"))
        .and_then(Value::as_u64)
        .unwrap_or(0);
    object::set_meta(next, "generation", Some((generation + 1).into()));
}

/// `live` with the status of `next`; ownership information travels along.
pub(super) fn only_status(kind: &KindInfo, live: &Value, next: Value) -> Result<Value, ApiError> {
    let Value::Object(mut next) = next else {
        return Ok(live.clone());
    };
    if let Some(uid) = next
        .get("metadata")
        .and_then(|metadata| metadata.get("uid"))
        .and_then(Value::as_str)
        && object::meta_str(live, "uid") != Some(uid)
    {
        return Err(modified(kind, object::name(live)));
    }
    let managed = next
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .and_then(|metadata| metadata.remove("managedFields"));
    let mut result = live.clone();
    if let Some(managed) = managed {
        object::set_meta(&mut result, "managedFields", Some(managed));
    }
    match next.remove("status") {
        Some(status) => set_status(&mut result, status),
        None => remove_status(&mut result),
    }
    Ok(result)
}

/// Whether two versions of an object want the same: everything but status and metadata is equal.
fn same_intent(a: &Value, b: &Value) -> bool {
    fn intent(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, _)| !matches!(field.as_str(), "apiVersion" | "metadata" | "status"))
    }
    intent(a).eq(intent(b))
}

/// Notes who owns what after a create, an update or a patch.
pub(super) fn track_update(
    kind: &KindInfo,
    live: Option<&Value>,
    next: Value,
    subresource: Option<&str>,
    options: &WriteOptions,
    now: &str,
) -> Result<Value, ApiError> {
    let name = object::name(&next).to_owned();
    quorate_merge::update(
        &kind.schema,
        live,
        next,
        &UpdateOptions {
            manager: &options.manager,
            subresource,
            api_version: quorate_crds::API_VERSION,
            now,
        },
    )
    .map(|change| change.object)
    .map_err(|error| merge_error(kind, &name, error))
}

/// A refusal of the merge, in the API's words.
pub(super) fn merge_error(kind: &KindInfo, name: &str, error: ApplyError) -> ApiError {
    match error {
        ApplyError::Conflicts(conflicts) => {
            let causes: Vec<Cause> = conflicts
                .iter()
                .map(|conflict| Cause {
                    field: conflict.path.clone(),
                    reason: "FieldManagerConflict".into(),
                    message: match &conflict.subresource {
                        Some(part) => format!(
                            "conflict with {:?} (by {}, {part})",
                            conflict.manager, conflict.operation
                        ),
                        None => format!(
                            "conflict with {:?} (by {})",
                            conflict.manager, conflict.operation
                        ),
                    },
                })
                .collect();
            let list: Vec<String> = causes
                .iter()
                .map(|cause| format!("{}: {}", cause.field, cause.message))
                .collect();
            ApiError::Conflict {
                subject: subject(kind, name),
                message: format!(
                    "apply failed with {} conflict{}: {}; leave the fields out, set them to their present values to share them, or force to take them over",
                    list.len(),
                    if list.len() == 1 { "" } else { "s" },
                    list.join(", ")
                ),
                causes,
            }
        }
        ApplyError::InvalidConfig(violations) => ApiError::Invalid {
            subject: subject(kind, name),
            causes: violations.into_iter().map(Cause::from).collect(),
        },
    }
}

fn refuse_new_finalizers(kind: &KindInfo, live: &Value, next: &Value) -> Result<(), ApiError> {
    if !object::is_deleting(live) {
        return Ok(());
    }
    let added: Vec<&str> = object::finalizers(next)
        .filter(|new| !object::finalizers(live).any(|old| old == *new))
        .collect();
    if added.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        subject(kind, object::name(live)),
        Cause::new(
            "metadata.finalizers",
            ViolationReason::Forbidden,
            format!(
                "found new finalizers {added:?}, allowed: none can be added while the object is being deleted"
            ),
        ),
    ))
}

fn set_status(object: &mut Value, status: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert("status".into(), status);
    }
}

pub(super) fn remove_status(object: &mut Value) {
    object
        .as_object_mut()
        .and_then(|map: &mut Map<_, _>| map.remove("status"));
}
