//! The process that is the room: everything runs inside its namespaces and ends with it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::bmc::Bmc;
use crate::cache::remove_tree;
use crate::description::{Description, Feed};
use crate::error::{LabError, OnFile, explain};
use crate::faults::apply_disk;
use crate::hardware::SWITCHES;
use crate::machine::Machine;
use crate::power::Power;
use crate::request::{Cable, Hand, HostState, HostStatus, RoomStatus};
use crate::template::Template;
use crate::timeline::Timeline;
use crate::{control, network, pdu};

/// How long a machine that ends may take to be gone.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What the supervisor is told when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// What to build.
    pub(crate) description: Description,
    /// From what.
    pub(crate) template: Template,
}

/// The running room; cheap to clone.
#[derive(Clone)]
pub(crate) struct Supervisor(Arc<Inner>);

struct Inner {
    description: Arc<Description>,
    accelerator: String,
    hosts: Vec<Host>,
    power: Mutex<Power>,
    /// One change of the mains after the other.
    power_order: tokio::sync::Mutex<()>,
    dead_switches: Mutex<[bool; 2]>,
    timeline: Timeline,
    begun: Instant,
    up_after_ms: Mutex<Option<u64>>,
    stop: Notify,
}

struct Host {
    machine: Arc<Machine>,
    bmc: Arc<Bmc>,
}

/// The name of the file that the supervisor holds locked as long as it lives.
pub(crate) const LOCK: &str = "lock";

/// The name of its socket.
pub(crate) const CONTROL: &str = "control.sock";

/// The name of the timeline's file.
pub(crate) const TIMELINE: &str = "timeline.log";

/// The name of the file with the [`Orders`].
pub(crate) const ORDERS: &str = "orders.json";

/// Is the room until it is told to stop, or until whoever started it is gone: its standard input is their sign of life.
pub async fn supervise(directory: &Path) -> Result<(), LabError> {
    let lock = File::create(directory.join(LOCK)).on("create", directory.join(LOCK))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(std::io::Error::from)
        .on("lock (a room runs there already)", directory.join(LOCK))?;
    let path = directory.join(ORDERS);
    let text = fs::read_to_string(&path).on("read", &path)?;
    let orders: Orders = serde_json::from_str(&text)
        .map_err(|error| LabError::Refused(format!("{} is not valid: {error}", path.display())))?;
    network::build(&orders.description).await?;
    let room = Supervisor::build(directory, orders).await?;
    let listener =
        UnixListener::bind(directory.join(CONTROL)).on("listen on", directory.join(CONTROL))?;
    tokio::spawn(control::serve(room.clone(), listener));
    for feed in Feed::BOTH {
        pdu::serve(room.clone(), feed).await?;
    }
    // Whoever started us waits for this line.
    writeln!(std::io::stdout(), "ready")
        .and_then(|()| std::io::stdout().flush())
        .on("write to", "standard output")?;
    room.power_changed().await;
    tokio::spawn(room.clone().note_first_up());
    room.wait_for_end().await?;
    room.log("room", "ends");
    for host in &room.0.hosts {
        host.bmc.power_down().await;
        host.machine.cut_power().await;
    }
    // Whoever started us may not be there any more to do it.
    remove_tree(directory)
}

impl Supervisor {
    async fn build(directory: &Path, orders: Orders) -> Result<Supervisor, LabError> {
        let timeline = Timeline::create(&directory.join(TIMELINE))?;
        // The hosts' own logs have the time of day.
        timeline.add("room", format!("begins at {}", jiff::Timestamp::now()));
        let description = Arc::new(orders.description);
        let template = Arc::new(orders.template);
        let mut hosts = Vec::new();
        for number in 1..=description.hosts {
            let place: PathBuf = directory.join(crate::description::host_name(number));
            fs::create_dir(&place).on("create", &place)?;
            template.make_disks(&place).await?;
            let machine = Machine::new(
                number,
                place.clone(),
                Arc::clone(&description),
                Arc::clone(&template),
                timeline.clone(),
            );
            let bmc = Bmc::new(
                number,
                &machine.name,
                place,
                directory.join(CONTROL),
                timeline.clone(),
            )
            .await?;
            hosts.push(Host { machine, bmc });
        }
        Ok(Supervisor(Arc::new(Inner {
            accelerator: format!("{:?}", template.hardware.accelerator),
            description,
            hosts,
            power: Mutex::default(),
            power_order: tokio::sync::Mutex::default(),
            dead_switches: Mutex::default(),
            timeline,
            begun: Instant::now(),
            up_after_ms: Mutex::default(),
            stop: Notify::new(),
        })))
    }

    pub(crate) fn log(&self, source: impl Into<String>, text: impl Into<String>) {
        self.0.timeline.add(source, text);
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.0.timeline
    }

    pub(crate) fn with_power<T>(&self, look: impl FnOnce(&mut Power) -> T) -> T {
        look(&mut self.0.power.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn stop(&self) {
        self.0.stop.notify_one();
    }

    /// The mains have changed somewhere: machines and BMCs that lost them go dark, those that have them again start.
    pub(crate) async fn power_changed(&self) {
        let _one_at_a_time = self.0.power_order.lock().await;
        for host in &self.0.hosts {
            let powered = self.with_power(|power| power.has_mains(host.machine.number));
            if powered {
                if let Err(error) = host.bmc.power_up().await {
                    host.bmc.log(format!("cannot start: {}", explain(&error)));
                }
            } else {
                host.bmc.power_down().await;
                host.machine.cut_power().await;
            }
        }
    }

    pub(crate) fn machine(&self, number: u8) -> Result<&Arc<Machine>, LabError> {
        self.host(number).map(|host| &host.machine)
    }

    fn host(&self, number: u8) -> Result<&Host, LabError> {
        let count = self.0.hosts.len();
        self.0
            .hosts
            .get(usize::from(number).wrapping_sub(1))
            .ok_or_else(|| {
                LabError::Refused(format!(
                    "there is no node{number}; this room has node1 to node{count}"
                ))
            })
    }

    /// The BMC has switched the host on; returns when the host is off, or the BMC is to believe so.
    pub(crate) async fn hold(&self, number: u8) -> Result<(), LabError> {
        let host = self.host(number)?;
        host.bmc.deceive(false);
        let mut deceived = host.bmc.deceived();
        host.bmc.log_power("power on");
        host.machine.start().await?;
        let mut state = host.machine.state();
        tokio::select! {
            _ = state.wait_for(|state| *state == HostState::Off) => {}
            _ = deceived.wait_for(|deceived| *deceived) => {}
        }
        Ok(())
    }

    /// The BMC gives up waiting and takes the power away itself.
    pub(crate) async fn hold_broken(&self, number: u8) {
        if let Ok(host) = self.host(number) {
            host.bmc.log_power("power off");
            host.machine.cut_power().await;
        }
    }

    /// Does something to the room.
    pub(crate) async fn act(&self, hand: Hand) -> Result<(), LabError> {
        self.log("hand", serde_json::to_string(&hand).unwrap_or_default());
        match hand {
            Hand::Feed { feed, live } => {
                self.with_power(|power| power.set_feed(feed, live));
                self.power_changed().await;
            }
            Hand::Cord {
                host,
                feed,
                plugged,
            } => {
                self.host(host)?;
                self.with_power(|power| power.set_cord(feed, host, plugged));
                self.power_changed().await;
            }
            Hand::Pdu { feed, mood } => {
                self.with_power(|power| power.set_mood(feed, mood));
                self.power_changed().await;
            }
            Hand::Bmc { host, mood } => self.host(host)?.bmc.set_mood(mood),
            Hand::Button { host, long } => self.press_button(self.host(host)?, long).await?,
            Hand::Freeze { host, frozen } => self.machine(host)?.freeze(frozen).await?,
            Hand::Cable { host, nic, state } => {
                self.change_cable(self.machine(host)?, &nic, state).await?
            }
            Hand::Switch { switch, on } => self.change_switch(switch, on).await?,
            Hand::Disk { host, disk, mood } => {
                let machine = self.machine(host)?;
                let former = machine.faults().set_disk(disk, mood)?;
                if let Ok(running) = machine.running().await {
                    let applied = apply_disk(&running.qmp, disk, former, mood).await;
                    unless_it_ends(machine, applied).await?;
                }
            }
            Hand::Note(_) => {}
        }
        Ok(())
    }

    async fn press_button(&self, host: &Host, long: bool) -> Result<(), LabError> {
        match host.machine.running().await {
            Ok(_) if long => host.machine.cut_power().await,
            Ok(running) => {
                running
                    .qmp
                    .execute("system_powerdown", serde_json::json!({}))
                    .await?;
            }
            // The button is wired to the BMC, which must know that the host is on.
            Err(_) => {
                host.bmc.chassis_power("on").await?;
            }
        }
        Ok(())
    }

    async fn change_cable(
        &self,
        machine: &Machine,
        nic: &str,
        state: Cable,
    ) -> Result<(), LabError> {
        let former = machine.faults().set_cable(nic, state)?;
        if (former == Cable::BlackHole) != (state == Cable::BlackHole) {
            network::black_hole(machine.number, nic, state == Cable::BlackHole).await?;
        }
        apply_links(machine).await
    }

    async fn change_switch(&self, switch: char, on: bool) -> Result<(), LabError> {
        let index = SWITCHES
            .into_iter()
            .position(|known| known == switch)
            .ok_or_else(|| {
                LabError::Refused(format!("there is no switch {switch:?}; there are a and b"))
            })?;
        self.0
            .dead_switches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)[index] = !on;
        network::switch_power(switch, on).await?;
        for host in &self.0.hosts {
            host.machine.faults().set_switch(index, on);
            apply_links(&host.machine).await?;
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> RoomStatus {
        let dead = *self
            .0
            .dead_switches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        RoomStatus {
            name: self.0.description.name.clone(),
            accelerator: self.0.accelerator.clone(),
            up_after_ms: *self
                .0
                .up_after_ms
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
            age_ms: milliseconds(self.0.begun),
            switches: dead.map(|dead| !dead),
            pdus: Feed::BOTH.map(|feed| self.with_power(|power| power.answers(feed))),
            hosts: self
                .0
                .hosts
                .iter()
                .map(|host| self.host_status(host))
                .collect(),
        }
    }

    fn host_status(&self, host: &Host) -> HostStatus {
        let machine = &host.machine;
        let faults = machine.faults();
        // First: one that has been counted has left its state of before.
        let starts = machine.starts();
        HostStatus {
            name: machine.name.clone(),
            called: machine.called(),
            state: machine.state().borrow().clone(),
            frozen: faults.frozen,
            starts,
            feeds: Feed::BOTH
                .map(|feed| self.with_power(|power| power.supplied_by(machine.number, feed))),
            bmc: host.bmc.mood(),
            bad_cables: faults.bad_cables(),
            bad_disks: faults.bad_disks(),
        }
    }

    async fn note_first_up(self) {
        for host in &self.0.hosts {
            let mut state = host.machine.state();
            // The sender lives as long as the room.
            let _ = state.wait_for(|state| *state == HostState::Up).await;
        }
        let after = milliseconds(self.0.begun);
        *self
            .0
            .up_after_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(after);
        self.log(
            "room",
            format!(
                "all hosts are up after {}.{:03} s",
                after / 1000,
                after % 1000
            ),
        );
    }

    async fn wait_for_end(&self) -> Result<(), LabError> {
        let mut terminate = signal(SignalKind::terminate()).on("listen to", "SIGTERM")?;
        let mut stdin = tokio::io::stdin();
        let mut byte = [0];
        tokio::select! {
            () = self.0.stop.notified() => {}
            _ = terminate.recv() => {}
            _ = stdin.read(&mut byte) => {}
        }
        Ok(())
    }
}

async fn apply_links(machine: &Machine) -> Result<(), LabError> {
    let faults = machine.faults().clone();
    match machine.running().await {
        Ok(running) => unless_it_ends(machine, faults.apply_links(&running.qmp).await).await,
        // It gets them when it is switched on.
        Err(_) => Ok(()),
    }
}

/// A machine that goes off in this moment takes no orders any more, and gets what it should be when it is switched on.
async fn unless_it_ends(machine: &Machine, outcome: Result<(), LabError>) -> Result<(), LabError> {
    let Err(error) = outcome else { return Ok(()) };
    let mut state = machine.state();
    let off = state.wait_for(|state| *state == HostState::Off);
    match tokio::time::timeout(ENDS_WITHIN, off).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(error),
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
