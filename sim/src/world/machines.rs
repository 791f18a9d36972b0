//! The machines of the room, and the processes that live and die with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_node_daemon::simulated::room::{
    DeviceKind, DeviceLayout, Kernel, Layout, MachineLayout, Truth,
};

use quorate_node_daemon::lease::BootClock;

use super::{Kind, Setup, World};
use crate::{
    beats::Socket,
    check::Leader,
    executor::{MachineId, Random},
    member::Beginning,
};

/// After how long systemd starts a process again that has ended.
const START_AGAIN: Duration = Duration::from_secs(2);

/// For how long a leader must have stood still to count from anew: a quarter of the detection time. A shorter stop loses
/// nothing, because what was sent meanwhile waits for it.
const STALL: Duration = Duration::from_millis(500);

/// A disk for volumes in every host.
const DISK: u64 = 1 << 40;

/// What stands in the room: every machine with a board of its own and an outlet of its own.
pub(super) fn layout(setup: &Setup) -> Layout {
    let hosts = setup.host_names();
    let machines = setup.machine_names().into_iter().map(|name| {
        let mut machine = MachineLayout::new(&name);
        if hosts.contains(&name) {
            machine.disks = BTreeMap::from([("/dev/sdb".to_owned(), DISK)]);
        }
        machine
    });
    let devices = hosts.iter().flat_map(|host| {
        let board = DeviceLayout {
            name: format!("bmc-{host}"),
            kind: DeviceKind::Board(host.clone()),
        };
        let outlet = |name: &str| DeviceLayout {
            name: format!("{name}-{host}"),
            kind: DeviceKind::Outlets(BTreeMap::from([("1".to_owned(), host.clone())])),
        };
        let second = setup.two_supplies.then(|| outlet("ups"));
        [board, outlet("pdu")].into_iter().chain(second)
    });
    Layout {
        devices: devices.collect(),
        machines: machines.collect(),
    }
}

impl World {
    /// Lets the room go on, and processes live and die with their machines.
    pub(super) fn step(&mut self) {
        let truth = {
            let now = self.now();
            let mut room = self.room.lock();
            room.advance(now);
            room.truth()
        };
        for (machine, known) in &truth.machines {
            let now = (known.kernel, known.boots);
            let before = self.seen.insert(machine.clone(), now);
            if before.is_some_and(|before| before != now) {
                self.trace
                    .note(self.now(), &format!("{machine} {now:?}"), 0);
                self.follow_machine(machine, now.0);
            }
        }
        self.start_again();
        self.let_people_ask();
        self.look_at_halves(&truth);
        self.look(truth);
    }

    /// Starts what ended by itself once more, as systemd does.
    fn start_again(&mut self) {
        for process in self.ended.processes() {
            self.ended.remove(&process);
            self.stop(&process, false);
            self.again.insert(process, self.now() + START_AGAIN);
        }
        let now = self.now();
        let due = self.again.iter().filter(|(_, at)| **at <= now);
        for process in due.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.again.remove(&process);
            self.settle(&process);
        }
    }

    fn look(&mut self, truth: Truth) {
        let now = self.now();
        let mut leader: Option<Leader> = None;
        for (name, site) in &self.sites {
            let process = &site.process;
            let awake = self.executor.goes_on(process);
            if !awake {
                self.asleep.entry(process.clone()).or_insert(now);
                continue;
            }
            let slept = self.asleep.remove(process);
            let woke = slept.is_some_and(|from| now.saturating_sub(from) > STALL);
            let leadership = self
                .running
                .get(name)
                .map(|e| *e.store().leadership().borrow());
            let Some(leadership) = leadership.filter(|known| known.is_self) else {
                continue;
            };
            if leader
                .as_ref()
                .is_none_or(|known| known.term < leadership.term)
            {
                let since = self
                    .judge
                    .led_since(process, leadership.term)
                    .filter(|_| !woke);
                leader = Some(Leader {
                    process: process.clone(),
                    term: leadership.term,
                    since: since.unwrap_or(now),
                });
            }
        }
        let reached = leader
            .as_ref()
            .map(|leader| self.reached_by(&leader.process))
            .unwrap_or_default();
        self.judge.reaches(&reached, now);
        if let Some(at) = leader.as_ref().and_then(|l| self.answered_at(&l.process)) {
            self.judge.acknowledged(at);
        }
        self.judge.leads(leader, now);
        for (name, host) in &self.hosts {
            if host.run_dir.lease_view().fresh(host.boot_time.now()) {
                self.judge.has_lease(name, now);
            }
        }
        self.judge.look(now, truth);
    }

    /// When a majority last answered a member, if it leads.
    fn answered_at(&self, process: &str) -> Option<Duration> {
        let site = self.sites.values().find(|site| site.process == process)?;
        let running = self.running.get(&site.name)?;
        let age = || {
            let (_, at) = running.store().quorum_acknowledged()?;
            Some(at.elapsed())
        };
        let age = self.executor.within(process, age)??;
        Some(self.now().saturating_sub(age))
    }

    /// The other members that run and that a member can talk to.
    fn reached_by(&self, process: &str) -> BTreeSet<String> {
        let machine = |process: &str| {
            let unit = self.units.get(process);
            unit.map_or(self.machines.len(), |unit| self.machine(&unit.machine))
        };
        let here = machine(process);
        let members = self.sites.values().filter(|site| {
            site.process != process
                && self.executor.goes_on(&site.process)
                && self.running.get(&site.name).is_some()
                && self.executor.wire().connects(here, machine(&site.process))
        });
        members.map(|site| site.process.clone()).collect()
    }

    fn follow_machine(&mut self, machine: &str, kernel: Kernel) {
        let number = self.machine(machine);
        let processes = self.units.of(machine);
        let wire = self.executor.wire().clone();
        match kernel {
            Kernel::Running => {
                wire.set_down(number, false);
                if let Some(host) = self.hosts.get(machine) {
                    host.boot_time.boots();
                }
                for process in processes {
                    self.settle(&process);
                }
            }
            Kernel::Hung => {
                wire.set_down(number, true);
                for process in processes {
                    self.executor.pause(&process, true);
                }
            }
            Kernel::Off | Kernel::Booting | Kernel::Crashed => {
                wire.set_down(number, true);
                for process in processes {
                    self.stop(&process, true);
                }
                if let Some(host) = self.hosts.get(machine) {
                    host.run_dir.clear();
                }
            }
        }
    }

    pub(super) fn runs_processes(&self, machine: &str) -> bool {
        let seen = self.seen.get(machine);
        seen.is_none_or(|(kernel, _)| *kernel == Kernel::Running)
    }

    /// Starts, stops, pauses or continues a process as faults and its machine have it.
    pub(super) fn settle(&mut self, process: &str) {
        let Some(unit) = self.units.get(process).cloned() else {
            return;
        };
        if !self.runs_processes(&unit.machine) {
            return;
        }
        let runs = self.executor.runs(process);
        if runs && !unit.may_run() {
            self.stop(process, false);
        } else if !runs && unit.may_run() {
            self.start(process, unit.kind, Beginning::Again);
        }
        self.executor.pause(process, unit.is_paused());
    }

    pub(super) fn start(&mut self, process: &str, kind: Kind, beginning: Beginning) {
        match kind {
            Kind::Member => self.start_member(process, beginning),
            Kind::Node | Kind::Lease => self.start_on_host(process, kind),
        }
    }

    fn start_on_host(&mut self, process: &str, kind: Kind) {
        let Some(unit) = self.units.get(process) else {
            return;
        };
        let Some(site) = self.hosts.get(&unit.machine).cloned() else {
            return;
        };
        let machine = self.machine(&site.name);
        if kind == Kind::Lease {
            let socket = self.socket(process, machine);
            self.executor.start(process, machine, site.lease(socket));
        } else {
            self.executor.start(process, machine, site.node());
        }
    }

    fn socket(&self, process: &str, machine: MachineId) -> Socket {
        Socket::bind(
            process,
            machine,
            self.machines.clone(),
            self.executor.wire().clone(),
            self.inboxes.clone(),
            self.judge.clone(),
        )
    }

    fn start_member(&mut self, process: &str, beginning: Beginning) {
        let found = self.sites.values().find(|site| site.process == process);
        let Some(site) = found.cloned() else {
            return;
        };
        let machine = self.machine(&site.name);
        self.starts += 1;
        let random = Random::of(self.setup.seed, &format!("client {}", self.starts));
        let socket = self.socket(process, machine);
        self.executor
            .start(process, machine, site.member(beginning, socket, random));
    }

    /// Ends a process; with the power, what its disk had not synced is lost.
    fn stop(&mut self, process: &str, with_power: bool) {
        if let Some(site) = self.sites.values().find(|site| site.process == process) {
            if with_power {
                site.disk.cut_power();
            } else {
                site.disk.kill();
            }
            site.receivers.remove(process);
            site.brains.remove(process);
            site.desks.remove(process);
            self.running.forget(&site.name);
        }
        self.inboxes.remove(process);
        self.ended.remove(process);
        self.executor.kill(process);
        if let Some(unit) = self.units.get(process)
            && unit.kind == Kind::Node
            && let Some(host) = self.hosts.get(&unit.machine)
        {
            host.run_dir.daemon_is_gone();
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.tick();
        }
    }
}
