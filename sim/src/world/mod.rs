//! A whole cluster: machines, members, hosts, and what happens to them.

mod fault;
mod found;
mod happen;
mod machines;
mod setup;
mod units;
mod waiting;
mod well;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_node_daemon::simulated::room::{Kernel, MachineRoom, STEP, Settings};
use quorate_store::disk::sim::SimDisk;

pub use fault::{Fault, Trouble, faults_of};
pub use setup::Setup;
pub(crate) use units::Kind;

use crate::{
    check::Ledger,
    executor::{Executor, MachineId, Random, Ring, Trace},
    member::{MemberSite, Receivers, Running},
    time::MachineClock,
};
use units::Units;

/// The machines and what stands between them, shared by everything that touches them.
pub(crate) type SharedRoom = Arc<Mutex<MachineRoom>>;

/// A cluster under simulation.
pub struct World {
    pub(crate) setup: Setup,
    pub(crate) executor: Executor,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) running: Running,
    pub(crate) room: SharedRoom,
    machines: Vec<String>,
    /// What each machine's kernel did, and which boot it was, when it was last looked at.
    seen: BTreeMap<String, (Kernel, u64)>,
    units: Units,
    sites: BTreeMap<String, MemberSite>,
    clocks: BTreeMap<String, MachineClock>,
    /// How many faults cut a ring from one machine to another.
    cuts: BTreeMap<(MachineId, MachineId, Ring), u32>,
    next_step: Duration,
    /// How many processes were started.
    starts: u64,
}

impl World {
    /// The machines, with nothing running on them yet.
    #[must_use]
    pub fn new(setup: &Setup, trace: Trace) -> Self {
        let executor = Executor::new(setup.seed, trace.clone());
        let wire = executor.wire().clone();
        let room = MachineRoom::new(
            machines::layout(setup),
            Settings::default(),
            room_seed(setup),
        );
        let machines = setup.machine_names();
        let clocks: BTreeMap<String, MachineClock> = machines
            .iter()
            .map(|name| (name.clone(), MachineClock::new(wire.clone())))
            .collect();
        let (receivers, running) = (Receivers::default(), Running::default());
        let mut random = Random::of(setup.seed, "disks");
        let (mut units, mut sites) = (Units::default(), BTreeMap::new());
        for name in setup.member_names() {
            let process = format!("quorated@{name}");
            units.add(&process, &name, Kind::Member);
            let site = MemberSite {
                name: name.clone(),
                process,
                wire: wire.clone(),
                receivers: receivers.clone(),
                disk: SimDisk::new(random.next()),
                clock: clocks[&name].clone(),
                running: running.clone(),
                sync_time: Duration::from_millis(*random.pick(&[2, 10, 10, 40]).unwrap_or(&10)),
            };
            sites.insert(name, site);
        }
        Self {
            setup: setup.clone(),
            executor,
            trace,
            ledger: Ledger::default(),
            running,
            room: Arc::new(Mutex::new(room)),
            machines,
            seen: BTreeMap::new(),
            units,
            sites,
            clocks,
            cuts: BTreeMap::new(),
            next_step: STEP,
            starts: 0,
        }
    }

    /// Simulated time since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.executor.now()
    }

    /// What happened so far.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn room(&self) -> MutexGuard<'_, MachineRoom> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machine(&self, name: &str) -> MachineId {
        let found = self.machines.iter().position(|machine| machine == name);
        found.unwrap_or(self.machines.len())
    }

    /// Lets everything go on for one tick.
    pub fn tick(&mut self) {
        self.executor.tick();
        if self.now() >= self.next_step {
            self.next_step += STEP;
            self.step();
        }
    }
}

fn room_seed(setup: &Setup) -> u32 {
    u32::try_from(Random::of(setup.seed, "room").below(u64::from(u32::MAX))).unwrap_or(0)
}
