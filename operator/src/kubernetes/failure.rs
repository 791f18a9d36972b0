//! Why work on an object is put off.

use thiserror::Error;

use crate::cluster::CallError;

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
