//! The steps that are taken on either side.

use std::sync::Arc;

use kube::api::{DynamicObject, Patch, PatchParams};
use quorate_crds::API_VERSION;
use serde_json::{Value, json};

use super::{failure::MirrorError, memory::state_of, mirror::Mirror, secrets::Secrets};
use crate::{
    cluster::{CallError, Members},
    metrics::Side,
    sync::{FIELD_MANAGER, FINALIZER, MIRRORED_ANNOTATION, Step, Target},
};

/// What a step has left behind.
pub(super) enum Taken {
    /// This object in Kubernetes.
    Here(Value),
    /// What follows is told by a watch.
    Waiting,
    /// Nothing in Kubernetes.
    Gone,
}

impl Mirror {
    /// Takes a step.
    pub(super) async fn take(
        &self,
        name: &str,
        object: &Value,
        place: Option<&Target>,
        step: Step,
        state: u64,
    ) -> Result<Taken, MirrorError> {
        match step {
            Step::Hold => {
                let mut finalizers = finalizers(object);
                finalizers.push(FINALIZER.into());
                let change = json!({"metadata": {"finalizers": finalizers}});
                self.patch(name, object, change, "hold").await
            }
            Step::Release => {
                let mut finalizers = finalizers(object);
                finalizers.retain(|finalizer| finalizer != FINALIZER);
                let change = json!({"metadata": {"finalizers": finalizers}});
                self.patch(name, object, change, "release").await?;
                Ok(Taken::Gone)
            }
            Step::Note(last) => {
                let note = json!({MIRRORED_ANNOTATION: last.to_string()});
                let change = json!({"metadata": {"annotations": note}});
                self.patch(name, object, change, "note").await
            }
            Step::Apply(config) => {
                if let Some((target, members)) = self.at(place) {
                    self.apply(name, object, &config, (target, members), state)
                        .await?;
                }
                Ok(Taken::Here(object.clone()))
            }
            Step::Delete { uid } => {
                if let Some((target, members)) = self.at(place) {
                    if let Err(error) = members.delete(self.info.kind, &target.name, &uid).await {
                        self.refused(name, target, "delete", error, state)?;
                        return Ok(Taken::Here(object.clone()));
                    }
                    self.metrics.wrote(Side::Cluster, self.info.kind, "delete");
                }
                Ok(Taken::Waiting)
            }
        }
    }

    pub(super) fn at<'a>(
        &'a self,
        place: Option<&'a Target>,
    ) -> Option<(&'a Target, &'a Arc<Members>)> {
        let place = place?;
        Some((place, &self.clusters.get(&place.cluster)?.members))
    }

    async fn apply(
        &self,
        name: &str,
        object: &Value,
        config: &Value,
        (target, members): (&Target, &Arc<Members>),
        state: u64,
    ) -> Result<(), MirrorError> {
        let carried = self
            .secrets
            .carry(self.info, object, &target.cluster, members)
            .await;
        if let Err(error) = carried {
            return self.refused(name, target, "take the Secrets of", error, state);
        }
        match members.apply(config).await {
            Ok(applied) => {
                if applied.written {
                    self.metrics.wrote(Side::Cluster, self.info.kind, "apply");
                    self.memory.taken(name);
                } else {
                    // It is asked about what it has now.
                    let state = state_of(object, Some(&applied.object));
                    self.memory.unchanged(name, state);
                }
                let cluster = self.clusters.get(&target.cluster);
                if let Some(cache) = cluster.and_then(|cluster| cluster.cache(self.info.kind)) {
                    cache.put(applied.object);
                }
                Ok(())
            }
            Err(error) => self.refused(name, target, "take", error, state),
        }
    }

    /// A Secret may change though nothing that refers to it does.
    pub(super) async fn carry_secrets(
        &self,
        name: &str,
        object: &Value,
        target: &Target,
        members: &Members,
    ) -> Result<(), MirrorError> {
        if !Secrets::refers(self.info, object) || !self.memory.secrets_are_due(name) {
            return Ok(());
        }
        let carried = self
            .secrets
            .carry(self.info, object, &target.cluster, members)
            .await;
        carried.map_err(|source| self.not_now(name, target, "take the Secrets of", source))
    }

    /// A refusal is remembered and shown, anything else is tried again.
    fn refused(
        &self,
        name: &str,
        target: &Target,
        verb: &'static str,
        error: CallError,
        state: u64,
    ) -> Result<(), MirrorError> {
        match error {
            CallError::Refused { reason, message } => {
                self.metrics.refused(Side::Cluster, self.info.kind);
                self.memory.refused(name, state, reason, message);
                Ok(())
            }
            source => Err(self.not_now(name, target, verb, source)),
        }
    }

    fn not_now(
        &self,
        name: &str,
        target: &Target,
        verb: &'static str,
        source: CallError,
    ) -> MirrorError {
        MirrorError::Cluster {
            verb,
            cluster: target.cluster.clone(),
            kind: self.info.kind,
            name: name.to_owned(),
            source: Box::new(source),
        }
    }

    pub(super) async fn show(
        &self,
        name: &str,
        object: &Value,
        status: &Value,
    ) -> Result<(), MirrorError> {
        let whole = json!({
            "apiVersion": API_VERSION,
            "kind": self.info.kind,
            // Only what was decided on the present state is shown.
            "metadata": {"name": name, "resourceVersion": object["metadata"]["resourceVersion"]},
            "status": status,
        });
        // The status is ours alone, whoever has written something there.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let shown = self
            .api
            .patch_status(name, &params, &Patch::Apply(&whole))
            .await;
        self.written(name, "status", shown).map(|_| ())
    }

    async fn patch(
        &self,
        name: &str,
        object: &Value,
        mut change: Value,
        verb: &'static str,
    ) -> Result<Taken, MirrorError> {
        // Only the state that was decided on is changed.
        change["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = self.api.patch(name, &params, &Patch::Merge(&change)).await;
        let patched = self.written(name, verb, patched)?;
        // It came as JSON.
        Ok(patched
            .and_then(|patched| serde_json::to_value(patched).ok())
            .map_or(Taken::Gone, Taken::Here))
    }

    /// What a write came to; nothing when the object is gone.
    fn written(
        &self,
        name: &str,
        verb: &'static str,
        written: Result<DynamicObject, kube::Error>,
    ) -> Result<Option<DynamicObject>, MirrorError> {
        let kind = self.info.kind;
        match written {
            Ok(object) => {
                self.metrics.wrote(Side::Kubernetes, kind, verb);
                Ok(Some(object))
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 409 => Err(self.overtaken(name)),
            Err(source) => {
                self.metrics.refused(Side::Kubernetes, kind);
                Err(MirrorError::Kubernetes {
                    verb,
                    kind,
                    name: name.to_owned(),
                    source: Box::new(source),
                })
            }
        }
    }

    pub(super) fn overtaken(&self, name: &str) -> MirrorError {
        MirrorError::Overtaken {
            kind: self.info.kind,
            name: name.to_owned(),
        }
    }
}

fn finalizers(object: &Value) -> Vec<Value> {
    let found = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}
