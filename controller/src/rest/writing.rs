//! Create, update, patch, apply and delete.

use bytes::Bytes;
use http::StatusCode;
use quorate_crds::{KindInfo, Verb};
use serde_json::{Value, json};

use super::{
    answer::{self, Answer},
    asked::Asked,
    face::Face,
    options::{ChangeOptions, DeleteOptions, Validation, bad},
    printing::Printer,
    reading::{Collection, name as name_of},
    refusal::{self, Refusal},
};
use crate::{
    access::Action,
    api::{Weight, WriteGate},
    error::{ApiError, Cause},
    resource::{Engine, Manifest, Outcome, PatchType, Target, WriteOptions, Written, object},
    tls::ConnectionInfo,
};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const PATCHES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
const OBJECTS: &str = "application/json, application/yaml";

/// What is done with what was sent.
#[derive(Clone, Copy)]
enum Deed {
    Create,
    Update,
    Apply,
    Merge,
}

/// A change that can be tried, and tried again without the fields that nobody knows.
struct Change {
    deed: Deed,
    kind: &'static KindInfo,
    name: String,
    subresource: &'static str,
    sent: Value,
    options: ChangeOptions,
}

/// Who deletes.
pub(super) struct Deleter {
    connection: ConnectionInfo,
    program: String,
}

impl Deleter {
    pub(super) fn of(asked: &Asked) -> Self {
        Self {
            connection: asked.connection.clone(),
            program: asked.program(),
        }
    }
}

impl Face {
    pub(super) async fn create(&self, mut asked: Asked, kind: &'static KindInfo) -> Answer {
        refuse_force(&asked)?;
        let sent = object_in(&mut asked, kind, None).await?;
        self.change(asked, Deed::Create, kind, String::new(), "", sent)
            .await
    }

    pub(super) async fn update(
        &self,
        mut asked: Asked,
        kind: &'static KindInfo,
        name: &str,
        subresource: &'static str,
    ) -> Answer {
        refuse_force(&asked)?;
        let sent = object_in(&mut asked, kind, Some(name)).await?;
        let name = name.to_owned();
        self.change(asked, Deed::Update, kind, name, subresource, sent)
            .await
    }

    pub(super) async fn patch(
        &self,
        mut asked: Asked,
        kind: &'static KindInfo,
        name: &str,
        subresource: &'static str,
    ) -> Answer {
        let name = name.to_owned();
        match asked.content_type() {
            APPLY => {
                if asked.query.filled("fieldManager").is_none() {
                    return Err(bad("fieldManager is required for apply patch".into()));
                }
                let mut sent = one_object(&asked.body().await?)?;
                if name_of(&sent).is_empty() {
                    object::set_meta(&mut sent, "name", Some(json!(name)));
                }
                require(kind, Some(&name), &sent)?;
                self.change(asked, Deed::Apply, kind, name, subresource, sent)
                    .await
            }
            MERGE_PATCH => {
                refuse_force(&asked)?;
                let sent = serde_json::from_slice(&asked.body().await?)
                    .map_err(|error| bad(format!("the patch is not readable: {error}")))?;
                self.change(asked, Deed::Merge, kind, name, subresource, sent)
                    .await
            }
            JSON_PATCH => {
                refuse_force(&asked)?;
                self.json_patch(asked, kind, name, subresource).await
            }
            other => Err(Refusal::MediaType {
                found: other.to_owned(),
                allowed: PATCHES,
            }),
        }
    }

    async fn change(
        &self,
        asked: Asked,
        deed: Deed,
        kind: &'static KindInfo,
        name: String,
        subresource: &'static str,
        sent: Value,
    ) -> Answer {
        let call = self.begin(&asked, Weight::Call)?;
        let options = ChangeOptions::read(&asked)?;
        let dry_run = options.write.dry_run;
        let verb = match deed {
            Deed::Create => Verb::Create,
            Deed::Update => Verb::Update,
            Deed::Apply | Deed::Merge => Verb::Patch,
        };
        let named = match deed {
            Deed::Create => name_of(&sent),
            _ => &name,
        };
        let action = Action::on(verb, kind, named, subresource);
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        let change = Change {
            deed,
            kind,
            name,
            subresource,
            sent,
            options,
        };
        let written = self
            .front
            .change(call, action, dry_run, async move {
                change.carry_out(&engine, &gate).await
            })
            .await?;
        self.written(&asked, kind, written)
    }

    async fn json_patch(
        &self,
        mut asked: Asked,
        kind: &'static KindInfo,
        name: String,
        subresource: &'static str,
    ) -> Answer {
        let patch = asked.body().await?;
        let call = self.begin(&asked, Weight::Call)?;
        let options = ChangeOptions::read(&asked)?.write;
        let action = Action::on(Verb::Patch, kind, &name, subresource);
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        let written = self
            .front
            .change(call, action, options.dry_run, async move {
                let target = Target { kind, name: &name };
                engine
                    .patch(
                        target,
                        subresource,
                        PatchType::Json,
                        &patch,
                        &options,
                        &gate,
                    )
                    .await
            })
            .await?;
        self.written(&asked, kind, written)
    }

    fn written(&self, asked: &Asked, kind: &'static KindInfo, written: Written) -> Answer {
        let code = match written.outcome {
            Outcome::Created => StatusCode::CREATED,
            _ => StatusCode::OK,
        };
        let printer = Printer::read(asked, Collection::Own(kind))?;
        let body = printer.object(written.body)?;
        let mut response = answer::bytes(code, answer::JSON, body);
        answer::warn(&mut response, &written.warnings);
        Ok(response)
    }

    pub(super) async fn delete(
        &self,
        mut asked: Asked,
        kind: &'static KindInfo,
        name: &str,
    ) -> Answer {
        let body = asked.body().await?;
        let options = DeleteOptions::read(&asked.query, &body)?;
        let by = Deleter::of(&asked);
        let written = self.delete_one(&by, kind, name, &options).await?;
        if written.outcome != Outcome::Deleted {
            return self.written(&asked, kind, written);
        }
        let gone: Value = serde_json::from_slice(&written.body)
            .map_err(|error| ApiError::Internal(error.to_string()))?;
        let uid = object::meta_str(&gone, "uid").unwrap_or_default();
        let mut response = answer::json(StatusCode::OK, &refusal::deleted(kind.plural, name, uid));
        answer::warn(&mut response, &written.warnings);
        Ok(response)
    }

    /// Deletes one object with its own permission and its own line in the audit log.
    pub(super) async fn delete_one(
        &self,
        by: &Deleter,
        kind: &'static KindInfo,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Written, Refusal> {
        let call = self.front.begin_from(&by.connection, Weight::Call)?;
        let action = Action::on(Verb::Delete, kind, name, "");
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        let write = WriteOptions {
            manager: by.program.clone(),
            dry_run: options.dry_run,
            force: false,
        };
        let (name, options) = (name.to_owned(), options.clone());
        let written = self
            .front
            .change(call, action, options.dry_run, async move {
                let target = Target { kind, name: &name };
                engine
                    .delete(
                        target,
                        &options.preconditions,
                        options.propagation,
                        &write,
                        &gate,
                    )
                    .await
            })
            .await?;
        Ok(written)
    }
}

impl Change {
    /// Does it. Fields that the schema does not know are dropped where the caller accepts that; which ones they are is
    /// the engine's to say, because it also knows which of them are stored already and must be kept.
    async fn carry_out(mut self, engine: &Engine, gate: &WriteGate) -> Result<Written, ApiError> {
        let mut warnings = Vec::new();
        let mut written = match self.attempt(engine, gate).await {
            Err(ApiError::Invalid { causes, subject })
                if self.options.validation != Validation::Strict =>
            {
                if !causes.iter().all(is_unknown) || !self.drop_all(&causes) {
                    return Err(ApiError::Invalid { causes, subject });
                }
                if self.options.validation == Validation::Warn {
                    warnings.extend(
                        causes
                            .iter()
                            .map(|cause| format!("unknown field {:?}", cause.field)),
                    );
                }
                self.attempt(engine, gate).await?
            }
            other => other?,
        };
        written.warnings.extend(warnings);
        Ok(written)
    }

    async fn attempt(&self, engine: &Engine, gate: &WriteGate) -> Result<Written, ApiError> {
        let options = &self.options.write;
        let manifest = || Manifest::from_value(self.sent.clone());
        match self.deed {
            Deed::Create => engine.create(manifest()?, options, gate).await,
            Deed::Update => {
                engine
                    .update(manifest()?, self.subresource, options, gate)
                    .await
            }
            Deed::Apply => {
                engine
                    .apply(manifest()?, self.subresource, options, gate)
                    .await
            }
            Deed::Merge => {
                let target = Target {
                    kind: self.kind,
                    name: &self.name,
                };
                let patch = self.sent.to_string();
                engine
                    .patch(
                        target,
                        self.subresource,
                        PatchType::Merge,
                        patch.as_bytes(),
                        options,
                        gate,
                    )
                    .await
            }
        }
    }

    /// Whether each of the fields was there to be dropped. The last ones first, so that items keep their places.
    fn drop_all(&mut self, causes: &[Cause]) -> bool {
        causes
            .iter()
            .rev()
            .all(|cause| drop_field(&mut self.sent, &cause.field))
    }
}

fn is_unknown(cause: &Cause) -> bool {
    cause.reason == quorate_schema::ViolationReason::Unknown.as_str()
}

/// Removes the field at a path such as `spec.disks[1].sise`.
fn drop_field(object: &mut Value, path: &str) -> bool {
    let Some((parent, field)) = path.rsplit_once('.') else {
        return object
            .as_object_mut()
            .is_some_and(|fields| fields.remove(path).is_some());
    };
    let mut value = object;
    for step in parent.split('.') {
        let (name, rest) = match step.find('[') {
            Some(at) => step.split_at(at),
            None => (step, ""),
        };
        let Some(inner) = value.get_mut(name) else {
            return false;
        };
        value = inner;
        for index in rest.split(['[', ']']).filter(|index| !index.is_empty()) {
            let inner = match value {
                Value::Array(items) => index.parse().ok().and_then(|at: usize| items.get_mut(at)),
                other => other.get_mut(index),
            };
            let Some(inner) = inner else { return false };
            value = inner;
        }
    }
    value
        .as_object_mut()
        .is_some_and(|fields| fields.remove(field).is_some())
}

/// The object in the body of a create or an update.
async fn object_in(
    asked: &mut Asked,
    kind: &'static KindInfo,
    name: Option<&str>,
) -> Result<Value, Refusal> {
    match asked.content_type() {
        "" | "application/json" | "application/yaml" => {}
        other => {
            return Err(Refusal::MediaType {
                found: other.to_owned(),
                allowed: OBJECTS,
            });
        }
    }
    let mut sent = one_object(&asked.body().await?)?;
    drop_nulls(&mut sent);
    require(kind, name, &sent)?;
    Ok(sent)
}

fn one_object(body: &Bytes) -> Result<Value, Refusal> {
    let mut objects = quorate_crds::manifest::parse(body, &Default::default())
        .map_err(|error| bad(error.to_string()))?;
    match (objects.pop(), objects.is_empty()) {
        (Some(object), true) => Ok(object),
        _ => Err(bad("the body must hold exactly one object".into())),
    }
}

/// Typed clients write null for what they do not set.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Refuses an object that is not the one which the path names.
fn require(kind: &KindInfo, name: Option<&str>, sent: &Value) -> Result<(), Refusal> {
    let found = |field: &str| sent.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind_sent) = (found("apiVersion"), found("kind"));
    if api_version != quorate_crds::API_VERSION || kind_sent != kind.kind {
        return Err(bad(format!(
            "the object in the body is of apiVersion {api_version:?} and kind {kind_sent:?}, the path is for {:?} and {:?}",
            quorate_crds::API_VERSION,
            kind.kind
        )));
    }
    let found = name_of(sent);
    match name {
        Some(name) if !found.is_empty() && found != name => Err(bad(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        ))),
        _ => Ok(()),
    }
}

fn refuse_force(asked: &Asked) -> Result<(), Refusal> {
    match asked.query.flag("force") {
        Some(true) => Err(bad("force may not be specified for non-apply patch".into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_dropped_by_the_path_that_a_refusal_names() {
        let mut object = json!({
            "spek": 1,
            "spec": {"disks": [{"name": "a"}, {"name": "b", "sise": 1}], "memroy": 2},
        });
        for path in ["spek", "spec.disks[1].sise", "spec.memroy"] {
            assert!(drop_field(&mut object, path), "{path}");
            assert!(!drop_field(&mut object, path), "{path} is gone");
        }
        assert_eq!(
            object,
            json!({"spec": {"disks": [{"name": "a"}, {"name": "b"}]}})
        );
        assert!(!drop_field(&mut object, "spec.disks[7].name"));
        assert!(!drop_field(&mut object, "no.such.place"));
    }

    #[test]
    fn what_a_client_leaves_unset_is_not_there() {
        let mut object =
            json!({"metadata": {"creationTimestamp": null, "name": "a"}, "l": [{"x": null}]});
        drop_nulls(&mut object);
        assert_eq!(object, json!({"metadata": {"name": "a"}, "l": [{}]}));
    }
}
