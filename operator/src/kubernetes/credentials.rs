//! Who the operator is in a cluster: a certificate in a Secret of the operator's namespace, renewed before it expires.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use quorate_identity::{
    Credentials, CredentialsError, Dates, KeyError, KeyRequest, LiveCredentials, SystemClock,
    Trust, TrustError,
};
use rustls::ClientConfig;
use serde_json::json;
use thiserror::Error;

use crate::{
    cluster::{CallError, Members},
    metrics::{Metrics, Side},
    sync::FIELD_MANAGER,
};

/// How often the Secret is looked at: somebody may have put another certificate there.
const LOOK: Duration = Duration::from_secs(60);
/// How soon after a failure.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

const AUTHORITY: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Why there are no credentials.
#[derive(Debug, Error)]
enum IdentityError {
    #[error("the kube-apiserver does not give out the Secret {secret:?}")]
    Unreadable {
        secret: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("there is no Secret {secret:?} in the operator's namespace")]
    Missing { secret: String },
    #[error("the Secret {secret:?} has no {key:?}")]
    Incomplete { secret: String, key: &'static str },
    #[error(transparent)]
    Unusable(#[from] CredentialsError),
    #[error(transparent)]
    Distrust(#[from] TrustError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the cluster does not renew the certificate")]
    NotRenewed(#[from] CallError),
    #[error("the new certificate cannot be kept in the Secret {secret:?}")]
    Unkept {
        secret: String,
        #[source]
        source: Box<kube::Error>,
    },
}

/// Keeps the operator's identity in one cluster.
pub(super) struct Identity {
    pub(super) api: Api<Secret>,
    pub(super) secret: String,
    pub(super) cluster: String,
    pub(super) members: Arc<Members>,
    pub(super) metrics: Arc<Metrics>,
}

/// What was read.
struct Read {
    version: Option<String>,
    own: Credentials,
    tls: Arc<ClientConfig>,
}

impl Identity {
    /// Reads the Secret now and then, and renews what is in it, until it is dropped.
    pub(super) async fn keep(self) {
        let mut version = None;
        loop {
            let pause = match self.read().await {
                Ok(read) => {
                    let peer = read.own.peer();
                    self.metrics
                        .certificate(&self.cluster, peer.not_after.as_second());
                    if version != Some(read.version.clone()) {
                        self.members.identify(Ok(read.tls)).await;
                        version = Some(read.version);
                    }
                    if Timestamp::now() >= read.own.renew_at()
                        && let Err(error) = self.renew().await
                    {
                        tracing::warn!(
                            cluster = self.cluster,
                            error = &error as &dyn std::error::Error,
                            "the certificate is not renewed yet"
                        );
                    }
                    LOOK
                }
                Err(error) => {
                    tracing::warn!(
                        cluster = self.cluster,
                        error = &error as &dyn std::error::Error,
                        "no credentials"
                    );
                    // What was read before may still do.
                    if version.is_none() {
                        self.members.identify(Err(error.to_string())).await;
                    }
                    LOOK_AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn read(&self) -> Result<Read, IdentityError> {
        let secret = self.secret.clone();
        let found = self
            .api
            .get_opt(&self.secret)
            .await
            .map_err(|source| IdentityError::Unreadable {
                secret: secret.clone(),
                source: Box::new(source),
            })?
            .ok_or_else(|| IdentityError::Missing {
                secret: secret.clone(),
            })?;
        let data = found.data.unwrap_or_default();
        let text = |key: &'static str| {
            data.get(key)
                .and_then(|ByteString(bytes)| String::from_utf8(bytes.clone()).ok())
                .ok_or_else(|| IdentityError::Incomplete {
                    secret: secret.clone(),
                    key,
                })
        };
        let own = Credentials::from_pem(&text(CERTIFICATE)?, &text(KEY)?)?;
        let trust = Trust::from_pem(&text(AUTHORITY)?, Arc::new(SystemClock))?;
        let tls = trust.client_config(Some(LiveCredentials::new(own.clone())), Dates::Checked)?;
        Ok(Read {
            version: found.metadata.resource_version,
            own,
            tls: Arc::new(tls),
        })
    }

    /// The next look finds what this writes.
    async fn renew(&self) -> Result<(), IdentityError> {
        let key = KeyRequest::generate()?;
        let (certificate, authority) = self.members.renew(key.request()).await?;
        // What cannot be used is not kept.
        Credentials::from_pem(&certificate, key.key())?;
        let mut values = json!({CERTIFICATE: certificate, KEY: key.key()});
        if !authority.is_empty() {
            values[AUTHORITY] = authority.into();
        }
        let patch = Patch::Merge(json!({"stringData": values}));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.api
            .patch(&self.secret, &params, &patch)
            .await
            .map_err(|source| IdentityError::Unkept {
                secret: self.secret.clone(),
                source: Box::new(source),
            })?;
        self.metrics.wrote(Side::Kubernetes, "Secret", "patch");
        tracing::info!(cluster = self.cluster, "the certificate was renewed");
        Ok(())
    }
}
