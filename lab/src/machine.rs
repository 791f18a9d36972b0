//! One host's machine: started from the template, watched until it ends.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, watch};

use crate::agent::{AgentLine, Link};
use crate::description::{Description, Init, host_name};
use crate::error::{LabError, OnFile, explain};
use crate::faults::Faults;
use crate::frame::{Frame, Kind};
use crate::hardware::{Memory, Parts};
use crate::qmp::{QemuEvent, Qmp, connect_when_there};
use crate::request::HostState;
use crate::template::{Template, ignore_memory};
use crate::timeline::Timeline;

/// How often to ask a host that is starting.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// One host of the room, on or off.
pub(crate) struct Machine {
    pub(crate) number: u8,
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    description: Arc<Description>,
    template: Arc<Template>,
    timeline: Timeline,
    state: watch::Sender<HostState>,
    starts: AtomicU32,
    faults: Mutex<Faults>,
    running: tokio::sync::Mutex<Option<Arc<Running>>>,
}

/// A machine that is on.
pub(crate) struct Running {
    pub(crate) qmp: Qmp,
    pub(crate) agent: AgentLine,
    process: Pid,
    kill: Notify,
    /// Counts the resets.
    resets: watch::Sender<u32>,
}

impl Machine {
    pub(crate) fn new(
        number: u8,
        directory: PathBuf,
        description: Arc<Description>,
        template: Arc<Template>,
        timeline: Timeline,
    ) -> Arc<Machine> {
        Arc::new(Machine {
            number,
            name: host_name(number),
            directory,
            faults: Mutex::new(Faults::new(description.data_disks_mib.len())),
            description,
            template,
            timeline,
            state: watch::Sender::new(HostState::Off),
            starts: AtomicU32::new(0),
            running: tokio::sync::Mutex::new(None),
        })
    }

    /// What its system calls itself.
    pub(crate) fn called(&self) -> String {
        self.description.called(self.number)
    }

    /// What it is doing, and every change of that.
    pub(crate) fn state(&self) -> watch::Receiver<HostState> {
        self.state.subscribe()
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> u32 {
        self.starts.load(Ordering::SeqCst)
    }

    /// What is wrong with it.
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running machine.
    pub(crate) async fn running(&self) -> Result<Arc<Running>, LabError> {
        self.running
            .lock()
            .await
            .clone()
            .ok_or_else(|| LabError::NotRunning {
                host: self.name.clone(),
                reason: "its machine is off".to_owned(),
            })
    }

    /// Switches it on; nothing happens when it is on already.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), LabError> {
        let mut slot = self.running.lock().await;
        if slot.is_some() {
            return Ok(());
        }
        self.log("machine", "is switched on");
        self.state.send_replace(HostState::Starting);
        self.starts.fetch_add(1, Ordering::SeqCst);
        match self.launch().await {
            Ok((child, running, events, awake)) => {
                *slot = Some(Arc::clone(&running));
                tokio::spawn(Arc::clone(self).watch_events(Arc::clone(&running), events));
                tokio::spawn(Arc::clone(self).make_itself(Arc::clone(&running), awake));
                tokio::spawn(Arc::clone(self).wait_for_end(child, running));
                Ok(())
            }
            Err(error) => {
                self.state.send_replace(HostState::Off);
                self.log("machine", &format!("cannot start: {}", explain(&error)));
                Err(error)
            }
        }
    }

    /// Takes its power away; what is in memory is lost.
    pub(crate) async fn cut_power(&self) {
        let running = self.running.lock().await.clone();
        if let Some(running) = running {
            running.kill.notify_one();
            let mut state = self.state();
            // The sender lives as long as this host, so that only the condition can end the wait.
            let _ = state.wait_for(|state| *state == HostState::Off).await;
        }
    }

    /// Stops all its processors, or lets them go on.
    pub(crate) async fn freeze(&self, frozen: bool) -> Result<(), LabError> {
        let running = self.running().await?;
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        kill_process(running.process, signal)
            .map_err(std::io::Error::from)
            .on("signal QEMU in", &self.directory)?;
        self.faults().frozen = frozen;
        Ok(())
    }

    pub(crate) fn log(&self, part: &str, text: &str) {
        self.timeline.add(format!("{} {part}", self.name), text);
    }

    async fn launch(
        &self,
    ) -> Result<
        (
            Child,
            Arc<Running>,
            mpsc::UnboundedReceiver<QemuEvent>,
            mpsc::UnboundedReceiver<()>,
        ),
        LabError,
    > {
        for socket in ["qmp.sock", "console.sock", "agent.sock"] {
            let _ = std::fs::remove_file(self.directory.join(socket));
        }
        let template_memory = self.template.memory();
        let (memory, kernel_arguments) = match self.description.init {
            Init::Script => (Memory::Restored(&template_memory), ""),
            Init::Systemd => (
                Memory::Fresh,
                "lab.init=systemd systemd.unit=multi-user.target",
            ),
        };
        // A session of its own: the kernel of this computer gives each host its share of the processors, as to anybody else who works on it.
        let mut command = Command::new("setsid");
        command.arg("qemu-system-x86_64");
        self.template.hardware.command(
            &mut command,
            &Parts {
                root: &self.template.image.root(),
                kernel: &self.template.image.kernel(),
                initrd: &self.template.initrd(),
                directory: &self.directory,
                memory,
                tap_prefix: &format!("h{}-", self.number),
                watchdog: self.description.watchdog,
                kernel_arguments,
                bmc: Some(&self.directory.join("bmc.sock")),
            },
        );
        let log = self.directory.join("qemu.log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .on("open", &log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .on("start QEMU in", &self.directory)?;
        let process = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let prepared = tokio::select! {
            prepared = self.restore_if_due() => prepared,
            status = child.wait() => {
                let status = status.on("wait for QEMU in", &self.directory)?;
                let complaint = std::fs::read_to_string(&log).unwrap_or_default();
                Err(LabError::Program {
                    command: "qemu-system-x86_64".to_owned(),
                    status: status.to_string(),
                    output: complaint.lines().last().unwrap_or_default().to_owned(),
                })
            }
        };
        let (qmp, events) = prepared?;
        let process = process.ok_or_else(|| LabError::NotRunning {
            host: self.name.clone(),
            reason: "QEMU has ended at once; see qemu.log".to_owned(),
        })?;
        self.faults().frozen = false;
        self.watch_console().await?;
        let link = Link::connect(&self.directory.join("agent.sock")).await?;
        let (waker, awake) = mpsc::unbounded_channel();
        let agent = AgentLine::share(link, waker);
        let faults = self.faults().clone();
        faults.apply_all(&qmp).await?;
        qmp.execute("cont", json!({})).await?;
        let running = Running {
            qmp,
            agent,
            process,
            kill: Notify::new(),
            resets: watch::Sender::new(0),
        };
        Ok((child, Arc::new(running), events, awake))
    }

    async fn restore_if_due(&self) -> Result<(Qmp, mpsc::UnboundedReceiver<QemuEvent>), LabError> {
        let (qmp, events) = Qmp::connect(&self.directory.join("qmp.sock")).await?;
        if self.description.init == Init::Systemd {
            return Ok((qmp, events));
        }
        ignore_memory(&qmp).await?;
        let uri = format!("exec:cat {}", self.template.state().display());
        qmp.execute("migrate-incoming", json!({ "uri": uri }))
            .await?;
        while qmp.execute("query-status", json!({})).await?["status"] == "inmigrate" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((qmp, events))
    }

    async fn watch_console(&self) -> Result<(), LabError> {
        let console = connect_when_there(
            &self.directory.join("console.sock"),
            Duration::from_secs(60),
        )
        .await?;
        let timeline = self.timeline.clone();
        let source = format!("{} console", self.name);
        tokio::spawn(async move {
            let mut lines = BufReader::new(console).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let text = String::from_utf8_lossy(&line);
                timeline.add(source.as_str(), text.trim_end());
            }
        });
        Ok(())
    }

    /// Gives the host its name and addresses each time when it has come up, until its machine ends.
    async fn make_itself(
        self: Arc<Self>,
        running: Arc<Running>,
        mut awake: mpsc::UnboundedReceiver<()>,
    ) {
        let mut state = self.state();
        let mut resets = running.resets.subscribe();
        loop {
            resets.mark_unchanged();
            let identified = tokio::select! {
                identified = self.wake_and_identify(&running, &mut awake) => identified,
                _ = resets.changed() => continue,
                _ = state.wait_for(|state| *state == HostState::Off) => return,
            };
            self.log("machine", &identified.to_string());
            // A machine that has ended in this moment stays off.
            self.state.send_if_modified(|state| {
                let alive = *state != HostState::Off;
                if alive {
                    *state = identified;
                }
                alive
            });
            tokio::select! {
                _ = resets.changed() => {}
                _ = state.wait_for(|state| *state == HostState::Off) => return,
            }
            self.state.send_replace(HostState::Starting);
        }
    }

    async fn wake_and_identify(
        &self,
        running: &Running,
        awake: &mut mpsc::UnboundedReceiver<()>,
    ) -> HostState {
        while awake.try_recv().is_ok() {}
        loop {
            running.agent.send(Frame::new(Kind::Ping, 0, [])).await;
            if tokio::time::timeout(ASK_AGAIN, awake.recv()).await.is_ok() {
                break;
            }
        }
        let number = self.number.to_string();
        let seed = match random_hex() {
            Ok(seed) => seed,
            Err(error) => return HostState::Broken(explain(&error)),
        };
        let hosts = self.description.hosts_file();
        let argv = [
            "sh",
            "/run/quorate-lab/identify",
            &self.called(),
            &number,
            &seed,
            &hosts,
        ];
        match running.agent.run(&argv).await {
            Some(output) if output.code == 0 => HostState::Up,
            Some(output) => {
                let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                HostState::Broken(format!(
                    "its identity script ended with {}: {complaint}",
                    output.code
                ))
            }
            None => HostState::Starting,
        }
    }

    async fn watch_events(
        self: Arc<Self>,
        running: Arc<Running>,
        mut events: mpsc::UnboundedReceiver<QemuEvent>,
    ) {
        while let Some(event) = events.recv().await {
            match event.name.as_str() {
                "RESET" => {
                    self.log(
                        "machine",
                        &format!(
                            "is reset ({})",
                            event.data["reason"].as_str().unwrap_or("?")
                        ),
                    );
                    running.agent.forget_all();
                    running.resets.send_modify(|count| *count += 1);
                }
                "WATCHDOG" => self.log("watchdog", &format!("bites: {}", event.data["action"])),
                "SHUTDOWN" => {
                    self.log(
                        "machine",
                        &format!(
                            "powers off ({})",
                            event.data["reason"].as_str().unwrap_or("?")
                        ),
                    );
                }
                "BLOCK_IO_ERROR" => self.log("machine", &format!("disk error: {}", event.data)),
                _ => {}
            }
        }
    }

    async fn wait_for_end(self: Arc<Self>, mut child: Child, running: Arc<Running>) {
        let status = tokio::select! {
            status = child.wait() => status,
            () = running.kill.notified() => {
                // It may have ended in this moment; then there is nothing to kill.
                let _ = child.start_kill();
                child.wait().await
            }
        };
        *self.running.lock().await = None;
        running.agent.forget_all();
        self.faults().frozen = false;
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        self.log("machine", &format!("is off ({how})"));
        self.state.send_replace(HostState::Off);
    }
}

fn random_hex() -> Result<String, LabError> {
    let mut bytes = [0; 64];
    let generator = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&generator, &mut bytes).map_err(|_| LabError::Missing {
        what: "randomness".to_owned(),
        remedy: "the kernel gave none; see getrandom(2)".to_owned(),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
