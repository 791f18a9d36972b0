use quorate_crds::KindInfo;
use quorate_merge::ApplyOptions;
use quorate_schema::ViolationReason;
use quorate_store::View;
use serde_json::Value;

use super::{
    Engine, Gate, Live, Manifest, Part, Target, WriteOptions, metadata, object, parse_version,
    subject, unknown, write::Next, write::Written,
};
use crate::{
    admission,
    error::{ApiError, Cause},
};

impl Engine {
    /// Server-side apply: the caller states the fields that it wants to own.
    pub async fn apply(
        &self,
        manifest: Manifest,
        subresource: &str,
        options: &WriteOptions,
        gate: &dyn Gate,
    ) -> Result<Written, ApiError> {
        let Manifest {
            kind,
            object: config,
        } = manifest;
        let part = Part::parse(kind, subresource)?;
        let name = object::name(&config).to_owned();
        metadata::require_name(kind, &name)?;
        if options.manager.is_empty() {
            return Err(ApiError::BadRequest(
                "apply needs a field manager: the name under which the caller owns its fields"
                    .into(),
            ));
        }
        if config
            .get("metadata")
            .and_then(|metadata| metadata.get("managedFields"))
            .is_some_and(|managed| !managed.is_null())
        {
            return Err(ApiError::invalid(
                subject(kind, &name),
                Cause::new(
                    "metadata.managedFields",
                    ViolationReason::Forbidden,
                    "found some, allowed: none in an applied manifest; remove the field",
                ),
            ));
        }
        let wanted = object::meta_str(&config, "resourceVersion").unwrap_or_default();
        let wanted = parse_version(wanted)?;
        let own = own_part(kind, part, config);

        self.write(Target { kind, name: &name }, options, gate, |live, now| {
            if wanted.is_some_and(|wanted| live.is_none_or(|live| live.revision != wanted)) {
                return Err(metadata::modified(kind, &name));
            }
            if let (Some(live), Some(uid)) = (live, object::meta_str(&own, "uid"))
                && object::meta_str(&live.object, "uid") != Some(uid)
            {
                return Err(metadata::modified(kind, &name));
            }
            unknown::refuse(kind, &name, &own, live.map(|live| &live.object))?;
            if live.is_none() && part == Part::Status {
                return Err(ApiError::NotFound(subject(kind, &name)));
            }
            let mut merged = merged(kind, part, live, &own, options, now)?;
            if let Some(live) = live {
                keep_unowned_metadata(kind, &live.object, &mut merged);
            }
            let mut next = match (live, part) {
                (None, _) => {
                    let mut next = merged;
                    metadata::begin(kind, &mut next, self.sources.new_uid()?, now);
                    next
                }
                (Some(live), Part::Main) => metadata::carry(kind, &live.object, merged)?,
                (Some(live), Part::Status) => metadata::only_status(kind, &live.object, merged)?,
            };
            kind.schema.apply_defaults(&mut next);
            Ok(Next::Object(next))
        })
        .await
    }
}

impl Engine {
    /// The object as an apply of `manifest` would leave it, had it been made on `view`. Nothing is compared with other
    /// objects: those may be part of the same supposition.
    pub(crate) fn preview(
        &self,
        view: &View,
        manifest: Manifest,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        let Manifest {
            kind,
            object: config,
        } = manifest;
        let name = object::name(&config).to_owned();
        metadata::require_name(kind, &name)?;
        let live = self.load(view, kind, &name)?;
        let own = own_part(kind, Part::Main, config);
        unknown::refuse(kind, &name, &own, live.as_ref().map(|live| &live.object))?;
        let now = self.sources.now();
        let mut next = merged(kind, Part::Main, live.as_ref(), &own, options, &now)?;
        match &live {
            Some(live) => {
                keep_unowned_metadata(kind, &live.object, &mut next);
                next = metadata::carry(kind, &live.object, next)?;
            }
            None => metadata::begin(kind, &mut next, self.sources.new_uid()?, &now),
        }
        kind.schema.apply_defaults(&mut next);
        let old = live.as_ref().map(|live| &live.object);
        let broken = kind.schema.validate(&next, old);
        if !broken.is_empty() {
            return Err(ApiError::Invalid {
                subject: subject(kind, &name),
                causes: broken.into_iter().map(Cause::from).collect(),
            });
        }
        if let Some(old) = old {
            metadata::count_generation(old, &mut next);
        }
        Ok(next)
    }
}

/// What of a manifest counts: an apply of the object says nothing about status, one of the status
/// nothing about the rest. So a whole object that was read, changed and applied owns no status.
fn own_part(kind: &KindInfo, part: Part, mut config: Value) -> Value {
    object::set_meta(&mut config, "resourceVersion", None);
    match part {
        Part::Main if kind.status => metadata::remove_status(&mut config),
        Part::Main => {}
        Part::Status => {
            if let Some(map) = config.as_object_mut() {
                map.retain(|field, _| {
                    matches!(
                        field.as_str(),
                        "apiVersion" | "kind" | "metadata" | "status"
                    )
                });
            }
            if let Some(meta) = object::meta_mut(&mut config) {
                meta.retain(|field, _| matches!(field.as_str(), "name" | "uid"));
            }
        }
    }
    config
}

/// Puts back what nobody owns. The merge takes a structure away together with the last field in it that
/// anybody owned; in `metadata` the server keeps fields of its own.
fn keep_unowned_metadata(kind: &KindInfo, live: &Value, merged: &mut Value) {
    let deleting = object::is_deleting(live);
    let Some(fields) = live.get("metadata").and_then(Value::as_object) else {
        return;
    };
    let Some(kept) = object::meta_mut(merged) else {
        return;
    };
    for (field, value) in fields {
        let ownable = match field.as_str() {
            "labels" | "annotations" | "ownerReferences" | "managedFields" => true,
            // Those that hold a deletion are the server's.
            "finalizers" => !deleting,
            _ => false,
        };
        if !ownable && !kept.contains_key(field) {
            kept.insert(field.clone(), value.clone());
        }
    }
    // The finalizer that every object of the kind begins with is the server's alone: it holds data and running guests.
    if let Some(own) = admission::finalizer(kind)
        && object::finalizers(live).any(|finalizer| finalizer == own)
    {
        object::add_finalizer(merged, own);
    }
}

fn merged(
    kind: &KindInfo,
    part: Part,
    live: Option<&Live>,
    config: &Value,
    options: &WriteOptions,
    now: &str,
) -> Result<Value, ApiError> {
    quorate_merge::apply(
        &kind.schema,
        live.map(|live| &live.object),
        config,
        &ApplyOptions {
            manager: &options.manager,
            force: options.force,
            subresource: part.subresource(),
            api_version: quorate_crds::API_VERSION,
            now,
        },
    )
    .map(|change| change.object)
    .map_err(|error| metadata::merge_error(kind, object::name(config), error))
}
