//! Looks at the objects of one kind and sees to it that what is decided about them is done.

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Api, api::DynamicObject, runtime::controller::Action};
use quorate_crds::KindInfo;
use serde_json::Value;

use super::{
    clusters::Clusters,
    failure::MirrorError,
    index::Index,
    memory::{Memory, SOON, state_of},
    secrets::Secrets,
    steps::Taken,
};
use crate::{
    cluster::Phase,
    metrics::Metrics,
    sync::{self, Decision, Situation, Synced, Target, There, decide},
};

/// More steps than any change needs.
const STEPS: usize = 8;

/// The objects of one kind.
pub(super) struct Mirror {
    pub(super) info: &'static KindInfo,
    pub(super) api: Api<DynamicObject>,
    pub(super) clusters: Arc<Clusters>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) index: Arc<Index>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Memory,
}

/// How a look at an object ended.
enum End {
    Rest,
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
            Ok(End::Rest) => Ok(Action::requeue(self.memory.rests(&name))),
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
            return Action::requeue(SOON);
        }
        self.metrics.failed(self.info.kind);
        let name = object.metadata.name.as_deref().unwrap_or_default();
        Action::requeue(self.memory.failed(name))
    }

    /// An object is gone from Kubernetes.
    pub(super) fn forget(&self, name: &str) {
        self.memory.forget(name);
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
            let state = state_of(&object, live.as_deref());
            let answer = self.memory.answer_to(name, state);
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

    fn count(&self, name: &str, place: Option<&Target>, decision: &Decision) {
        let cluster = place.map_or("", |place| place.cluster.as_str());
        let synced = (decision.synced.status(), decision.synced.reason());
        self.metrics.stands(self.info.kind, name, cluster, synced);
    }
}

fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second())
        .unwrap_or_default()
        .to_string()
}
