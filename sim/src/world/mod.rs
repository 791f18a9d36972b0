//! A whole cluster: machines, members, hosts, and what happens to them.

mod fault;
mod found;
mod halves;
mod happen;
mod machines;
mod manifests;
mod people;
mod setup;
mod show;
mod units;
mod waiting;
mod well;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use quorate_identity::Keyring;

use quorate_node_daemon::simulated::{
    LocalRoom,
    room::{Kernel, MachineRoom, STEP, Settings},
};
use quorate_store::disk::sim::SimDisk;

pub use fault::{Fault, Trouble, faults_of};
pub use setup::Setup;
pub(crate) use units::Kind;

use crate::{
    beats::Inboxes,
    check::{Judge, Ledger},
    executor::{Executor, MachineId, Random, Ring, Trace},
    host::{Desks, HostSite, OldPlans, RunDir},
    member::{Brains, MemberSite, Receivers, Running},
    registry::Registry,
    time::{BootTime, MachineClock},
};
use units::Units;

/// A cluster under simulation.
pub struct World {
    pub(crate) setup: Setup,
    pub(crate) executor: Executor,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) judge: Judge,
    pub(crate) running: Running,
    inboxes: Inboxes,
    /// The machines and what stands between them.
    pub(crate) room: LocalRoom,
    machines: Vec<String>,
    /// What each machine's kernel did, and which boot it was, when it was last looked at.
    seen: BTreeMap<String, (Kernel, u64)>,
    units: Units,
    sites: BTreeMap<String, MemberSite>,
    hosts: BTreeMap<String, HostSite>,
    clocks: BTreeMap<String, MachineClock>,
    /// Processes that have ended by themselves.
    ended: Registry<()>,
    /// When systemd starts processes again.
    again: BTreeMap<String, Duration>,
    /// Processes that did not run, or were stopped, at the last step, and since when.
    asleep: BTreeMap<String, Duration>,
    /// What plans hosts were given.
    old_plans: OldPlans,
    /// How many faults cut a ring from one machine to another.
    cuts: BTreeMap<(MachineId, MachineId, Ring), u32>,
    next_step: Duration,
    /// How many processes were started.
    starts: u64,
    /// Where a member's disk reads wrong.
    damage: BTreeMap<String, happen::Damage>,
    /// The manifests that people want to be taken, by what they are about.
    wants: BTreeMap<String, String>,
    /// What is being tried.
    trying: Option<people::Trying>,
    /// What people no longer wait for, and what may be taken nevertheless.
    given_up: Vec<people::Trying>,
    /// What was asked for in vain, and may be taken after whatever is asked for next.
    unsure: BTreeSet<String>,
    /// People look again before they ask for more.
    asks_at: Duration,
    /// What was seen of even splits.
    halves: halves::Halves,
    /// How often people tried.
    tries: usize,
}

impl World {
    /// The machines, with nothing running on them yet.
    #[must_use]
    pub fn new(setup: &Setup, trace: Trace) -> Self {
        let mut executor = Executor::new(setup.seed, trace.clone());
        let wire = executor.wire().clone();
        let room = LocalRoom::new(MachineRoom::new(
            machines::layout(setup),
            Settings::default(),
            room_seed(setup),
        ));
        let judge = Judge::new(room.clone());
        let ledger = Ledger::new(judge.clone(), wire.clone());
        let machines = setup.machine_names();
        let clocks: BTreeMap<String, MachineClock> = machines
            .iter()
            .map(|name| (name.clone(), MachineClock::new(wire.clone())))
            .collect();
        let (receivers, running) = (Receivers::default(), Running::default());
        let ended = Registry::default();
        let (brains, desks) = (Brains::default(), Desks::default());
        let keyring = Arc::new(Keyring::generate().expect("random numbers follow from the seed"));
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
                brains: brains.clone(),
                desks: desks.clone(),
                room: room.clone(),
                keyring: keyring.clone(),
                ledger: ledger.clone(),
                disk: SimDisk::new(random.draw()),
                clock: clocks[&name].clone(),
                running: running.clone(),
                ended: ended.clone(),
                sync_time: Duration::from_millis(
                    *random.pick(&[2, 10, 10, 40, 150]).unwrap_or(&10),
                ),
            };
            sites.insert(name, site);
        }
        let members: Vec<String> = sites.values().map(|site| site.process.clone()).collect();
        let (mut hosts, old_plans) = (BTreeMap::new(), OldPlans::default());
        for name in setup.host_names() {
            units.add(&format!("quorate-lease@{name}"), &name, Kind::Lease);
            units.add(&format!("quorate-node@{name}"), &name, Kind::Node);
            let number = machines.iter().position(|machine| *machine == name);
            let ahead = executor.ahead(number.unwrap_or(machines.len()));
            let site = HostSite {
                name: name.clone(),
                room: room.clone(),
                wire: wire.clone(),
                desks: desks.clone(),
                members: members.clone(),
                old_plans: old_plans.clone(),
                clock: clocks[&name].clone(),
                boot_time: BootTime::new(wire.clone(), ahead),
                run_dir: RunDir::default(),
            };
            hosts.insert(name, site);
        }
        Self {
            setup: setup.clone(),
            executor,
            trace,
            ledger,
            judge,
            running,
            inboxes: Inboxes::default(),
            room,
            machines,
            seen: BTreeMap::new(),
            units,
            sites,
            hosts,
            clocks,
            ended,
            again: BTreeMap::new(),
            asleep: BTreeMap::new(),
            old_plans,
            cuts: BTreeMap::new(),
            next_step: STEP,
            starts: 0,
            damage: BTreeMap::new(),
            wants: BTreeMap::new(),
            trying: None,
            given_up: Vec::new(),
            unsure: BTreeSet::new(),
            asks_at: Duration::ZERO,
            halves: halves::Halves::default(),
            tries: 0,
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
