//! `quorate-lease`: keeps this host's lease and watchdog while everything else is restarted.

use clap::Parser;
use quorate_node_daemon::drivers::Watchdog;
use quorate_node_daemon::lease::process::{self, LeaseError, LeaseOptions};
use quorate_node_daemon::lease::{DeviceWatchdog, NoWatchdog};
use quorate_node_daemon::node::{ConfigError, NodeConfig};
use sd_notify::NotifyState;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Debug, Parser)]
#[command(
    name = "quorate-lease",
    version,
    about = "Keeps this host's lease and watchdog"
)]
struct Arguments {
    /// The host's configuration, as `quorate join` wrote it
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/quorate/node/node.yaml"
    )]
    config: PathBuf,
    /// Do not lock the memory; then the host may look dead while it swaps
    #[arg(long)]
    no_lock: bool,
    /// Write the log as JSON, one object per line
    #[arg(long)]
    log_json: bool,
}

#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error("the watchdog cannot be used")]
    Watchdog(#[source] io::Error),
    #[error("{0}")]
    System(&'static str, #[source] io::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    quorate_program::begin(arguments.log_json, "info");
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-lease: {}", quorate_program::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = NodeConfig::load(&arguments.config)?;
    let boot_id = std::fs::read_to_string(BOOT_ID)
        .map_err(|error| Failure::System("the boot id cannot be read", error))?;
    let found = config.find_watchdog().map_err(Failure::Watchdog)?;
    let mut watchdog: Box<dyn Watchdog> = match found {
        Some(found) => Box::new(DeviceWatchdog::new(found)),
        None => Box::new(NoWatchdog::default()),
    };
    let options = LeaseOptions {
        run_dir: config.run_dir,
        boot_id: boot_id.trim().to_owned(),
        lock_memory: !arguments.no_lock,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::System("cannot start the runtime", error))?;
    runtime.block_on(async {
        let signals = |error| Failure::System("cannot take signals", error);
        let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("asked to stop");
        };
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
            tracing::debug!(%error, "systemd was not told");
        }
        process::run(&options, &mut *watchdog, stop).await?;
        Ok(())
    })
}
