//! The room's process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use quorate_crds::manifest::{Limits, parse};
use quorate_node_daemon::simulated::room::{MachineRoom, Settings};
use quorate_node_daemon::simulated::{LocalRoom, layout_of, serve};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::init::Init;

/// Set by `quorated dev` for its children.
const END_WITH_PARENT: &str = "QUORATED_END_WITH_PARENT";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A directory with the manifests of the hosts, their fence devices and disks; may be given several times
    #[arg(long, value_name = "DIR", required = true)]
    manifests: Vec<PathBuf>,
    /// Where the room's socket and its hosts' files are
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// How long a machine takes to boot, in seconds
    #[arg(long, default_value_t = 5)]
    boot_seconds: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if std::env::var_os(END_WITH_PARENT).is_some() {
        set_parent_process_death_signal(Some(Signal::TERM))
            .map_err(|error| format!("cannot tie this process to its parent: {error}"))?;
    }
    let mut objects = Vec::new();
    for directory in &arguments.manifests {
        objects.extend(read(directory)?);
    }
    let layout = layout_of(&objects);
    if layout.machines.is_empty() {
        return Err("the manifests hold no Node, so that the room would be empty".to_owned());
    }
    let settings = Settings {
        boot_time: Duration::from_secs(arguments.boot_seconds),
        ..Settings::default()
    };
    let names: Vec<String> = layout
        .machines
        .iter()
        .map(|machine| machine.name.clone())
        .collect();
    tracing::warn!(machines = ?names, "SIMULATED: these machines, their disks and guests do not exist");
    let seed = std::process::id();
    let room = LocalRoom::new(MachineRoom::new(layout, settings, seed));
    let socket = arguments.home.join("room.socket");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())
            .map_err(|error| format!("cannot take signals: {error}"))?;
        let mut init = Init::new(room.clone(), &arguments.home, names);
        let _ = std::fs::remove_file(&socket);
        let ended = tokio::select! {
            biased;
            _ = terminate.recv() => Ok(()),
            ended = serve(room, &socket) => {
                ended.map_err(|error| format!("cannot serve {}: {error}", socket.display()))
            }
            ended = init.run() => ended,
        };
        init.end().await;
        ended.map(|()| ExitCode::SUCCESS)
    })
}

fn read(directory: &Path) -> Result<Vec<Value>, String> {
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        format!("cannot read {}: {error}", path.display())
    };
    let listed = std::fs::read_dir(directory).map_err(|error| cannot(directory, &error))?;
    let mut files: Vec<PathBuf> = listed
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let bytes = std::fs::read(&file).map_err(|error| cannot(&file, &error))?;
        objects.extend(parse(&bytes, &Limits::default()).map_err(|error| cannot(&file, &error))?);
    }
    Ok(objects)
}
