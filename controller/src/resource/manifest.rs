use quorate_crds::{
    KindInfo,
    manifest::{self, Limits},
};
use serde_json::Value;

use super::{find_kind, live::is_sealed, object, version};
use crate::{error::ApiError, secrets};

/// One object that a caller sent, read but not yet judged.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its kind.
    pub kind: &'static KindInfo,
    /// What was sent.
    pub(super) object: Value,
}

impl Manifest {
    /// Reads the one object in `bytes`, JSON or YAML.
    pub fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        let mut objects = manifest::parse(bytes, &Limits::default())
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        match (objects.pop(), objects.len()) {
            (Some(object), 0) => Self::from_value(object),
            (found, more) => Err(ApiError::BadRequest(format!(
                "found {} objects in the request, allowed: exactly one; send each by itself",
                more + usize::from(found.is_some())
            ))),
        }
    }

    /// The name that the object asks for; empty when it has none.
    pub fn name(&self) -> &str {
        object::name(&self.object)
    }

    /// An object that a part of the server made.
    pub(crate) fn from_value(object: Value) -> Result<Self, ApiError> {
        let kind = kind_of(&object)?;
        let mut object = version::accept(object)?;
        in_one_form(kind, &mut object)?;
        Ok(Self { kind, object })
    }
}

fn kind_of(object: &Value) -> Result<&'static KindInfo, ApiError> {
    let text = |field| object.get(field).and_then(Value::as_str);
    let Some(kind) = text("kind") else {
        return Err(ApiError::BadRequest(
            "the object has no kind; write `kind:` and one of those that `quorate api-resources` lists".into(),
        ));
    };
    if text("apiVersion").is_none() {
        return Err(ApiError::BadRequest(format!(
            "the object has no apiVersion; write `apiVersion: {}`",
            quorate_crds::API_VERSION
        )));
    }
    let info = find_kind(kind)?;
    if info.kind != kind {
        return Err(ApiError::BadRequest(format!(
            "found kind {kind:?}, allowed: {:?}; short forms are for the command line",
            info.kind
        )));
    }
    Ok(info)
}

/// Brings what may be written in several ways into the one that is merged and compared.
pub(super) fn in_one_form(kind: &KindInfo, object: &mut Value) -> Result<(), ApiError> {
    if is_sealed(kind) {
        secrets::normalise(object)?;
    }
    Ok(())
}
