//! Watches the objects of one kind on both sides, and calls for a look at whatever has changed.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, future, stream};
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt,
        controller::{Config, Error, ReconcileRequest, applier},
        reflector::{ObjectRef, store::Writer},
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::{mpsc::UnboundedReceiver, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::mirror::Mirror;
use crate::{cluster::Changed, sync::Target};

/// Objects of one kind that are worked on at the same time.
const AT_ONCE: u16 = 8;
/// Changes that come close together are looked at together.
const TOGETHER: Duration = Duration::from_millis(50);

/// Changes in the clusters, each with the cluster's name.
pub(super) type Changes = UnboundedReceiver<(String, Changed)>;

/// Watches one kind until `stop` says so, and then finishes what is being done.
pub(super) async fn keep(
    mirror: Arc<Mirror>,
    resource: ApiResource,
    changes: Changes,
    mut stop: watch::Receiver<bool>,
) {
    let writer = Writer::<DynamicObject>::new(resource.clone());
    let reader = writer.as_reader();
    let here = watcher(mirror.api.clone(), watcher::Config::default())
        .default_backoff()
        .reflect(writer);
    let names = stream::select(
        touched_here(mirror.clone(), here),
        touched_there(mirror.clone(), changes),
    );
    let queue = names
        .map(move |name| {
            let object = ObjectRef::<DynamicObject>::new_with(&name, resource.clone());
            Ok::<_, Infallible>(ReconcileRequest::from(object))
        })
        // Who would tell it to stop may be gone.
        .take_until(async move { stop.wait_for(|stop| *stop).await.is_ok() });
    let config = Config::default().concurrency(AT_ONCE).debounce(TOGETHER);
    applier(
        |object: Arc<DynamicObject>, mirror: Arc<Mirror>| {
            Box::pin(async move { mirror.look(&object).await })
        },
        |object, error, mirror| mirror.put_off(&object, error),
        mirror.clone(),
        reader,
        queue.boxed(),
        config,
    )
    .for_each(|looked| {
        match &looked {
            // It was deleted before anybody came to look.
            Ok(_) | Err(Error::ObjectNotFound(_)) => {}
            Err(error) => tracing::info!(error = error as &dyn std::error::Error, "put off"),
        }
        future::ready(())
    })
    .await;
}

/// What is to be looked at because of changes in Kubernetes.
fn touched_here(
    mirror: Arc<Mirror>,
    events: impl Stream<Item = watcher::Result<Event<DynamicObject>>>,
) -> impl Stream<Item = String> {
    let mut listed = BTreeSet::new();
    events.flat_map(move |event| {
        let touched = match event {
            Ok(Event::Init) => {
                listed.clear();
                Vec::new()
            }
            // Looked at when the list is complete: only then is it all known.
            Ok(Event::InitApply(object)) => {
                listed.insert(object.name_any());
                note(&mirror, &object)
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut listed);
                let mut touched = mirror.index.retain(&listed);
                touched.extend(listed);
                touched
            }
            Ok(Event::Apply(object)) => {
                let mut touched = note(&mirror, &object);
                touched.push(object.name_any());
                touched
            }
            Ok(Event::Delete(object)) => {
                let name = object.name_any();
                mirror.forget(&name);
                mirror.index.remove(&name)
            }
            Err(error) => {
                tracing::info!(
                    kind = mirror.info.kind,
                    error = &error as &dyn std::error::Error,
                    "the watch on the kube-apiserver begins anew"
                );
                Vec::new()
            }
        };
        stream::iter(touched)
    })
}

fn note(mirror: &Mirror, object: &DynamicObject) -> Vec<String> {
    serde_json::to_value(object)
        .map(|object| mirror.index.put(&object, mirror.clusters.default_cluster()))
        .unwrap_or_default()
}

/// What is to be looked at because of changes in the clusters.
fn touched_there(mirror: Arc<Mirror>, changes: Changes) -> impl Stream<Item = String> {
    UnboundedReceiverStream::new(changes).flat_map(move |(cluster, changed)| {
        let touched = match changed {
            Changed::All => mirror.index.of(&cluster),
            Changed::One(name) => {
                let objects = mirror.index.at(&Target { cluster, name });
                objects.into_iter().map(|(name, _)| name).collect()
            }
        };
        stream::iter(touched)
    })
}
