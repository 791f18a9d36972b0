use super::{
    Engine, Gate, Manifest, Target, WriteOptions, metadata, object, subject, unknown, write::Next,
    write::Written,
};
use crate::{error::ApiError, sources::Sources};

/// The letters that Kubernetes makes names of: no vowels, so that no words come out.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;

impl Engine {
    /// Creates an object that must not exist yet.
    pub async fn create(
        &self,
        manifest: Manifest,
        options: &WriteOptions,
        gate: &dyn Gate,
    ) -> Result<Written, ApiError> {
        let Manifest {
            kind,
            object: mut sent,
        } = manifest;
        generate_name(&self.sources, &mut sent)?;
        let name = object::name(&sent).to_owned();
        metadata::require_name(kind, &name)?;
        if object::meta_str(&sent, "resourceVersion").is_some_and(|text| !text.is_empty()) {
            return Err(ApiError::BadRequest(
                "metadata.resourceVersion must not be set on an object to be created".into(),
            ));
        }
        unknown::refuse(kind, &name, &sent, None)?;

        self.write(Target { kind, name: &name }, options, gate, |live, now| {
            if live.is_some() {
                return Err(ApiError::AlreadyExists(subject(kind, &name)));
            }
            let mut next = sent.clone();
            metadata::begin(kind, &mut next, self.sources.new_uid()?, now);
            object::drop_empty_meta(&mut next);
            kind.schema.apply_defaults(&mut next);
            let next = metadata::track_update(kind, None, next, None, options, now)?;
            Ok(Next::Object(next))
        })
        .await
    }
}

/// Makes a name out of `metadata.generateName` when there is none, as Kubernetes does.
fn generate_name(sources: &Sources, candidate: &mut serde_json::Value) -> Result<(), ApiError> {
    if !object::name(candidate).is_empty() {
        return Ok(());
    }
    let Some(prefix) = object::meta_str(candidate, "generateName") else {
        return Ok(());
    };
    let mut random = [0u8; SUFFIX];
    sources.fill(&mut random)?;
    let suffix: String = random
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect();
    let name = format!("{prefix}{suffix}");
    object::set_meta(candidate, "name", Some(name.into()));
    Ok(())
}
