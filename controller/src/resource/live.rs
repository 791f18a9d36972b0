use bytes::Bytes;
use quorate_crds::KindInfo;
use quorate_store::{Bucket, Key, Revision, Stored, View};
use serde_json::Value;

use super::{Engine, version};
use crate::{error::ApiError, secrets};

/// An object as it is now: readable, and with the revision that a write on top of it relies on.
#[derive(Clone, Debug)]
pub struct Live {
    /// The object, without its resourceVersion; secrets are open.
    pub object: Value,
    /// When it was last changed: its resourceVersion.
    pub revision: Revision,
}

impl Engine {
    /// Where an object of this kind and name is stored.
    pub(crate) fn key(kind: &KindInfo, name: &str) -> Key {
        Key::new(Bucket::new(kind.plural), name)
    }

    /// The object under `name`, if there is one.
    pub(crate) fn load(
        &self,
        view: &View,
        kind: &KindInfo,
        name: &str,
    ) -> Result<Option<Live>, ApiError> {
        let Some(stored) = view.get(&Self::key(kind, name)) else {
            return Ok(None);
        };
        Ok(Some(Live {
            object: self.read(kind, name, &stored)?,
            revision: stored.modified,
        }))
    }

    /// A stored value as an object, secrets opened.
    pub(crate) fn read(
        &self,
        kind: &KindInfo,
        name: &str,
        stored: &Stored,
    ) -> Result<Value, ApiError> {
        let mut object = parse(kind, name, &stored.value)?;
        if is_sealed(kind) {
            secrets::open(&self.keyring, &mut object)?;
        }
        Ok(object)
    }
}

/// Whether objects of this kind are encrypted in the store.
pub(super) fn is_sealed(kind: &KindInfo) -> bool {
    kind.kind == "Secret"
}

/// A stored value as JSON.
pub(crate) fn parse(kind: &KindInfo, name: &str, value: &Bytes) -> Result<Value, ApiError> {
    let object = serde_json::from_slice(value).map_err(|error| {
        ApiError::Internal(format!(
            "the stored {} {name:?} is not readable: {error}",
            kind.plural
        ))
    })?;
    if version::is_hub(value) {
        return Ok(object);
    }
    version::read(object)
}
