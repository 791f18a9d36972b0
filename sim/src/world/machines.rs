//! The machines of the room, and the processes that live and die with them.

use std::{collections::BTreeMap, time::Duration};

use quorate_node_daemon::simulated::room::{
    DeviceKind, DeviceLayout, Kernel, Layout, MachineLayout, Truth,
};

use super::{Kind, Setup, World};
use crate::{
    executor::Random,
    member::{Beginning, client},
};

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
        let outlets = DeviceLayout {
            name: format!("pdu-{host}"),
            kind: DeviceKind::Outlets(BTreeMap::from([("1".to_owned(), host.clone())])),
        };
        [board, outlets]
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
            let mut room = self.room();
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
        self.look(&truth);
    }

    fn look(&mut self, _truth: &Truth) {}

    fn follow_machine(&mut self, machine: &str, kernel: Kernel) {
        let number = self.machine(machine);
        let processes = self.units.of(machine);
        let wire = self.executor.wire().clone();
        match kernel {
            Kernel::Running => {
                wire.set_down(number, false);
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
            Kind::Node | Kind::Lease => {}
        }
    }

    fn start_member(&mut self, process: &str, beginning: Beginning) {
        let found = self.sites.values().find(|site| site.process == process);
        let Some(site) = found.cloned() else {
            return;
        };
        let machine = self.machine(&site.name);
        let ledger = self.ledger.clone();
        self.starts += 1;
        let random = Random::of(self.setup.seed, &format!("client {}", self.starts));
        self.executor.start(process, machine, async move {
            match site.open(beginning).await {
                Ok(store) => {
                    let follow = ledger.clone().follow(site.name.clone(), store.clone());
                    let write = client::write(site.name, store, ledger, random);
                    tokio::join!(follow, write);
                }
                Err(error) => tracing::error!(member = site.name, %error, "does not start"),
            }
        });
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
            self.running.forget(&site.name);
        }
        self.executor.kill(process);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.tick();
        }
    }
}
