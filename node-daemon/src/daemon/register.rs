use super::backoff::Backoff;
use super::reporting::number;
use super::{DaemonError, Environment, Stop};
use crate::link::LinkError;
use crate::plan::{MemoryError, Remembered};
use quorate_proto::heartbeat::KEY_LENGTH;
use quorate_proto::host::v1::{RegisterReply, RegisterRequest};
use std::error::Error;
use std::time::Duration;
use tokio::sync::watch;

/// How long a host that was refused waits before it asks again.
const REFUSED: Duration = Duration::from_secs(30);

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
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "the boot id cannot be read")
            }
        }
        tokio::time::sleep(backoff.wait()).await;
    };
    let remembered = loop {
        match environment.memory.load().await {
            Ok(remembered) => break remembered,
            Err(error @ MemoryError::Damaged { .. }) => return Err(DaemonError::Memory(error)),
            Err(error) => tracing::warn!(
                error = &error as &dyn Error,
                "what this host remembers cannot be read yet"
            ),
        }
        tokio::time::sleep(backoff.wait()).await;
    };
    // What another boot remembered says nothing about this one.
    let remembered = remembered
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
            number: number(environment.boot_clock.now()),
        };
        let wait = match environment.link.register(request).await {
            Ok(reply) => match taken(environment, &remembered, &reply).await {
                Ok((remembered, key)) => {
                    return Ok(Registered {
                        remembered,
                        reply,
                        key,
                    });
                }
                Err(why) => {
                    tracing::error!(why, "registered in vain");
                    backoff.wait()
                }
            },
            // A person has to act. What runs, runs on meanwhile.
            Err(error @ (LinkError::Refused { .. } | LinkError::IncarnationOver { .. })) => {
                tracing::error!(
                    error = &error as &dyn Error,
                    "the cluster does not take this host"
                );
                REFUSED
            }
            Err(error) => {
                tracing::info!(error = &error as &dyn Error, "not registered yet");
                backoff.wait()
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Remembers what was granted before anything is done with it.
async fn taken(
    environment: &Environment,
    remembered: &Remembered,
    reply: &RegisterReply,
) -> Result<(Remembered, [u8; KEY_LENGTH]), String> {
    let key = <[u8; KEY_LENGTH]>::try_from(reply.heartbeat_key.as_ref()).map_err(|_| {
        format!(
            "the heartbeat key has {} bytes, not {KEY_LENGTH}: the cluster is of another release",
            reply.heartbeat_key.len()
        )
    })?;
    let mut remembered = remembered.clone();
    if remembered.incarnation != reply.incarnation {
        // What an earlier incarnation saw was planned for that one.
        remembered.incarnation = reply.incarnation;
        remembered.generation = 0;
        remembered.term = 0;
    }
    match environment.memory.save(&remembered).await {
        Ok(()) => Ok((remembered, key)),
        Err(error) => Err(quorate_program::chain(&error)),
    }
}
