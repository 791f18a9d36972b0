//! Carries the Secrets that objects refer to into the clusters.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use quorate_crds::{KindInfo, references};
use serde_json::Value;

use crate::{
    cluster::{CallError, Members},
    metrics::{Metrics, Side},
    sync::{SecretStep, secret},
};

/// The Secrets of the operator's namespace.
pub(super) struct Secrets {
    pub(super) api: Api<Secret>,
    pub(super) metrics: Arc<Metrics>,
}

impl Secrets {
    /// Whether an object refers to any.
    pub(super) fn refers(info: &KindInfo, object: &Value) -> bool {
        !names(info, object).is_empty()
    }

    /// Carries those that `object` refers to into a cluster, where that has not been done yet.
    pub(super) async fn carry(
        &self,
        info: &KindInfo,
        object: &Value,
        cluster: &str,
        members: &Members,
    ) -> Result<(), CallError> {
        for name in names(info, object) {
            let source = self.api.get_opt(&name).await.map_err(|error| {
                tracing::warn!(
                    secret = name,
                    error = &error as &dyn std::error::Error,
                    "a Secret cannot be read"
                );
                CallError::Unavailable {
                    message: format!("the kube-apiserver does not give out the Secret {name:?}"),
                }
            })?;
            let source = source.and_then(|source| serde_json::to_value(source).ok());
            if source.is_none() {
                continue;
            }
            let live = members.get("Secret", &name).await?;
            match secret(&name, source.as_ref(), live.as_ref()) {
                SecretStep::Nothing => {}
                SecretStep::NotAllowed(message) => {
                    return Err(CallError::Refused {
                        reason: "SecretNotAllowed".to_owned(),
                        message,
                    });
                }
                SecretStep::Apply(config) => {
                    if members.apply(&config).await?.written {
                        self.metrics.wrote(Side::Cluster, "Secret", "apply");
                        tracing::info!(secret = name, cluster, "a Secret was carried over");
                    }
                }
            }
        }
        Ok(())
    }
}

fn names(info: &KindInfo, object: &Value) -> Vec<String> {
    let mut names: Vec<String> = references::of(info.kind, object)
        .into_iter()
        .filter(|reference| reference.kind == "Secret")
        .map(|reference| reference.name)
        .collect();
    names.sort();
    names.dedup();
    names
}
