//! What runs on each machine that is up: the lease process and the daemon, started again when they end, as systemd would.
//!
//! A machine that loses its power falls silent: its processes are stopped where they are, so that nobody sees a connection
//! being closed, and killed before the next boot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use quorate_node_daemon::simulated::LocalRoom;
use quorate_node_daemon::simulated::room::Kernel;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long systemd would wait before it starts a process again.
const RESTART_AFTER: Duration = Duration::from_millis(500);
/// The lease process first: the daemon asks it.
const PROCESSES: [&str; 2] = ["lease", "node"];

pub(crate) struct Init {
    room: LocalRoom,
    home: PathBuf,
    machines: BTreeMap<String, Machine>,
}

#[derive(Default)]
struct Machine {
    boot: Option<String>,
    silent: bool,
    processes: BTreeMap<&'static str, Child>,
    start_at: BTreeMap<&'static str, Instant>,
}

impl Init {
    pub(crate) fn new(room: LocalRoom, home: &Path, names: Vec<String>) -> Self {
        Self {
            room,
            home: home.to_owned(),
            machines: names
                .into_iter()
                .map(|name| (name, Machine::default()))
                .collect(),
        }
    }

    pub(crate) async fn run(&mut self) -> Result<(), String> {
        loop {
            let truth = self.room.lock().truth();
            for (name, machine) in &mut self.machines {
                let Some(known) = truth.machines.get(name) else {
                    continue;
                };
                let directory = self.home.join("hosts").join(name);
                // It is set up by whoever lets the host join.
                if !directory.join("node.yaml").exists() {
                    continue;
                }
                if known.kernel != Kernel::Running {
                    machine.fall_silent();
                } else if machine.boot.as_ref() != Some(&known.boot_id) {
                    machine.kill().await;
                    empty(&directory.join("run"))?;
                    machine.boot = Some(known.boot_id.clone());
                }
                if known.kernel == Kernel::Running {
                    machine.keep_up(name, &directory, &self.home.join("room.socket"))?;
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn end(&mut self) {
        for machine in self.machines.values_mut() {
            machine.kill().await;
        }
    }
}

impl Machine {
    fn fall_silent(&mut self) {
        if std::mem::replace(&mut self.silent, true) {
            return;
        }
        for child in self.processes.values() {
            if let Some(pid) = pid(child) {
                // One that has just ended is silent too.
                let _ = kill_process(pid, Signal::STOP);
            }
        }
    }

    async fn kill(&mut self) {
        for (_, mut child) in std::mem::take(&mut self.processes) {
            // One that has just ended needs no killing.
            let _ = child.kill().await;
        }
        self.start_at.clear();
        self.silent = false;
    }

    fn keep_up(&mut self, name: &str, directory: &Path, socket: &Path) -> Result<(), String> {
        for process in PROCESSES {
            let ended = self
                .processes
                .get_mut(process)
                .map(|child| child.try_wait().ok().flatten().map(|how| how.to_string()));
            match ended {
                Some(None) => continue,
                Some(Some(how)) => {
                    tracing::info!(
                        "{process} process of {name} ended ({how}); it is started again"
                    );
                    self.processes.remove(process);
                    self.start_at
                        .insert(process, Instant::now() + RESTART_AFTER);
                }
                None => {}
            }
            let due = self
                .start_at
                .get(process)
                .is_none_or(|at| *at <= Instant::now());
            if due {
                let child = start(process, name, directory, socket).map_err(|error| {
                    format!("cannot start the {process} process of {name}: {error}")
                })?;
                self.processes.insert(process, child);
            }
        }
        Ok(())
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()?).ok().and_then(Pid::from_raw)
}

fn start(process: &str, name: &str, directory: &Path, socket: &Path) -> std::io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join(format!("{process}.log")))?;
    let child = Command::new(std::env::current_exe()?)
        .arg(process)
        .arg("--machine")
        .arg(name)
        .arg("--dir")
        .arg(directory)
        .arg("--room")
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .process_group(0)
        .spawn()?;
    if let Some(id) = child.id() {
        fs::write(directory.join(format!("{process}.pid")), format!("{id}\n"))?;
    }
    Ok(child)
}

/// `/run` of a machine that boots is empty.
fn empty(run: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot empty {}: {error}", run.display());
    if run.exists() {
        fs::remove_dir_all(run).map_err(cannot)?;
    }
    fs::create_dir_all(run).map_err(cannot)
}
