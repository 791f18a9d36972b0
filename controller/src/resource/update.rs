use serde_json::Value;

use super::{
    Engine, Gate, Manifest, Part, Target, WriteOptions, metadata, object, parse_version, subject,
    unknown, write::Next, write::Written,
};
use crate::error::ApiError;

impl Engine {
    /// Replaces an object, or its status.
    ///
    /// With a resourceVersion in the object the replacement happens only on top of that version; without
    /// one it happens on top of whatever is there, as for most kinds of Kubernetes.
    pub async fn update(
        &self,
        manifest: Manifest,
        subresource: &str,
        options: &WriteOptions,
        gate: &dyn Gate,
    ) -> Result<Written, ApiError> {
        let Manifest { kind, object: sent } = manifest;
        let part = Part::parse(kind, subresource)?;
        let name = object::name(&sent).to_owned();
        metadata::require_name(kind, &name)?;
        let wanted = object::meta_str(&sent, "resourceVersion").unwrap_or_default();
        let wanted = parse_version(wanted)?;

        self.write(Target { kind, name: &name }, options, gate, |live, now| {
            let Some(live) = live else {
                return Err(ApiError::NotFound(subject(kind, &name)));
            };
            if wanted.is_some_and(|wanted| wanted != live.revision) {
                return Err(metadata::modified(kind, &name));
            }
            unknown::refuse(kind, &name, &sent, Some(&live.object))?;
            let next = sent.clone();
            self.replace(kind, part, live, next, options, now)
        })
        .await
    }

    /// What becomes of `live` when a caller replaces it by `next`; shared by update and patch.
    pub(super) fn replace(
        &self,
        kind: &'static quorate_crds::KindInfo,
        part: Part,
        live: &super::Live,
        next: Value,
        options: &WriteOptions,
        now: &str,
    ) -> Result<Next, ApiError> {
        let mut next = match part {
            Part::Main => metadata::carry(kind, &live.object, next)?,
            Part::Status => metadata::only_status(kind, &live.object, next)?,
        };
        object::drop_empty_meta(&mut next);
        kind.schema.apply_defaults(&mut next);
        let next = metadata::track_update(
            kind,
            Some(&live.object),
            next,
            part.subresource(),
            options,
            now,
        )?;
        Ok(Next::Object(next))
    }
}
