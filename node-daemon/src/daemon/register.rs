use super::backoff::Backoff;
use super::{DaemonError, Environment, Stop};
use crate::link::LinkError;
use crate::plan::Remembered;
use quorate_proto::heartbeat::KEY_LENGTH;
use quorate_proto::host::v1::{RegisterReply, RegisterRequest};
use std::time::Duration;
use tokio::sync::watch;

/// What a registration brought.
pub(super) struct Registered {
    pub(super) remembered: Remembered,
    pub(super) reply: RegisterReply,
    pub(super) key: [u8; KEY_LENGTH],
}

/// Asks until the cluster takes this host. None: the daemon is to stop first.
pub(super) async fn register(
    environment: &Environment,
    stop: &mut watch::Receiver<Stop>,
) -> Result<Option<Registered>, DaemonError> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop != Stop::No) => Ok(None),
        registered = until_taken(environment) => registered.map(Some),
    }
}

async fn until_taken(environment: &Environment) -> Result<Registered, DaemonError> {
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
    let boot_id = loop {
        match environment.drivers.facts.boot_id().await {
            Ok(boot_id) => break boot_id,
            Err(error) => tracing::warn!(%error, "the boot id cannot be read"),
        }
        tokio::time::sleep(backoff.wait()).await;
    };
    let remembered = environment
        .memory
        .load()
        .await
        .map_err(DaemonError::Memory)?;
    // What another boot remembered says nothing about this one.
    let mut remembered = remembered
        .filter(|remembered| remembered.boot_id == boot_id)
        .unwrap_or_else(|| Remembered {
            boot_id,
            ..Remembered::default()
        });
    backoff.reset();
    loop {
        let facts = super::facts::HostReport::look(environment).await;
        let request = RegisterRequest {
            boot_id: remembered.boot_id.clone(),
            incarnation: remembered.incarnation,
            feature_level: quorate_proto::FEATURE_LEVEL,
            facts: facts.map(|facts| facts.json().into()).unwrap_or_default(),
        };
        match environment.link.register(request).await {
            Ok(reply) => {
                let Ok(key) = <[u8; KEY_LENGTH]>::try_from(reply.heartbeat_key.as_ref()) else {
                    return Err(DaemonError::NotTaken(LinkError::Refused {
                        message: format!(
                            "its heartbeat key has {} bytes, not {KEY_LENGTH}",
                            reply.heartbeat_key.len()
                        ),
                    }));
                };
                if remembered.incarnation != reply.incarnation {
                    // What an earlier incarnation saw was planned for that one.
                    remembered.incarnation = reply.incarnation;
                    remembered.generation = 0;
                    remembered.term = 0;
                }
                environment
                    .memory
                    .save(&remembered)
                    .await
                    .map_err(DaemonError::Memory)?;
                return Ok(Registered {
                    remembered,
                    reply,
                    key,
                });
            }
            Err(error @ (LinkError::Refused { .. } | LinkError::IncarnationOver { .. })) => {
                return Err(DaemonError::NotTaken(error));
            }
            Err(error) => tracing::info!(
                error = &error as &dyn std::error::Error,
                "not registered yet"
            ),
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}
