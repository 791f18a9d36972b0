use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use futures_util::future::select_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{DevError, site::Site};
use crate::run::END_WITH_PARENT;

/// A member that was killed stays away for this long, so that its absence can be seen.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a member may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The members' processes.
pub(super) struct Processes {
    restart: bool,
    running: BTreeMap<String, Member>,
}

struct Member {
    config: PathBuf,
    log: PathBuf,
    pid: PathBuf,
    child: Child,
}

impl Processes {
    pub(super) fn new(restart: bool) -> Self {
        Self {
            restart,
            running: BTreeMap::new(),
        }
    }

    pub(super) fn start(&mut self, site: &Site) -> Result<(), DevError> {
        let (config, log, pid) = (site.config(), site.log(), site.pid());
        let child = spawn(&config, &log, &pid)?;
        let member = Member {
            config,
            log,
            pid,
            child,
        };
        self.running.insert(site.name.clone(), member);
        Ok(())
    }

    /// Says when a member has ended, and starts it again if that was asked for. Returns when none is left.
    pub(super) async fn watch_over(&mut self) {
        while !self.running.is_empty() {
            let waiting = self.running.iter_mut().map(|(name, member)| {
                let name = name.clone();
                Box::pin(async move { (name, member.child.wait().await) })
            });
            let ((name, ended), _, _) = select_all(waiting).await;
            let Some(mut member) = self.running.remove(&name) else {
                continue;
            };
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            if !self.restart {
                println!(
                    "member {name} ended ({how}); the others go on; start it again with: quorated run --config {}",
                    member.config.display()
                );
                continue;
            }
            println!("member {name} ended ({how}); it is started again");
            tokio::time::sleep(PAUSE).await;
            match spawn(&member.config, &member.log, &member.pid) {
                Ok(child) => {
                    member.child = child;
                    self.running.insert(name, member);
                }
                Err(error) => println!("member {name} was not started again: {error}"),
            }
        }
    }

    /// Asks all members to stop and waits for them.
    pub(super) async fn stop(&mut self) -> Result<(), DevError> {
        for member in self.running.values() {
            let pid = member
                .child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // An error says that it has ended by itself.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        for (name, mut member) in std::mem::take(&mut self.running) {
            if tokio::time::timeout(PATIENCE, member.child.wait())
                .await
                .is_err()
            {
                println!("member {name} does not stop, it is killed");
                member
                    .child
                    .kill()
                    .await
                    .map_err(DevError::io(format!("cannot kill member {name}")))?;
            }
        }
        Ok(())
    }
}

fn spawn(config: &PathBuf, log: &PathBuf, pid: &PathBuf) -> Result<Child, DevError> {
    let program = std::env::current_exe().map_err(DevError::io("cannot find this program"))?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(DevError::io(format!("cannot write {}", log.display())))?;
    let errors = log
        .try_clone()
        .map_err(DevError::io("cannot write the log"))?;
    let child = Command::new(program)
        .arg("run")
        .arg("--config")
        .arg(config)
        .env(END_WITH_PARENT, "1")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(DevError::io("cannot start a member"))?;
    if let Some(id) = child.id() {
        fs::write(pid, format!("{id}\n"))
            .map_err(DevError::io(format!("cannot write {}", pid.display())))?;
    }
    Ok(child)
}
