use quorate_crds::KindInfo;
use serde_json::Value;

use super::{
    Engine, Gate, Live, Part, Target, WriteOptions,
    manifest::in_one_form,
    metadata, object, parse_version, subject, unknown,
    write::{Written, refuse_large},
};
use crate::error::{ApiError, Cause};

/// How a patch is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 7386: an object laid over the present one; null removes.
    Merge,
    /// RFC 6902: a list of operations.
    Json,
}

/// A patch that has been read.
enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
}

/// Kubernetes' own limit.
const MAX_OPERATIONS: usize = 10_000;
/// A copy can double the object, so copies are few and the size is looked at after each.
const MAX_COPIES: usize = 100;

impl Engine {
    /// Changes part of an object.
    pub async fn patch(
        &self,
        target: Target<'_>,
        subresource: &str,
        patch_type: PatchType,
        patch: &[u8],
        options: &WriteOptions,
        gate: &dyn Gate,
    ) -> Result<Written, ApiError> {
        let Target { kind, name } = target;
        let part = Part::parse(kind, subresource)?;
        let patch = Patch::parse(patch_type, patch)?;

        self.write(target, options, gate, |live, now| {
            let Some(live) = live else {
                return Err(ApiError::NotFound(subject(kind, name)));
            };
            let next = patch.applied_to(kind, name, live)?;
            let wanted = object::meta_str(&next, "resourceVersion").unwrap_or_default();
            if parse_version(wanted)?.is_some_and(|wanted| wanted != live.revision) {
                return Err(metadata::modified(kind, name));
            }
            unknown::refuse(kind, name, &next, Some(&live.object))?;
            self.replace(kind, part, live, next, options, now)
        })
        .await
    }
}

fn is_copy(step: &json_patch::PatchOperation) -> bool {
    matches!(step, json_patch::PatchOperation::Copy(_))
}

/// To kube-apiserver a field that is not there is null when it is tested, and controllers count on that to be the first
/// who sets one.
fn is_met_by_absence(object: &Value, step: &json_patch::PatchOperation) -> bool {
    let json_patch::PatchOperation::Test(test) = step else {
        return false;
    };
    let Some((parent, field)) = test.path.split_back() else {
        return false;
    };
    let parent = object.pointer(parent.as_str()).and_then(Value::as_object);
    test.value.is_null()
        && parent.is_some_and(|fields| !fields.contains_key(field.decoded().as_ref()))
}

impl Patch {
    fn parse(patch_type: PatchType, bytes: &[u8]) -> Result<Self, ApiError> {
        let malformed = |error: serde_json::Error| {
            ApiError::BadRequest(format!("the patch is not readable: {error}"))
        };
        match patch_type {
            PatchType::Merge => {
                let patch: Value = serde_json::from_slice(bytes).map_err(malformed)?;
                if !patch.is_object() {
                    return Err(ApiError::BadRequest(
                        "a merge patch must be a JSON object".into(),
                    ));
                }
                Ok(Self::Merge(patch))
            }
            PatchType::Json => {
                let patch: json_patch::Patch = serde_json::from_slice(bytes).map_err(malformed)?;
                if patch.0.len() > MAX_OPERATIONS {
                    return Err(ApiError::TooLarge(format!(
                        "found {} operations in the patch, allowed: {MAX_OPERATIONS}",
                        patch.0.len()
                    )));
                }
                let copies = patch.0.iter().filter(|step| is_copy(step)).count();
                if copies > MAX_COPIES {
                    return Err(ApiError::TooLarge(format!(
                        "found {copies} copy operations in the patch, allowed: {MAX_COPIES}"
                    )));
                }
                Ok(Self::Json(patch))
            }
        }
    }

    fn applied_to(&self, kind: &KindInfo, name: &str, live: &Live) -> Result<Value, ApiError> {
        let mut next = live.object.clone();
        object::set_meta(
            &mut next,
            "resourceVersion",
            Some(live.revision.to_string().into()),
        );
        match self {
            Self::Merge(patch) => json_patch::merge(&mut next, patch),
            Self::Json(patch) => {
                for step in &patch.0 {
                    if is_met_by_absence(&next, step) {
                        continue;
                    }
                    json_patch::patch(&mut next, std::slice::from_ref(step)).map_err(|error| {
                        ApiError::invalid(
                            subject(kind, name),
                            Cause::new(
                                "",
                                quorate_schema::ViolationReason::Invalid,
                                format!("the patch does not fit the object: {error}"),
                            ),
                        )
                    })?;
                    if is_copy(step) {
                        refuse_large(object::encode(&next).len())?;
                    }
                }
            }
        }
        let same = |field: &str| next.get(field) == live.object.get(field);
        if !same("apiVersion") || !same("kind") || object::name(&next) != name {
            return Err(ApiError::BadRequest(
                "a patch cannot change apiVersion, kind or metadata.name; create another object instead"
                    .into(),
            ));
        }
        in_one_form(kind, &mut next)?;
        Ok(next)
    }
}
