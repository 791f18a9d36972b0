//! What is so in the room, whatever anybody believes: for checkers, and for people who look on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_crds::{DiskState, ReplicaRole};
use serde::{Deserialize, Serialize};

use super::{MachineRoom, guests::Progress, power::Kernel, storage::Stage};
use crate::drivers::GuestDoing;

/// A guest on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// The host.
    pub host: String,
    /// Which run of the guest it is.
    pub run: u64,
    /// The epoch that it was defined with.
    pub epoch: u64,
    /// What it does.
    pub doing: GuestDoing,
    /// Whether it executes instructions now.
    pub executes: bool,
}

/// A replica on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaTruth {
    /// Whether it is open for writing.
    pub role: ReplicaRole,
    /// Its data.
    pub disk: DiskState,
    /// Whether two may be open for writing.
    pub allow_two_primaries: bool,
    /// Whether writes wait.
    pub frozen: bool,
    /// The hosts of the replicas that get what is written here.
    pub connected: BTreeSet<String>,
}

/// A shared filesystem on one host, and its locks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockspaceTruth {
    /// Whether its kernel gives locks.
    pub running: bool,
    /// The generation under which it was last stopped or started.
    pub generation: Option<u64>,
    /// With whom it was started.
    pub members: BTreeSet<String>,
    /// Whether it may write: the filesystem is mounted, and not just being unmounted.
    pub writes: bool,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineTruth {
    /// Whether current reaches it.
    pub power: bool,
    /// What its kernel does.
    pub kernel: Kernel,
    /// The boot id of its present, or last, boot.
    pub boot_id: String,
    /// How often it has booted.
    pub boots: u64,
    /// Bytes of memory that guests take.
    pub memory_taken: u64,
    /// Bytes of memory.
    pub memory: u64,
}

/// A write that was acknowledged, and that a guest that started later did not find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostWrite {
    /// The volume.
    pub volume: String,
    /// Where it was missed.
    pub host: String,
    /// The block.
    pub block: u32,
    /// What was acknowledged.
    pub acknowledged: Option<u64>,
    /// What was there.
    pub found: Option<u64>,
}

/// What is so in the room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The room's time.
    pub now: Duration,
    /// The machines.
    pub machines: BTreeMap<String, MachineTruth>,
    /// Every copy of every guest that is not off.
    pub guests: BTreeMap<String, Vec<Copy>>,
    /// What each guest has got done.
    pub progress: BTreeMap<String, Progress>,
    /// Every replica that is up, by volume and host.
    pub volumes: BTreeMap<String, BTreeMap<String, ReplicaTruth>>,
    /// Hosts on which a guest or a mounted filesystem may write the volume at this moment.
    pub writers: BTreeMap<String, BTreeSet<String>>,
    /// Lockspaces of hosts that execute, by filesystem and host.
    pub lockspaces: BTreeMap<String, BTreeMap<String, LockspaceTruth>>,
    /// Acknowledged writes that were missed since the room began.
    pub lost_writes: Vec<LostWrite>,
    /// How often a watchdog has fired.
    pub watchdogs_fired: u64,
    /// Every run that each guest ever had.
    pub runs: BTreeMap<String, Vec<u64>>,
}

impl Truth {
    /// Guests of which more than one copy executes now.
    pub fn doubled_guests(&self) -> impl Iterator<Item = &str> {
        self.guests
            .iter()
            .filter(|(_, copies)| copies.iter().filter(|copy| copy.executes).count() > 1)
            .map(|(guest, _)| guest.as_str())
    }
}

impl MachineRoom {
    /// What is so in the room.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let mut truth = Truth {
            now: self.now,
            progress: self.progress.clone(),
            lost_writes: self.lost_writes.clone(),
            watchdogs_fired: self.watchdogs_fired,
            runs: self.runs.clone(),
            ..Truth::default()
        };
        for (name, machine) in &self.machines {
            let domains = self.domains.get(name).into_iter().flatten();
            let memory_taken = domains
                .filter(|(_, domain)| domain.doing.active())
                .map(|(_, domain)| domain.defined.memory)
                .sum();
            let known = MachineTruth {
                power: machine.powered,
                kernel: machine.kernel,
                boot_id: self.boot_id(name).unwrap_or_default(),
                boots: machine.boots,
                memory_taken,
                memory: machine.layout.memory,
            };
            truth.machines.insert(name.clone(), known);
        }
        for (host, domains) in &self.domains {
            for (guest, domain) in domains {
                if !domain.doing.active() {
                    continue;
                }
                let executes = domain.executes() && self.executes(host);
                truth.guests.entry(guest.clone()).or_default().push(Copy {
                    host: host.clone(),
                    run: domain.run,
                    epoch: domain.defined.epoch,
                    doing: domain.doing,
                    executes,
                });
                if executes {
                    for volume in self.volumes_of(host, guest) {
                        truth
                            .writers
                            .entry(volume)
                            .or_default()
                            .insert(host.clone());
                    }
                }
            }
        }
        for (host, mounts) in &self.mounts {
            for mount in mounts.values().filter(|mount| mount.mounted()) {
                if self.executes(host) {
                    truth
                        .writers
                        .entry(mount.volume.clone())
                        .or_default()
                        .insert(host.clone());
                }
            }
        }
        for (host, spaces) in &self.lockspaces {
            for (name, space) in spaces.iter().filter(|_| self.executes(host)) {
                let mut mounts = self.mounts.get(host).into_iter().flatten();
                let lockspace = LockspaceTruth {
                    running: space.running,
                    generation: space.generation,
                    members: space.members.iter().map(ToString::to_string).collect(),
                    writes: mounts
                        .any(|(_, mount)| mount.owner == *name && mount.stage == Stage::Mounted),
                };
                let hosts = truth.lockspaces.entry(name.clone()).or_default();
                hosts.insert(host.clone(), lockspace);
            }
        }
        for (volume, known) in &self.volumes {
            for (host, replica) in &known.replicas {
                if let Some(live) = &replica.live {
                    let replica = ReplicaTruth {
                        role: live.role,
                        disk: live.disk,
                        allow_two_primaries: live.allow_two_primaries,
                        frozen: live.frozen(),
                        connected: live.connected().cloned().collect(),
                    };
                    truth
                        .volumes
                        .entry(volume.clone())
                        .or_default()
                        .insert(host.clone(), replica);
                }
            }
        }
        truth
    }
}
