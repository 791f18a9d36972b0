//! Shows what the clusters tell about mirrored objects where `kubectl describe` looks for it: among the core's events.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use quorate_crds::API_VERSION;
use serde_json::{Value, json};

use super::{index::Index, watching::Changes};
use crate::{
    cluster::{Cache, Changed},
    metrics::{Metrics, Side},
    sync::{CLUSTER_LABEL, FIELD_MANAGER, Target},
};

/// Events about objects without a namespace are kept there.
pub const NAMESPACE: &str = "default";
/// A kube-apiserver forgets events after an hour; older ones are not told again.
const NEWS: SignedDuration = SignedDuration::from_hours(1);
/// How often those are looked at that nobody could be told of.
const SWEEP: Duration = Duration::from_secs(5);

/// The events of all clusters.
pub(super) struct Events {
    pub(super) api: Api<Event>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) caches: HashMap<String, Arc<Cache>>,
    pub(super) indexes: HashMap<&'static str, Arc<Index>>,
    /// How often an event had happened when it was told last.
    pub(super) told: HashMap<String, i64>,
}

impl Events {
    /// Tells what changes, until nobody follows the clusters any more.
    pub(super) async fn keep(mut self, mut changes: Changes) {
        if let Err(error) = self.remember().await {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "events may be told twice"
            );
        }
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                changed = changes.recv() => match changed {
                    Some((cluster, Changed::One(name))) => {
                        let cache = self.caches.get(&cluster).cloned();
                        let event = cache.and_then(|cache| cache.look(&name).1);
                        if let Some(event) = event {
                            self.tell(&cluster, &event).await;
                        }
                    }
                    Some((cluster, Changed::All)) => self.tell_all(&cluster).await,
                    None => break,
                },
                // An event may be known before the object that it is about.
                _ = sweep.tick() => {
                    let clusters: Vec<String> = self.caches.keys().cloned().collect();
                    for cluster in clusters {
                        self.tell_all(&cluster).await;
                    }
                }
            }
        }
    }

    async fn tell_all(&mut self, cluster: &str) {
        let Some(cache) = self.caches.get(cluster).cloned() else {
            return;
        };
        for event in cache.all() {
            self.tell(cluster, &event).await;
        }
    }

    /// What another replica has told already.
    async fn remember(&mut self) -> Result<(), kube::Error> {
        let ours = ListParams::default().labels(CLUSTER_LABEL);
        for event in self.api.list(&ours).await? {
            let count = event.count.unwrap_or_default();
            if let Some(name) = event.metadata.name {
                self.told.insert(name, count.into());
            }
        }
        Ok(())
    }

    async fn tell(&mut self, cluster: &str, event: &Value) {
        let Some((name, told)) = self.shown(cluster, event) else {
            return;
        };
        let count = told["count"].as_i64().unwrap_or_default();
        if self.told.get(&name).is_some_and(|known| *known >= count) {
            return;
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match self.api.patch(&name, &params, &Patch::Apply(&told)).await {
            Ok(_) => {
                self.metrics.wrote(Side::Kubernetes, "Event", "tell");
                self.told.insert(name, count);
                self.forget_old();
            }
            // An event is not worth a second attempt; the next one of its kind is told again.
            Err(error) => tracing::info!(
                event = name,
                error = &error as &dyn std::error::Error,
                "an event is not told"
            ),
        }
    }

    /// The event in Kubernetes' words, when it is about an object that Kubernetes has.
    fn shown(&self, cluster: &str, event: &Value) -> Option<(String, Value)> {
        let spec = event.get("spec")?;
        let last = spec["lastTimestamp"].as_str()?;
        let at: Timestamp = last.parse().ok()?;
        if Timestamp::now().duration_since(at) > NEWS {
            return None;
        }
        let kind = spec.pointer("/regarding/kind")?.as_str()?;
        let place = Target {
            cluster: cluster.to_owned(),
            name: spec.pointer("/regarding/name")?.as_str()?.to_owned(),
        };
        let (object, uid) = self.indexes.get(kind)?.at(&place).into_iter().next()?;
        let name = format!(
            "{}.{}",
            event.pointer("/metadata/name")?.as_str()?,
            cluster.to_ascii_lowercase().replace('_', "-")
        );
        let component = spec["reportingController"].as_str().unwrap_or("quorated");
        let shown = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "labels": {CLUSTER_LABEL: cluster},
            },
            "involvedObject": {"apiVersion": API_VERSION, "kind": kind, "name": object, "uid": uid},
            "reason": spec["reason"],
            "message": spec["note"],
            "type": spec["type"].as_str().unwrap_or("Normal"),
            "count": spec["count"].as_i64().unwrap_or(1),
            "firstTimestamp": spec["firstTimestamp"],
            "lastTimestamp": last,
            "reportingComponent": component,
            "reportingInstance": spec["reportingNode"].as_str().unwrap_or_default(),
            "source": {"component": component},
        });
        Some((name, shown))
    }

    /// More than anybody keeps for an hour need not be remembered.
    fn forget_old(&mut self) {
        const KEPT: usize = 100_000;
        if self.told.len() > KEPT {
            self.told.clear();
        }
    }
}
