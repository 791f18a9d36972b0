//! A host's BMC: OpenIPMI's simulator on the real protocol, wired to the machine.
//!
//! `fence_ipmilan` → our port 623 → `ipmi_sim` → our end of the machine's BMC cable → QEMU. The two relays in between
//! are the room's: the first can fall silent, the second can swallow a command. The simulator takes the host for on as long as the
//! program runs that it started for it, `quorate-lab hold`.

mod cable;
mod lan;
pub(crate) mod redfish;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::description::bmc_address;
use crate::error::{LabError, OnFile};
use crate::programs::run;
use crate::request::BmcMood;
use crate::timeline::Timeline;

/// The user that may switch a host, over IPMI and Redfish.
pub const USER: &str = "root";

/// Who has said nothing for so long has gone.
const STAYS: Duration = Duration::from_secs(3);

/// The password of [`USER`].
pub const PASSWORD: &str = "secret";

/// One BMC.
pub(crate) struct Bmc {
    pub(crate) number: u8,
    directory: PathBuf,
    control: PathBuf,
    timeline: Timeline,
    source: String,
    mood: Mutex<BmcMood>,
    /// Whether it takes a machine that runs on for one that has ended.
    deceived: watch::Sender<bool>,
    simulator: tokio::sync::Mutex<Option<Child>>,
    /// Who talks to it over IPMI.
    visitors: Mutex<BTreeMap<IpAddr, Visitor>>,
}

/// A peer that has asked for a session.
#[derive(Debug, Clone)]
struct Visitor {
    user: String,
    asked: Instant,
    heard: Instant,
    granted: bool,
}

/// This program, by the name that it was started by: it is still there when the program is built anew meanwhile.
fn own_program() -> Result<PathBuf, LabError> {
    match std::env::args_os().next().map(PathBuf::from) {
        Some(name) if name.is_absolute() => Ok(name),
        _ => std::env::current_exe().on("find", "/proc/self/exe"),
    }
}

impl Bmc {
    /// A BMC that is not powered yet, and its relays.
    pub(crate) async fn new(
        number: u8,
        host: &str,
        directory: PathBuf,
        control: PathBuf,
        timeline: Timeline,
    ) -> Result<Arc<Bmc>, LabError> {
        let bmc = Arc::new(Bmc {
            number,
            directory,
            control,
            timeline,
            source: format!("{host} bmc"),
            mood: Mutex::default(),
            deceived: watch::Sender::new(false),
            simulator: tokio::sync::Mutex::new(None),
            visitors: Mutex::default(),
        });
        cable::serve(Arc::clone(&bmc)).await?;
        lan::serve(Arc::clone(&bmc)).await?;
        redfish::serve(Arc::clone(&bmc)).await?;
        Ok(bmc)
    }

    /// How it behaves.
    pub(crate) fn mood(&self) -> BmcMood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it behaves like this.
    pub(crate) fn set_mood(&self, mood: BmcMood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Whether the simulator is to believe that the machine has ended, though it has not.
    pub(crate) fn deceived(&self) -> watch::Receiver<bool> {
        self.deceived.subscribe()
    }

    /// It is made to believe so, or sees the machine again.
    pub(crate) fn deceive(&self, deceived: bool) {
        self.deceived.send_replace(deceived);
    }

    /// Whether it has power.
    pub(crate) async fn is_powered(&self) -> bool {
        self.simulator.lock().await.is_some()
    }

    /// The mains are there: it starts, and starts the host, as servers in a data centre are set up.
    pub(crate) async fn power_up(&self) -> Result<(), LabError> {
        let mut simulator = self.simulator.lock().await;
        if simulator.is_some() {
            return Ok(());
        }
        self.log("has power");
        let configuration = self.directory.join("bmc-lan.conf");
        fs::write(&configuration, self.configuration()?).on("write", &configuration)?;
        let setup = self.directory.join("bmc-setup");
        fs::write(&setup, "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n")
            .on("write", &setup)?;
        let state = self.directory.join("bmc-state");
        fs::create_dir_all(&state).on("create", &state)?;
        let log = self.directory.join("bmc.log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .on("open", &log)?;
        let errors = output.try_clone().on("open", &log)?;
        let mut command = Command::new("ipmi_sim");
        command
            .arg("-c")
            .arg(&configuration)
            .arg("-f")
            .arg(&setup)
            .arg("-s")
            .arg(&state)
            .arg("-n");
        command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true);
        // Its standard input stays open in `Child`: it ends when that is closed.
        *simulator = Some(command.spawn().on("start", "ipmi_sim")?);
        Ok(())
    }

    /// The mains are gone.
    pub(crate) async fn power_down(&self) {
        if let Some(mut child) = self.simulator.lock().await.take() {
            self.log("has no power");
            // When it has ended by itself there is nothing to kill.
            let _ = child.kill().await;
        }
    }

    /// Runs a power command as the BMC's own user would, past the relay on its network.
    pub(crate) async fn chassis_power(&self, what: &str) -> Result<String, LabError> {
        let mut command = Command::new("ipmitool");
        command.args([
            "-I",
            "lanplus",
            "-C",
            "3",
            "-H",
            "127.0.0.1",
            "-p",
            &self.lan_port().to_string(),
        ]);
        command.args([
            "-U", USER, "-P", PASSWORD, "-N", "2", "-R", "2", "chassis", "power", what,
        ]);
        run(&mut command).await
    }

    fn visitors(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Visitor>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer asks for a session. That it gets none is seen when it says no more: one with another password than ours goes silently.
    fn asked(self: &Arc<Self>, peer: IpAddr, user: String) {
        self.log(format!("{peer} asks for a session as {user:?}"));
        let asked = Instant::now();
        let visitor = Visitor {
            user,
            asked,
            heard: asked,
            granted: false,
        };
        let former = self.visitors().insert(peer, visitor);
        if let Some(former) = former.filter(|former| !former.granted) {
            self.log_unsuccessful(peer, &former);
        }
        let bmc = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(STAYS).await;
            let visitor = bmc.visitors().get(&peer).cloned();
            if let Some(visitor) =
                visitor.filter(|visitor| visitor.asked == asked && !visitor.granted)
            {
                bmc.visitors().remove(&peer);
                bmc.log_unsuccessful(peer, &visitor);
            }
        });
    }

    fn log_unsuccessful(&self, peer: IpAddr, visitor: &Visitor) {
        let user = &visitor.user;
        self.log(format!(
            "{peer} does not log in as {user:?}: it has another password, or has gone"
        ));
    }

    /// A peer has its session.
    fn granted(&self, peer: IpAddr) {
        if let Some(visitor) = self.visitors().get_mut(&peer) {
            visitor.granted = true;
            let user = visitor.user.clone();
            self.log(format!("{peer} logs in as {user:?}"));
        }
    }

    /// A peer says something in its session.
    fn heard(&self, peer: IpAddr) {
        if let Some(visitor) = self.visitors().get_mut(&peer) {
            visitor.heard = Instant::now();
        }
    }

    /// Its switch acts; IPMI encrypts who wants it, so that all are named that were in a session just now.
    pub(crate) fn log_power(&self, what: &str) {
        let visitors = self.visitors();
        let recent = visitors
            .iter()
            .filter(|(_, visitor)| visitor.granted && visitor.heard.elapsed() < STAYS)
            .map(|(peer, visitor)| format!("{peer} as {:?}", visitor.user));
        let recent: Vec<String> = recent.collect();
        drop(visitors);
        self.log(if recent.is_empty() {
            what.to_owned()
        } else {
            format!("{what}, during a session of {}", recent.join(" and "))
        });
    }

    pub(crate) fn log(&self, text: impl Into<String>) {
        self.timeline.add(self.source.as_str(), text);
    }

    /// Where the simulator listens; its number is free, since the room has a network of its own.
    fn lan_port(&self) -> u16 {
        6230 + u16::from(self.number)
    }

    fn cable_port(&self) -> u16 {
        9000 + u16::from(self.number)
    }

    fn configuration(&self) -> Result<String, LabError> {
        let program = own_program()?;
        Ok(format!(
            "name \"lab\"\n\
             set_working_mc 0x20\n\
             startlan 1\n\
             addr 127.0.0.1 {lan}\n\
             priv_limit admin\n\
             allowed_auths_callback none md2 md5 straight\n\
             allowed_auths_user none md2 md5 straight\n\
             allowed_auths_operator none md2 md5 straight\n\
             allowed_auths_admin none md2 md5 straight\n\
             guid a123456789abcdefa123456789abcd{number:02x}\n\
             endlan\n\
             serial 15 127.0.0.1 {cable} codec VM\n\
             startcmd \"{program} hold {control} {number}\"\n\
             startnow true\n\
             poweroff_wait 0\n\
             kill_wait 0\n\
             user 1 true \"\" \"nobody\" user 10 none md2 md5 straight\n\
             user 2 true \"{USER}\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n",
            lan = self.lan_port(),
            cable = self.cable_port(),
            number = self.number,
            program = program.display(),
            control = self.control.display(),
        ))
    }

    /// Where it answers.
    fn address(&self) -> String {
        bmc_address(self.number)
    }
}
