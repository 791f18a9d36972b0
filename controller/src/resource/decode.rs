use quorate_crds::{
    KindInfo,
    manifest::{self, Limits},
};
use serde_json::Value;

use super::{find_kind, live::is_sealed};
use crate::{error::ApiError, secrets};

/// What a manifest says, and of which kind it is.
pub(super) struct Decoded {
    pub(super) kind: &'static KindInfo,
    pub(super) object: Value,
}

/// Reads the one object in `bytes`, JSON or YAML.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, ApiError> {
    let mut objects = manifest::parse(bytes, &Limits::default())
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let mut object = match (objects.pop(), objects.len()) {
        (Some(object), 0) => object,
        (found, more) => {
            return Err(ApiError::BadRequest(format!(
                "found {} objects in the request, allowed: exactly one; send each by itself",
                more + usize::from(found.is_some())
            )));
        }
    };
    let text = |field| object.get(field).and_then(Value::as_str);
    let Some(kind) = text("kind") else {
        return Err(ApiError::BadRequest(
            "the object has no kind; write `kind:` and one of those that `quorate api-resources` lists".into(),
        ));
    };
    let Some(api_version) = text("apiVersion") else {
        return Err(ApiError::BadRequest(format!(
            "the object has no apiVersion; write `apiVersion: {}`",
            quorate_crds::API_VERSION
        )));
    };
    let info = find_kind(kind)?;
    if info.kind != kind {
        return Err(ApiError::BadRequest(format!(
            "found kind {kind:?}, allowed: {:?}; short forms are for the command line",
            info.kind
        )));
    }
    if api_version != quorate_crds::API_VERSION {
        return Err(ApiError::BadRequest(format!(
            "found apiVersion {api_version:?}, allowed: {:?}",
            quorate_crds::API_VERSION
        )));
    }
    in_one_form(info, &mut object)?;
    Ok(Decoded { kind: info, object })
}

/// Brings what may be written in several ways into the one that is merged and compared.
pub(super) fn in_one_form(kind: &KindInfo, object: &mut Value) -> Result<(), ApiError> {
    if is_sealed(kind) {
        secrets::normalise(object)?;
    }
    Ok(())
}
