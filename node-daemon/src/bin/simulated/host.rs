//! The daemon and the lease process of a simulated host: those of a real one, with the drivers of the room.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use quorate_node_daemon::daemon::Stop;
use quorate_node_daemon::drivers::Watchdog;
use quorate_node_daemon::lease::process::{self, LeaseOptions};
use quorate_node_daemon::node::{Node, NodeConfig};
use quorate_node_daemon::simulated::{Room, RoomWatchdog, SocketRoom, drivers};
use quorate_program::chain;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The machine of the room
    #[arg(long)]
    machine: String,
    /// Where the host's configuration and certificate are
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The room's socket
    #[arg(long)]
    room: PathBuf,
}

impl Arguments {
    fn config(&self) -> Result<NodeConfig, String> {
        NodeConfig::load(&self.dir.join("node.yaml")).map_err(|error| chain(&error))
    }

    fn room(&self) -> Arc<dyn Room> {
        Arc::new(SocketRoom::new(&self.room))
    }
}

/// A host's processes end with the room, however it ends.
fn begin() -> Result<tokio::runtime::Runtime, String> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot tie this process to the room: {error}"))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))
}

async fn asked_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "signals cannot be taken, so only killing ends this process");
            std::future::pending().await
        }
    }
}

pub(crate) fn run_node(arguments: &Arguments) -> Result<ExitCode, String> {
    let runtime = begin()?;
    runtime.block_on(async {
        tracing::warn!(
            machine = arguments.machine,
            "SIMULATED: the daemon of a machine that does not exist"
        );
        let room = arguments.room();
        let watchdog = RoomWatchdog::new(room.clone(), &arguments.machine);
        let node = Node::new(arguments.config()?).map_err(|error| chain(&error))?;
        let (stop, stopped) = watch::channel(Stop::No);
        tokio::spawn(async move {
            asked_to_stop().await;
            let _ = stop.send(Stop::Restart);
        });
        node.run(
            drivers(room, &arguments.machine),
            Some(watchdog.found().clone()),
            stopped,
        )
        .await
        .map(|_| ExitCode::SUCCESS)
        .map_err(|error| chain(&error))
    })
}

pub(crate) fn run_lease(arguments: &Arguments) -> Result<ExitCode, String> {
    let runtime = begin()?;
    runtime.block_on(async {
        let room = arguments.room();
        let facts = drivers(room.clone(), &arguments.machine).facts;
        let boot_id = facts.boot_id().await.map_err(|error| chain(&error))?;
        let options = LeaseOptions {
            run_dir: arguments.config()?.run_dir,
            boot_id,
            // All hosts of the room share this machine's memory with everything else on it.
            lock_memory: false,
        };
        let mut watchdog = RoomWatchdog::new(room, &arguments.machine);
        process::run(&options, &mut watchdog, asked_to_stop())
            .await
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| chain(&error))
    })
}
