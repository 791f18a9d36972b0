use bytes::Bytes;
use quorate_crds::KindInfo;
use quorate_store::{Stored, View};

use super::{Engine, live::is_sealed, object, subject, version};
use crate::error::ApiError;

impl Engine {
    /// One object as JSON. `local` asks nobody and may be old.
    pub async fn get(
        &self,
        kind: &'static KindInfo,
        name: &str,
        local: bool,
    ) -> Result<Bytes, ApiError> {
        let view = self.view(local).await?;
        let stored = view
            .get(&Self::key(kind, name))
            .ok_or_else(|| ApiError::NotFound(subject(kind, name)))?;
        self.sent(kind, name, &stored)
    }

    /// The state that a read shows.
    pub(super) async fn view(&self, local: bool) -> Result<View, ApiError> {
        if local {
            Ok(self.store.view())
        } else {
            self.fresh_view().await
        }
    }

    /// A stored value as it is sent. Only what is sealed, or of an older version, is parsed.
    pub(super) fn sent(
        &self,
        kind: &KindInfo,
        name: &str,
        stored: &Stored,
    ) -> Result<Bytes, ApiError> {
        if is_sealed(kind) || !version::is_hub(&stored.value) {
            let object = self.read(kind, name, stored)?;
            return Ok(object::to_bytes(&object, Some(stored.modified)));
        }
        Ok(object::with_version(&stored.value, stored.modified))
    }
}
