use std::{
    collections::BTreeMap, ffi::OsString, fs::File, path::PathBuf, process::Stdio, time::Duration,
};

use futures_util::future::select_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{DevError, site::write};
use crate::run::END_WITH_PARENT;

/// A process that was killed stays away for this long, so that its absence can be seen.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a process may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// One of the cluster's processes.
pub(super) struct Program {
    /// What people call it.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Whether it finds again what it had when it is started once more.
    pub(super) comes_back: bool,
    pub(super) log: PathBuf,
    pub(super) pid: PathBuf,
}

impl Program {
    fn command_line(&self) -> String {
        let words = [self.path.as_os_str()]
            .into_iter()
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .map(|word| word.to_string_lossy().into_owned());
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The cluster's processes.
pub(super) struct Processes {
    restart: bool,
    running: BTreeMap<String, Running>,
}

struct Running {
    program: Program,
    child: Child,
}

impl Processes {
    pub(super) fn new(restart: bool) -> Self {
        Self {
            restart,
            running: BTreeMap::new(),
        }
    }

    pub(super) fn start(&mut self, program: Program) -> Result<(), DevError> {
        let child = spawn(&program)?;
        self.running
            .insert(program.name.clone(), Running { program, child });
        Ok(())
    }

    /// Says when a process has ended, and starts it again if that was asked for. Returns when none is left.
    pub(super) async fn watch_over(&mut self) {
        while !self.running.is_empty() {
            let waiting = self.running.iter_mut().map(|(name, running)| {
                let name = name.clone();
                Box::pin(async move { (name, running.child.wait().await) })
            });
            let ((name, ended), _, _) = select_all(waiting).await;
            let Some(mut running) = self.running.remove(&name) else {
                continue;
            };
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            if !running.program.comes_back {
                println!("{name} ended ({how}), and everything in it is lost; start a new cluster");
                continue;
            }
            if !self.restart {
                println!(
                    "{name} ended ({how}); the others go on; start it again with: {}",
                    running.program.command_line()
                );
                continue;
            }
            println!("{name} ended ({how}); it is started again");
            tokio::time::sleep(PAUSE).await;
            match spawn(&running.program) {
                Ok(child) => {
                    running.child = child;
                    self.running.insert(name, running);
                }
                Err(error) => println!("{name} was not started again: {error}"),
            }
        }
    }

    /// Asks all processes to stop and waits for them.
    pub(super) async fn stop(&mut self) -> Result<(), DevError> {
        for running in self.running.values() {
            let pid = running
                .child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // An error says that it has ended by itself.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        for (name, mut running) in std::mem::take(&mut self.running) {
            if tokio::time::timeout(PATIENCE, running.child.wait())
                .await
                .is_err()
            {
                println!("{name} does not stop, it is killed");
                running
                    .child
                    .kill()
                    .await
                    .map_err(DevError::io(format!("cannot kill {name}")))?;
            }
        }
        Ok(())
    }
}

fn spawn(program: &Program) -> Result<Child, DevError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(&program.log)
        .map_err(DevError::io(format!(
            "cannot write {}",
            program.log.display()
        )))?;
    let errors = log
        .try_clone()
        .map_err(DevError::io("cannot write the log"))?;
    let child = Command::new(&program.path)
        .args(&program.arguments)
        .env(END_WITH_PARENT, "1")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(DevError::io(format!(
            "cannot start {}: {}",
            program.name,
            program.path.display()
        )))?;
    if let Some(id) = child.id() {
        write(&program.pid, &format!("{id}\n"))?;
    }
    Ok(child)
}
