//! Takes the steps that were decided about the objects of one kind.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    runtime::controller::Action,
};
use quorate_crds::{API_VERSION, KindInfo};
use serde_json::{Value, json};
use thiserror::Error;

use super::{clusters::Clusters, index::Index, secrets::Secrets};
use crate::{
    cluster::{CallError, Members, Phase},
    metrics::{Metrics, Side},
    sync::{
        self, Answer, Decision, FIELD_MANAGER, FINALIZER, MIRRORED_ANNOTATION, Situation, Step,
        Synced, Target, There, decide,
    },
};

/// More steps than any change needs.
const STEPS: usize = 8;
/// Everything is looked at this often, though nothing is known to have changed.
const RESYNC: Duration = Duration::from_secs(600);
/// The Secrets that an object refers to are looked at this often. They cannot be watched by who may not read all of them.
const SECRETS_AGAIN: Duration = Duration::from_secs(60);
/// What was refused, or failed, is tried again after pauses that grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Why work on an object is put off.
#[derive(Debug, Error)]
pub(super) enum MirrorError {
    /// The kube-apiserver. A retry may succeed.
    #[error("the kube-apiserver does not {verb} {kind} {name:?}")]
    Kubernetes {
        /// What was asked of it.
        verb: &'static str,
        /// The kind.
        kind: &'static str,
        /// The object.
        name: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The cluster cannot do it at present. A retry may succeed.
    #[error("cluster {cluster:?} does not {verb} {kind} {name:?}")]
    Cluster {
        /// What was asked of it.
        verb: &'static str,
        /// The cluster.
        cluster: String,
        /// The kind.
        kind: &'static str,
        /// The object.
        name: String,
        /// What it said.
        #[source]
        source: Box<CallError>,
    },
    /// The object has changed meanwhile. A look at its present state decides anew.
    #[error("{kind} {name:?} has changed meanwhile")]
    Overtaken {
        /// The kind.
        kind: &'static str,
        /// The object.
        name: String,
    },
}

/// The objects of one kind.
pub(super) struct Mirror {
    pub(super) info: &'static KindInfo,
    pub(super) api: Api<DynamicObject>,
    pub(super) clusters: Arc<Clusters>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) index: Arc<Index>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of one object between two looks at it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What the cluster answered, and to what exactly.
    answer: Option<(u64, Answer)>,
    refusals: u32,
    again_at: Option<Instant>,
    failures: u32,
    secrets_at: Option<Instant>,
}

/// How a look at an object ended.
enum End {
    Rest,
    Gone,
}

/// What a step has left behind.
enum Taken {
    /// This object in Kubernetes.
    Here(Value),
    /// What follows is told by a watch.
    Waiting,
    /// Nothing in Kubernetes.
    Gone,
}

impl Mirror {
    /// Looks at one object and does what is to be done.
    pub(super) async fn look(&self, object: &DynamicObject) -> Result<Action, MirrorError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let Ok(object) = serde_json::to_value(object) else {
            // It came as JSON.
            return Ok(Action::await_change());
        };
        match self.work(&name, object).await {
            Ok(End::Rest) => {
                let mut memory = self.memory();
                let memory = memory.entry(name).or_default();
                memory.failures = 0;
                let again = memory
                    .again_at
                    .map(|at| at.saturating_duration_since(Instant::now()));
                let secrets = memory.secrets_at.map(|_| SECRETS_AGAIN);
                let next = again.into_iter().chain(secrets).fold(RESYNC, Duration::min);
                Ok(Action::requeue(next))
            }
            Ok(End::Gone) => {
                self.forget(&name);
                Ok(Action::await_change())
            }
            Err(error) => Err(error),
        }
    }

    /// What to do after `error`.
    pub(super) fn put_off(&self, object: &DynamicObject, error: &MirrorError) -> Action {
        if matches!(error, MirrorError::Overtaken { .. }) {
            return Action::requeue(PAUSES.0 / 4);
        }
        self.metrics.failed(self.info.kind);
        let name = object.metadata.name.clone().unwrap_or_default();
        let mut memory = self.memory();
        let memory = memory.entry(name).or_default();
        memory.failures = memory.failures.saturating_add(1);
        Action::requeue(pause(memory.failures))
    }

    /// An object is gone from Kubernetes.
    pub(super) fn forget(&self, name: &str) {
        self.memory().remove(name);
        self.metrics.gone(self.info.kind, name);
    }

    async fn work(&self, name: &str, mut object: Value) -> Result<End, MirrorError> {
        for _ in 0..STEPS {
            let wanted = Target::wanted(&object, self.clusters.default_cluster());
            let place = sync::place(&object, wanted.as_ref());
            let (phase, live) = self.known(place.as_ref());
            let duplicate_of = place
                .as_ref()
                .and_then(|place| self.index.before(place, name));
            let wanted = self.clusters.checked(wanted.as_ref());
            let (state, answer) = self.answered(name, &object, live.as_deref());
            let decision = decide(&Situation {
                info: self.info,
                object: &object,
                wanted: wanted
                    .as_ref()
                    .map(|target| *target)
                    .map_err(String::as_str),
                duplicate_of: duplicate_of.as_deref(),
                there: match &phase {
                    Phase::Loading => There::Loading,
                    Phase::Following => There::Known(live.as_deref()),
                    Phase::Silent(why) => There::Silent(why),
                },
                answer: &answer,
                now: &now(),
            });
            self.count(name, place.as_ref(), &decision);
            match decision {
                Decision {
                    step: Some(step), ..
                } => {
                    let status = decision.status;
                    match self
                        .take(name, &object, place.as_ref(), step, state)
                        .await?
                    {
                        Taken::Here(changed) => object = changed,
                        Taken::Gone => return Ok(End::Gone),
                        Taken::Waiting => {
                            if let Some(status) = status {
                                self.show(name, &object, &status).await?;
                            }
                            return Ok(End::Rest);
                        }
                    }
                }
                Decision {
                    status: Some(status),
                    ..
                } => {
                    self.show(name, &object, &status).await?;
                    return Ok(End::Rest);
                }
                Decision { synced, .. } => {
                    if let (Synced::Yes { .. }, Some((target, members))) =
                        (synced, self.at(place.as_ref()))
                    {
                        self.carry_secrets(name, &object, target, members).await?;
                    }
                    return Ok(End::Rest);
                }
            }
        }
        // Somebody is quicker than we are; the next change calls again.
        Err(self.overtaken(name))
    }

    fn known(&self, place: Option<&Target>) -> (Phase, Option<Arc<Value>>) {
        let Some(place) = place else {
            return (Phase::Loading, None);
        };
        match self
            .clusters
            .get(&place.cluster)
            .and_then(|cluster| cluster.cache(self.info.kind))
        {
            Some(cache) => cache.look(&place.name),
            None => (
                Phase::Silent(format!(
                    "the operator knows no cluster {:?} any more",
                    place.cluster
                )),
                None,
            ),
        }
    }

    /// Takes a step.
    async fn take(
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

    fn at<'a>(&'a self, place: Option<&'a Target>) -> Option<(&'a Target, &'a Arc<Members>)> {
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
                let answer = if applied.written {
                    self.metrics.wrote(Side::Cluster, self.info.kind, "apply");
                    Answer::None
                } else {
                    Answer::Unchanged
                };
                if let Some(cache) = self
                    .clusters
                    .get(&target.cluster)
                    .and_then(|cluster| cluster.cache(self.info.kind))
                {
                    cache.put(applied.object);
                }
                // What it has now is what it was asked about.
                let (_, live) = self.known(Some(target));
                let state = fingerprint(object, live.as_deref());
                let mut memory = self.memory();
                let memory = memory.entry(name.to_owned()).or_default();
                (memory.refusals, memory.again_at) = (0, None);
                memory.answer = Some((state, answer));
                Ok(())
            }
            Err(error) => self.refused(name, target, "take", error, state),
        }
    }

    /// A Secret may change though nothing that refers to it does.
    async fn carry_secrets(
        &self,
        name: &str,
        object: &Value,
        target: &Target,
        members: &Members,
    ) -> Result<(), MirrorError> {
        if !Secrets::refers(self.info, object) {
            return Ok(());
        }
        let due = {
            let mut memory = self.memory();
            let memory = memory.entry(name.to_owned()).or_default();
            let due = memory
                .secrets_at
                .is_none_or(|at| at.elapsed() >= SECRETS_AGAIN);
            if due {
                memory.secrets_at = Some(Instant::now());
            }
            due
        };
        if !due {
            return Ok(());
        }
        let carried = self
            .secrets
            .carry(self.info, object, &target.cluster, members)
            .await;
        carried.map_err(|source| MirrorError::Cluster {
            verb: "take the Secrets of",
            cluster: target.cluster.clone(),
            kind: self.info.kind,
            name: name.to_owned(),
            source: Box::new(source),
        })
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
                let mut memory = self.memory();
                let memory = memory.entry(name.to_owned()).or_default();
                memory.refusals = memory.refusals.saturating_add(1);
                memory.again_at = Some(Instant::now() + pause(memory.refusals));
                memory.answer = Some((state, Answer::Refused { reason, message }));
                Ok(())
            }
            source => Err(MirrorError::Cluster {
                verb,
                cluster: target.cluster.clone(),
                kind: self.info.kind,
                name: name.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    /// What the cluster has answered to just this, unless it is time to ask again.
    fn answered(&self, name: &str, object: &Value, live: Option<&Value>) -> (u64, Answer) {
        let state = fingerprint(object, live);
        let mut memory = self.memory();
        let memory = memory.entry(name.to_owned()).or_default();
        if memory.again_at.is_some_and(|at| at <= Instant::now()) {
            (memory.again_at, memory.answer) = (None, None);
        }
        match &memory.answer {
            Some((to, answer)) if *to == state => (state, answer.clone()),
            _ => {
                (memory.again_at, memory.answer) = (None, None);
                (state, Answer::None)
            }
        }
    }

    async fn show(&self, name: &str, object: &Value, status: &Value) -> Result<(), MirrorError> {
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

    fn overtaken(&self, name: &str) -> MirrorError {
        MirrorError::Overtaken {
            kind: self.info.kind,
            name: name.to_owned(),
        }
    }

    fn count(&self, name: &str, place: Option<&Target>, decision: &Decision) {
        let cluster = place.map_or("", |place| place.cluster.as_str());
        let synced = (decision.synced.status(), decision.synced.reason());
        self.metrics.stands(self.info.kind, name, cluster, synced);
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer is an answer to: the whole wish, and the state of the cluster's object.
fn fingerprint(object: &Value, live: Option<&Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in [
        "/metadata/labels",
        "/metadata/annotations",
        "/metadata/deletionTimestamp",
        "/spec",
    ] {
        object
            .pointer(path)
            .map(ToString::to_string)
            .hash(&mut hasher);
    }
    live.and_then(|live| live.pointer("/metadata/resourceVersion"))
        .map(ToString::to_string)
        .hash(&mut hasher);
    hasher.finish()
}

fn pause(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    (PAUSES.0 * factor).min(PAUSES.1)
}

fn finalizers(object: &Value) -> Vec<Value> {
    let found = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}

fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second())
        .unwrap_or_default()
        .to_string()
}
