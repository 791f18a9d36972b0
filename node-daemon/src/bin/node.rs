//! `quorate-node`: makes this host match its plan.

use clap::Parser;
use quorate_node_daemon::daemon::{Outcome, Stop};
use quorate_node_daemon::drivers;
use quorate_node_daemon::node::{Node, NodeConfig, NodeError};
use sd_notify::NotifyState;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[derive(Debug, Parser)]
#[command(
    name = "quorate-node",
    version,
    about = "Makes this host match its plan"
)]
struct Arguments {
    /// The host's configuration, as `quorate join` wrote it
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/quorate/node/node.yaml"
    )]
    config: PathBuf,
    /// Only say whether the configuration, the certificate and the watchdog can be used
    #[arg(long)]
    check: bool,
    /// Write the log as JSON, one object per line
    #[arg(long)]
    log_json: bool,
}

#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the watchdog cannot be used")]
    Watchdog(#[source] io::Error),
    #[error("cannot take signals")]
    Signals(#[source] io::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    quorate_program::begin(arguments.log_json, "info");
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quorate-node: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-node: {}", quorate_program::chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = NodeConfig::load(&arguments.config).map_err(NodeError::from)?;
    let watchdog = config.find_watchdog().map_err(Failure::Watchdog)?;
    let name = config.name.clone();
    let run_dir = config.run_dir.clone();
    let libvirt = config.libvirt.clone();
    let encrypted = libvirt.encrypted;
    let node = Node::new(config)?;
    if arguments.check {
        let dog = watchdog.map_or("none".to_owned(), |watchdog| watchdog.identity);
        println!("host {name} can start; its watchdog: {dog}");
        return Ok(());
    }
    let (stop, stopped) = watch::channel(Stop::No);
    let signals = Signals::take().map_err(Failure::Signals)?;
    tokio::spawn(signals.pass_on(stop));
    tokio::spawn(feed_systemd());
    if encrypted {
        tokio::spawn(node.hypervisor_certificates().keep());
    }
    tracing::info!(
        host = name,
        version = env!("CARGO_PKG_VERSION"),
        "the daemon starts"
    );
    tell_systemd(&[NotifyState::Ready]);
    let drivers = drivers::of_this_host(&run_dir, libvirt);
    let outcome = node.run(drivers, watchdog, stopped).await?;
    tell_systemd(&[NotifyState::Stopping]);
    match outcome {
        Outcome::Stopped => tracing::info!("stopped; everything runs on"),
        Outcome::Left => tracing::info!("the host has left the cluster in order"),
    }
    Ok(())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn pass_on(mut self, stop: watch::Sender<Stop>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            // Who asks twice does not want to wait until the host holds nothing.
            let again = *stop.borrow() != Stop::No;
            let why = if !again && host_stops().await {
                Stop::HostStops
            } else {
                Stop::Restart
            };
            tracing::info!(?why, "asked to stop");
            let _ = stop.send(why);
        }
    }
}

/// Whether the whole machine is going down, and not only this program.
async fn host_stops() -> bool {
    let asked = tokio::process::Command::new("systemctl")
        .arg("is-system-running")
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(Duration::from_secs(5), asked).await {
        Ok(Ok(said)) => said.stdout.trim_ascii() == b"stopping",
        Ok(Err(error)) => {
            tracing::debug!(%error, "no systemd can be asked whether the host stops");
            false
        }
        Err(_) => false,
    }
}

/// Tells systemd that the runtime still turns, if it wants to know.
async fn feed_systemd() {
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
