//! All clusters of the configuration, with what is known of their objects.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    cluster::{Cache, Members},
    config::Config,
    sync::Target,
};

/// All clusters.
#[derive(Debug)]
pub(super) struct Clusters {
    all: BTreeMap<String, Cluster>,
    default_cluster: Option<String>,
}

/// One cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Its members.
    pub(super) members: Arc<Members>,
    /// The Secret with the operator's credentials there.
    pub(super) credentials_secret: String,
    caches: HashMap<&'static str, Arc<Cache>>,
}

impl Clusters {
    /// As configured, nothing being known of them.
    #[must_use]
    pub(super) fn new(config: &Config, kinds: &[&'static str]) -> Self {
        let all = config.clusters.iter().map(|cluster| {
            let caches = kinds.iter().map(|kind| (*kind, Arc::default())).collect();
            let known = Cluster {
                members: Arc::new(Members::new(cluster.endpoints.clone())),
                credentials_secret: cluster.credentials_secret.clone(),
                caches,
            };
            (cluster.name.clone(), known)
        });
        Self {
            all: all.collect(),
            default_cluster: config.default_cluster().map(ToOwned::to_owned),
        }
    }

    /// The cluster of objects that name none.
    #[must_use]
    pub(super) fn default_cluster(&self) -> Option<&str> {
        self.default_cluster.as_deref()
    }

    /// One of them.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&Cluster> {
        self.all.get(name)
    }

    /// All of them, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Cluster)> {
        self.all.iter()
    }

    /// Where an object wants to be, when that is one of the clusters; otherwise what to do.
    pub(super) fn checked<'a>(&self, wanted: Option<&'a Target>) -> Result<&'a Target, String> {
        let names: Vec<&str> = self.all.keys().map(String::as_str).collect();
        let names = names.join(", ");
        match wanted {
            None => Err(format!(
                "it says for no cluster, and none is the default: set its label {} to one of {names}",
                crate::sync::CLUSTER_LABEL
            )),
            Some(target) if !self.all.contains_key(&target.cluster) => Err(format!(
                "the operator knows no cluster {:?}; it knows {names}",
                target.cluster
            )),
            Some(target) => Ok(target),
        }
    }
}

impl Cluster {
    /// What is known of the objects of a kind.
    #[must_use]
    pub(super) fn cache(&self, kind: &str) -> Option<&Arc<Cache>> {
        self.caches.get(kind)
    }
}
