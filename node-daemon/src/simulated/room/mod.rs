//! A room full of machines that do not exist.
//!
//! The room is a sans-IO model: it is asked with [`Request`]s and told how time goes on with [`MachineRoom::advance`],
//! and everything in it follows from these alone. Machines have power, boards, outlets, watchdogs and boot ids; replicas
//! meet, part, resync, freeze and split like DRBD's; guests run as long as their machine executes anything, whether any
//! daemon lives or not, and write numbered blocks, so that a write that was acknowledged and then lost is noticed.
//! [`MachineRoom::truth`] tells what really is so, which no daemon can see.

mod calls;
mod guests;
mod layout;
mod observe;
mod power;
mod refusal;
mod replica;
mod replication;
mod request;
mod shared_groups;
mod storage;
#[cfg(test)]
mod tests;
mod truth;

pub use guests::{Definition, MigrationFault, Progress};
pub use layout::{DeviceKind, DeviceLayout, Layout, MachineLayout};
pub use power::{DeviceBehaviour, Kernel};
pub use refusal::Refusal;
pub use replica::BLOCKS;
pub use request::{
    Answer, CallFault, Changed, FenceCall, FilesystemCall, GuestCall, Happening, HostCall,
    LockspaceCall, LostPeer, NetworkCall, PeerFate, PoolCall, PowerReply, ReplicationCall, Reply,
    Request, Subsystem, WatchdogCall,
};
pub use truth::{Copy, LockspaceTruth, LostWrite, MachineTruth, ReplicaTruth, Truth};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::drivers::{LockspaceSeen, NetworkSeen};

/// Everything that moves by itself moves this often.
pub const STEP: Duration = Duration::from_millis(STEP_MILLIS);
const STEP_MILLIS: u64 = 50;

/// How long things take in the room.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// From power to a running kernel.
    pub boot_time: Duration,
    /// From the request to shut down until a guest is off.
    pub shutdown_time: Duration,
    /// A live migration.
    pub migration_time: Duration,
    /// How often each guest writes.
    pub write_interval: Duration,
    /// Blocks that a resync moves in one second; a volume has [`BLOCKS`].
    pub resync_rate: u32,
    /// How long a fence device takes.
    pub device_time: Duration,
    /// After how long a fence device that does not answer is given up by its agent.
    pub device_timeout: Duration,
    /// How long a driver's act takes.
    pub act_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            boot_time: Duration::from_secs(20),
            shutdown_time: Duration::from_secs(2),
            migration_time: Duration::from_secs(3),
            write_interval: Duration::from_millis(500),
            resync_rate: 64,
            device_time: Duration::from_millis(200),
            device_timeout: Duration::from_secs(5),
            act_time: Duration::from_millis(100),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Volume {
    pub(crate) replicas: BTreeMap<String, replica::Replica>,
    /// The device's path on each host.
    pub(crate) devices: BTreeMap<String, String>,
    pub(crate) sizes: BTreeMap<String, u64>,
    /// What was last acknowledged, of each block.
    pub(crate) acknowledged: BTreeMap<u32, u64>,
}

#[derive(Clone, Debug, Default)]
struct Changes {
    number: u64,
    recent: BTreeMap<u64, Changed>,
}

/// The generation of data in which nothing was ever written.
const EMPTY: u64 = 1;

/// How many changes of a host are remembered by name.
const REMEMBERED: usize = 128;

/// The room.
#[derive(Clone, Debug)]
pub struct MachineRoom {
    seed: u32,
    settings: Settings,
    now: Duration,
    next_step: Duration,
    next_write: Duration,
    /// Thousandths of a block that resyncs may move.
    resync_credit: u64,
    last_number: u64,
    machines: BTreeMap<String, power::Machine>,
    devices: BTreeMap<String, power::Device>,
    cut: BTreeSet<(String, String)>,
    volumes: BTreeMap<String, Volume>,
    groups: BTreeMap<String, BTreeMap<String, storage::Group>>,
    shared_groups: BTreeMap<String, shared_groups::SharedGroup>,
    mounts: BTreeMap<String, BTreeMap<String, storage::Mount>>,
    /// The last check of each filesystem on each host.
    checks: BTreeMap<(String, String), u64>,
    lockspaces: BTreeMap<String, BTreeMap<String, LockspaceSeen>>,
    networks: BTreeMap<String, BTreeMap<String, NetworkSeen>>,
    domains: guests::Domains,
    progress: BTreeMap<String, Progress>,
    runs: BTreeMap<String, Vec<u64>>,
    lost_writes: Vec<LostWrite>,
    watchdogs_fired: u64,
    migration_faults: BTreeMap<String, MigrationFault>,
    call_faults: BTreeMap<(String, Subsystem), (CallFault, u32)>,
    changes: BTreeMap<String, Changes>,
    log: Vec<String>,
}

impl MachineRoom {
    /// A room in which every machine has power and runs already. Boot ids are made from `seed`.
    #[must_use]
    pub fn new(layout: Layout, settings: Settings, seed: u32) -> Self {
        let machines = layout.machines.into_iter().map(|layout| {
            let machine = power::Machine {
                mains: true,
                switched_on: true,
                kernel: Kernel::Running,
                boots: 1,
                up_at: Duration::ZERO,
                watchdog: power::WatchdogState::default(),
                powered: true,
                layout,
            };
            (machine.layout.name.clone(), machine)
        });
        let devices = layout.devices.into_iter().map(|device| {
            let known = power::Device {
                kind: device.kind,
                behaviour: DeviceBehaviour::Works,
                off: BTreeSet::new(),
            };
            (device.name, known)
        });
        Self {
            seed,
            now: Duration::ZERO,
            next_step: STEP,
            next_write: settings.write_interval,
            settings,
            resync_credit: 0,
            last_number: EMPTY,
            machines: machines.collect(),
            devices: devices.collect(),
            cut: BTreeSet::new(),
            volumes: BTreeMap::new(),
            groups: BTreeMap::new(),
            shared_groups: BTreeMap::new(),
            mounts: BTreeMap::new(),
            checks: BTreeMap::new(),
            lockspaces: BTreeMap::new(),
            networks: BTreeMap::new(),
            domains: BTreeMap::new(),
            progress: BTreeMap::new(),
            runs: BTreeMap::new(),
            lost_writes: Vec::new(),
            watchdogs_fired: 0,
            migration_faults: BTreeMap::new(),
            call_faults: BTreeMap::new(),
            changes: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    /// Lets time go on until `now`, counted from the room's beginning.
    pub fn advance(&mut self, now: Duration) {
        while self.next_step <= now {
            self.now = self.next_step;
            self.next_step += STEP;
            self.step();
        }
        self.now = self.now.max(now);
    }

    fn step(&mut self) {
        self.run_machines();
        self.run_guests();
        self.resync_credit += u64::from(self.settings.resync_rate) * STEP_MILLIS;
        let whole = self.resync_credit / 1000;
        self.resync_credit %= 1000;
        self.resync(usize::try_from(whole).unwrap_or(usize::MAX));
        if self.now >= self.next_write {
            self.next_write = self.now + self.settings.write_interval;
            self.let_guests_write();
        }
    }

    /// The room's time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Whether the host's kernel executes anything.
    pub(crate) fn executes(&self, host: &str) -> bool {
        self.machines
            .get(host)
            .is_some_and(|machine| machine.kernel.executes())
    }

    pub(crate) fn storage_reaches(&self, one: &str, other: &str) -> bool {
        let pair = if one < other {
            (one.to_owned(), other.to_owned())
        } else {
            (other.to_owned(), one.to_owned())
        };
        self.executes(one) && self.executes(other) && !self.cut.contains(&pair)
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn touch(&mut self, host: &str, what: Changed) {
        let changes = self.changes.entry(host.to_owned()).or_default();
        changes.number += 1;
        changes.recent.insert(changes.number, what);
        while changes.recent.len() > REMEMBERED {
            changes.recent.pop_first();
        }
    }

    pub(crate) fn changed_since(&self, host: &str, seen: u64) -> (u64, BTreeSet<Changed>) {
        let Some(changes) = self.changes.get(host) else {
            return (0, BTreeSet::new());
        };
        let forgotten = changes
            .recent
            .first_key_value()
            .is_some_and(|(oldest, _)| *oldest > seen + 1)
            || seen > changes.number;
        let what = if forgotten {
            BTreeSet::from([Changed::Anything])
        } else {
            changes
                .recent
                .range(seen + 1..)
                .map(|(_, what)| what.clone())
                .collect()
        };
        (changes.number, what)
    }

    pub(crate) fn note(&mut self, text: String) {
        self.log
            .push(format!("{:9.2} {text}", self.now.as_secs_f64()));
    }
}
