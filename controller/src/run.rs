//! `quorated run`: a member under systemd, or under whatever else starts and stops it.

use std::{path::Path, time::Duration};

use rustix::process::{Signal, set_parent_process_death_signal};
use sd_notify::NotifyState;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{self, ConfigError},
    member::{RunningMember, StartError, Tuning},
};

/// Set by `quorated dev` for its children: a member that belongs to a development cluster ends with it.
pub(crate) const END_WITH_PARENT: &str = "QUORATED_END_WITH_PARENT";

/// Why a member does not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Runs the member of this configuration until it is asked to stop.
pub async fn run(config: &Path) -> Result<(), RunError> {
    let system = |what| move |source| RunError::System { what, source };
    if std::env::var_os(END_WITH_PARENT).is_some() {
        set_parent_process_death_signal(Some(Signal::TERM))
            .map_err(|error| system("cannot tie this process to its parent")(error.into()))?;
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(system("cannot take signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("cannot take signals"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system("cannot take signals"))?;

    let config = config::load(config)?;
    let member = RunningMember::start(&config, Tuning::default()).await?;
    tracing::info!(
        member = member.id(),
        name = config.name,
        addresses = ?member.addresses(),
        version = env!("CARGO_PKG_VERSION"),
        "the member runs"
    );
    tell_systemd(&[NotifyState::Ready]);
    let watchdog = tokio::spawn(feed_watchdog());

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match member.reload_credentials() {
                Ok(()) => tracing::info!("the member's certificate was read anew"),
                Err(error) => tracing::warn!(%error, "the member's certificate was not read anew; the one in use stays"),
            },
        }
    }
    tracing::info!("stopping");
    tell_systemd(&[NotifyState::Stopping]);
    watchdog.abort();
    member.stop().await;
    Ok(())
}

/// Tells systemd that the runtime still turns, if it wants to know.
async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    loop {
        beat.tick().await;
        tell_systemd(&[NotifyState::Watchdog]);
    }
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}
