use std::{sync::Arc, time::Duration};

use quorate_crds::KindInfo;
use quorate_store::{Change, Key, Revision, Watch, WatchError, WatchScope};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::graph::{Graph, Node, Work};
use crate::{
    entries::entries,
    error::ApiError,
    resource::{
        Engine, PatchType, Preconditions, Propagation, Target, Unrestricted, WriteOptions,
        find_kind, object, parse,
    },
};

/// How long what could not be done now is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The manager that the collector's changes belong to.
const MANAGER: &str = "quorated-gc";

/// Collects for as long as this member leads.
pub async fn run(engine: Engine) {
    let mut leadership = engine.store().leadership();
    loop {
        if leadership
            .wait_for(|leadership| leadership.is_self)
            .await
            .is_err()
        {
            return;
        }
        tokio::select! {
            () = collect(&engine) => {}
            lost = leadership.wait_for(|leadership| !leadership.is_self) => {
                if lost.is_err() {
                    return;
                }
            }
        }
    }
}

/// Collects until the store stops or its history has moved on without us; the caller begins anew.
async fn collect(engine: &Engine) {
    let Ok((mut graph, mut watch)) = survey(engine).await else {
        sleep(RETRY_AFTER).await;
        return;
    };
    loop {
        let mut failed = Vec::new();
        for work in graph.work() {
            if let Err(error) = carry_out(engine, &work).await {
                tracing::debug!(%error, ?work, "left for later");
                failed.push(work.key().clone());
            }
        }
        let retry = async {
            if failed.is_empty() {
                std::future::pending::<()>().await;
            }
            sleep(RETRY_AFTER).await;
        };
        tokio::select! {
            changes = watch.next_batch() => match changes {
                Ok(changes) => {
                    for change in changes {
                        note(&mut graph, &change);
                    }
                }
                Err(WatchError::Expired { .. }) => return,
                Err(WatchError::Stopped) => {
                    sleep(RETRY_AFTER).await;
                    return;
                }
            },
            () = retry => {}
        }
        for key in failed {
            graph.touch(key);
        }
    }
}

/// The graph as it is now, and a watch that goes on from there.
async fn survey(engine: &Engine) -> Result<(Graph, Watch), ApiError> {
    let view = engine.fresh_view().await?;
    let mut graph = Graph::default();
    for kind in quorate_crds::kinds().iter().filter(|kind| takes_part(kind)) {
        for (key, stored) in entries(&view, kind.plural) {
            let object = parse(kind, &key.name, &stored.value)?;
            graph.set(key, Some(Node::of(&object, stored.modified)));
        }
    }
    let watch = engine
        .store()
        .watch(WatchScope::default(), view.revision())
        .map_err(|error| ApiError::Expired(error.to_string()))?;
    Ok((graph, watch))
}

/// Events own nothing, are owned by nobody and are many.
fn takes_part(kind: &KindInfo) -> bool {
    kind.kind != "Event"
}

fn note(graph: &mut Graph, change: &Arc<Change>) {
    let Ok(kind) = find_kind(change.key.bucket.as_str()) else {
        return;
    };
    if !takes_part(kind) {
        return;
    }
    let node = change
        .value
        .as_ref()
        .and_then(|value| parse(kind, &change.key.name, value).ok())
        .map(|object| Node::of(&object, change.revision));
    graph.set(change.key.clone(), node);
}

impl Work {
    fn key(&self) -> &Key {
        match self {
            Self::Delete { key, .. } | Self::Forget { key, .. } | Self::Release { key, .. } => key,
        }
    }
}

async fn carry_out(engine: &Engine, work: &Work) -> Result<(), ApiError> {
    let options = WriteOptions {
        manager: MANAGER.into(),
        dry_run: false,
        force: false,
    };
    let kind = find_kind(work.key().bucket.as_str())?;
    let name = &*work.key().name;
    let done = match work {
        Work::Delete {
            revision,
            foreground,
            ..
        } => {
            let preconditions = Preconditions {
                uid: String::new(),
                resource_version: revision.to_string(),
            };
            let propagation = if *foreground {
                Propagation::Foreground
            } else {
                Propagation::Default
            };
            engine
                .delete(
                    Target { kind, name },
                    &preconditions,
                    propagation,
                    &options,
                    &Unrestricted,
                )
                .await
        }
        Work::Forget {
            revision, owners, ..
        } => {
            let keep = |reference: &Value| {
                !reference
                    .get("uid")
                    .and_then(Value::as_str)
                    .is_some_and(|uid| owners.iter().any(|owner| owner == uid))
            };
            change(engine, kind, name, *revision, &options, |object| {
                let left: Vec<Value> = object
                    .pointer("/metadata/ownerReferences")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter(|reference| keep(reference))
                    .cloned()
                    .collect();
                json!({"metadata": {"ownerReferences": left}})
            })
            .await
        }
        Work::Release {
            revision,
            finalizer,
            ..
        } => {
            change(engine, kind, name, *revision, &options, |object| {
                let left: Vec<&str> = object::finalizers(object)
                    .filter(|present| present != finalizer)
                    .collect();
                json!({"metadata": {"finalizers": left}})
            })
            .await
        }
    };
    match done {
        Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Patches the object, provided that nobody has changed it since `revision`.
async fn change(
    engine: &Engine,
    kind: &'static KindInfo,
    name: &str,
    revision: Revision,
    options: &WriteOptions,
    patch: impl Fn(&Value) -> Value,
) -> Result<crate::resource::Written, ApiError> {
    let bytes = engine.get(kind, name, false).await?;
    let object = parse(kind, name, &bytes)?;
    let mut patch = patch(&object);
    patch["metadata"]["resourceVersion"] = json!(revision.to_string());
    engine
        .patch(
            Target { kind, name },
            "",
            PatchType::Merge,
            patch.to_string().as_bytes(),
            options,
            &Unrestricted,
        )
        .await
}
