//! Everything that the replica does that holds the lease.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use quorate_crds::{GROUP, KindInfo, VERSION};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    clusters::Clusters,
    credentials::Identity,
    events::{Events, NAMESPACE},
    index::Index,
    memory::Memory,
    mirror::Mirror,
    secrets::Secrets,
    watching::{self, Changes},
};
use crate::{
    cluster::{Cache, Changed, Follower, Listener, Phase},
    config::Config,
    metrics::Metrics,
};

/// The kind of what the clusters tell.
const EVENT: &str = "Event";
/// How often it is looked whether the clusters answer.
const LOOK: Duration = Duration::from_secs(5);

/// The kinds that are mirrored: those that a Kubernetes cluster may hold.
fn kinds() -> impl Iterator<Item = &'static KindInfo> {
    quorate_crds::kinds().iter().filter(|info| info.crd)
}

/// Everything that the replica does that holds the lease. Dropping it ends everything at once.
pub(crate) struct Leading {
    mirrors: JoinSet<()>,
    others: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// A channel for changes, with the name of the cluster.
type Sender = mpsc::UnboundedSender<(String, Changed)>;

impl Leading {
    /// Begins.
    pub(crate) fn begin(
        client: &Client,
        namespace: &str,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let followed: Vec<&'static str> = kinds().map(|info| info.kind).chain([EVENT]).collect();
        let clusters = Arc::new(Clusters::new(config, &followed));
        let secrets = Arc::new(Secrets {
            api: Api::namespaced(client.clone(), namespace),
            metrics: metrics.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let (mut mirrors, mut others) = (JoinSet::new(), JoinSet::new());
        let mut channels = HashMap::new();
        let mut indexes = HashMap::new();
        for info in kinds() {
            let kind = GroupVersionKind::gvk(GROUP, VERSION, info.kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, info.plural);
            let index = Arc::new(Index::default());
            let mirror = Arc::new(Mirror {
                info,
                api: Api::<DynamicObject>::all_with(client.clone(), &resource),
                clusters: clusters.clone(),
                secrets: secrets.clone(),
                index: index.clone(),
                metrics: metrics.clone(),
                memory: Memory::default(),
            });
            let (sender, changes) = mpsc::unbounded_channel();
            channels.insert(info.kind, sender);
            indexes.insert(info.kind, index);
            mirrors.spawn(watching::keep(mirror, resource, changes, stopped.clone()));
        }
        let (sender, told) = mpsc::unbounded_channel();
        channels.insert(EVENT, sender);
        others.spawn(events(client, &clusters, indexes, metrics, told));
        for (name, cluster) in clusters.iter() {
            let identity = Identity {
                api: Api::namespaced(client.clone(), namespace),
                secret: cluster.credentials_secret.clone(),
                cluster: name.clone(),
                members: cluster.members.clone(),
                metrics: metrics.clone(),
            };
            others.spawn(identity.keep());
            for kind in &followed {
                let (Some(cache), Some(sender)) = (cluster.cache(kind), channels.get(kind)) else {
                    continue;
                };
                let listener = listener(name.clone(), sender.clone());
                let members = cluster.members.clone();
                others.spawn(Follower::new(members, kind, cache.clone(), listener).run());
            }
        }
        others.spawn(look(clusters, followed, metrics.clone()));
        Self {
            mirrors,
            others,
            stop,
        }
    }

    /// Finishes what is being done and begins nothing more.
    pub(crate) async fn finish(mut self) {
        // Without anybody who listens there is nothing to finish.
        let _ = self.stop.send(true);
        while self.mirrors.join_next().await.is_some() {}
    }

    /// Returns when something has ended that should not.
    pub(crate) async fn ended(&mut self) {
        let ended = tokio::select! {
            ended = self.mirrors.join_next() => ended,
            ended = self.others.join_next() => ended,
        };
        match ended {
            Some(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "a part of the operator has failed"
            ),
            _ => tracing::error!("a part of the operator has ended"),
        }
    }
}

fn listener(cluster: String, sender: Sender) -> Listener {
    Box::new(move |changed| {
        // Who does not listen any more is about to end.
        let _ = sender.send((cluster.clone(), changed));
    })
}

fn events(
    client: &Client,
    clusters: &Clusters,
    indexes: HashMap<&'static str, Arc<Index>>,
    metrics: &Arc<Metrics>,
    told: Changes,
) -> impl Future<Output = ()> + use<> {
    let caches: HashMap<String, Arc<Cache>> = clusters
        .iter()
        .filter_map(|(name, cluster)| Some((name.clone(), cluster.cache(EVENT)?.clone())))
        .collect();
    let events = Events {
        api: Api::namespaced(client.clone(), NAMESPACE),
        metrics: metrics.clone(),
        caches,
        indexes,
        told: HashMap::new(),
    };
    events.keep(told)
}

/// Notes whether the clusters answer.
async fn look(clusters: Arc<Clusters>, kinds: Vec<&'static str>, metrics: Arc<Metrics>) {
    loop {
        for (name, cluster) in clusters.iter() {
            let followed = kinds
                .iter()
                .filter_map(|kind| cluster.cache(kind))
                .all(|cache| cache.phase() == Phase::Following);
            metrics.connected(name, followed);
        }
        tokio::time::sleep(LOOK).await;
    }
}
