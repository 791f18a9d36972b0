//! Faults begin and end.

use std::time::Duration;

use quorate_node_daemon::simulated::room::{DeviceBehaviour, Happening, Request};

use quorate_store::disk::sim::SimDisk;

use super::{Trouble, World, manifests, units::counted};
use crate::executor::{Condition, MachineId, Ring};

const RINGS: [Ring; 2] = [0, 1];

/// Which bit of a byte reads wrong.
const BIT: u8 = 3;

impl World {
    /// A fault begins, or is over.
    pub(crate) fn happen(&mut self, what: &Trouble, begins: bool) {
        let label = format!("{what:?} {begins}");
        self.trace.note(self.now(), &label, 0);
        match what {
            Trouble::Kill { process } => {
                self.units.kill(process, begins);
                self.settle(process);
            }
            Trouble::Pause { process } => {
                self.units.pause(process, begins);
                self.settle(process);
            }
            Trouble::Mains { machine } => self.room_happens(Happening::Mains {
                machine: machine.clone(),
                on: !begins,
            }),
            Trouble::Crash { machine } if begins => {
                self.room_happens(Happening::Crash(machine.clone()));
            }
            Trouble::Hang { machine } if begins => {
                self.room_happens(Happening::Hang(machine.clone()));
            }
            // A person resets what still hangs when the fault is over.
            Trouble::Crash { machine } | Trouble::Hang { machine } => {
                if !self.runs_processes(machine) {
                    self.room_happens(Happening::Reset(machine.clone()));
                }
            }
            Trouble::Ring {
                one,
                other,
                ring,
                both,
            } => {
                let (one, other) = (self.machine(one), self.machine(other));
                self.cut(one, other, *ring, begins);
                if *both {
                    self.cut(other, one, *ring, begins);
                }
            }
            Trouble::Isolate { machine } => {
                let one = self.machine(machine);
                for other in (0..self.machines.len()).filter(|other| *other != one) {
                    for ring in RINGS {
                        self.cut(one, other, ring, begins);
                        self.cut(other, one, ring, begins);
                    }
                }
            }
            Trouble::Storage { one, other } => self.room_happens(Happening::StorageLink {
                one: one.clone(),
                other: other.clone(),
                up: !begins,
            }),
            Trouble::Storm { loss, most_ms } => {
                let calm = Condition::default();
                let condition = Condition {
                    loss: *loss,
                    doubled: *loss,
                    most: Duration::from_millis(*most_ms),
                    ..calm
                };
                let now = if begins { condition } else { calm };
                self.executor.wire().set_condition(now);
            }
            Trouble::Clock { machine, by_ms } => {
                if let Some(clock) = self.clocks.get(machine) {
                    clock.set_wrong_by(if begins { *by_ms } else { 0 });
                }
            }
            Trouble::Drift { machine, by } => {
                let number = self.machine(machine);
                self.executor
                    .set_drift(number, if begins { *by } else { 0 });
            }
            Trouble::DiskFull { member } => {
                if let Some(site) = self.sites.get(member) {
                    let full = begins.then(|| site.disk.used());
                    site.disk.set_capacity(full);
                }
            }
            Trouble::DiskCorrupt { member, nth } => self.corrupt(member, *nth, begins),
            Trouble::DeviceDead { device } => {
                self.device(device, DeviceBehaviour::Unreachable, begins);
            }
            Trouble::DeviceFails { device } => {
                self.device(device, DeviceBehaviour::Fails, begins);
            }
            Trouble::DeviceActsNot { device } => {
                self.device(device, DeviceBehaviour::ActsNot, begins);
            }
            Trouble::DeviceLies { device } => self.device(device, DeviceBehaviour::Lies, begins),
            // It lasts until the fault is over or the process is started again.
            Trouble::Deaf { process } => {
                if let Some(inbox) = self.inboxes.get(process) {
                    inbox.set_deaf(begins);
                }
            }
            Trouble::OldPlan { host } if begins => self.old_plans.keep(host),
            Trouble::OldPlan { .. } => {}
            Trouble::GuestCrash { guest } if begins => {
                self.judge.crashes(guest);
                self.room_happens(Happening::GuestCrashes(guest.clone()));
            }
            Trouble::GuestCrash { .. } => {}
            Trouble::Drain { host } => {
                let mode = if begins { "Drained" } else { "Active" };
                let wanted = manifests::node(&self.setup, host, mode);
                self.wants.insert(host.clone(), wanted);
            }
            Trouble::TakenOff { nth } => {
                let keeper = if begins { self.keeper(*nth) } else { None };
                let wanted = manifests::filesystem(&self.setup, keeper.as_deref());
                self.wants.insert(manifests::SHARED.to_owned(), wanted);
            }
            Trouble::GuestOff { guest } => {
                let desired = if begins { "Stopped" } else { "Running" };
                let wanted = manifests::guest(&self.setup, guest, desired);
                self.wants.insert(guest.clone(), wanted);
            }
        }
    }

    /// One of the hosts on which the volume of the shared filesystem is up.
    fn keeper(&self, nth: usize) -> Option<String> {
        let truth = self.room.lock().truth();
        let mut keepers = truth.volumes.get(manifests::SHARED)?.keys();
        keepers.nth(nth).cloned()
    }

    /// Early in a file, where it cannot be mistaken for a write that a crash has torn. When the last such fault of a member
    /// is over, one that refuses to start gets its data back.
    fn corrupt(&mut self, member: &str, nth: usize, begins: bool) {
        let process = format!("quorated@{member}");
        let Some(disk) = self.sites.get(member).map(|site| site.disk.clone()) else {
            return;
        };
        let damage = self.damage.entry(member.to_owned()).or_default();
        if begins {
            damage.faults += 1;
            let files = disk.names();
            let Some(file) = files.get(nth % files.len().max(1)) else {
                return;
            };
            let place = disk.content(file).map_or(0, |content| content.len() / 4);
            self.units.kill(&process, true);
            self.settle(&process);
            if disk.flip_bit(file, place, BIT) {
                let byte = byte_at(&disk, file, place);
                let flipped = Flipped {
                    file: file.clone(),
                    place,
                    byte,
                };
                self.damage
                    .entry(member.to_owned())
                    .or_default()
                    .flipped
                    .push(flipped);
            }
        } else {
            damage.faults = damage.faults.saturating_sub(1);
            if damage.faults > 0 {
                return;
            }
            let flipped = std::mem::take(&mut damage.flipped);
            // What stands still with its machine has not read its disk again.
            let lives = self.running.get(member).is_some() && self.runs_processes(member);
            if flipped.is_empty() || lives {
                return;
            }
            self.units.kill(&process, true);
            self.settle(&process);
            // The last one first: two may have met the same file.
            for flipped in flipped.iter().rev() {
                flipped.put_right(&disk);
            }
        }
        self.units.kill(&process, false);
        self.settle(&process);
    }

    fn device(&mut self, device: &str, behaviour: DeviceBehaviour, begins: bool) {
        let behaviour = if begins {
            behaviour
        } else {
            DeviceBehaviour::Works
        };
        self.room_happens(Happening::Device {
            device: device.to_owned(),
            behaviour,
        });
    }

    fn room_happens(&mut self, what: Happening) {
        // A guest that is nowhere cannot crash, and a machine without power cannot hang: then nothing happens.
        let answer = self.room.lock().ask(Request::Happen(what));
        if let Err(refusal) = answer.outcome {
            self.trace
                .note(self.now(), &format!("nothing: {refusal:?}"), 0);
        }
    }

    fn cut(&mut self, from: MachineId, to: MachineId, ring: Ring, begins: bool) {
        let count = self.cuts.entry((from, to, ring)).or_default();
        *count = counted(*count, begins);
        let cut = *count > 0;
        self.executor.wire().set_cut(from, to, ring, cut);
    }
}

/// What reads wrong on a member's disk.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// How many faults last.
    faults: u32,
    flipped: Vec<Flipped>,
}

#[derive(Debug)]
struct Flipped {
    file: String,
    place: usize,
    /// As it reads since.
    byte: Option<u8>,
}

impl Flipped {
    /// Whoever found the file damaged may have set it aside under a longer name, or have written it anew.
    fn put_right(&self, disk: &SimDisk) {
        let Some(found) = disk
            .names()
            .into_iter()
            .find(|name| name.ends_with(&self.file))
        else {
            return;
        };
        if byte_at(disk, &found, self.place) != self.byte {
            return;
        }
        disk.flip_bit(&found, self.place, BIT);
        let mount = disk.mount();
        if found != self.file && mount.rename(&found, &self.file).is_ok() {
            // Nothing fails on a simulated disk that is not full.
            let _ = mount.sync_dir();
        }
    }
}

fn byte_at(disk: &SimDisk, file: &str, place: usize) -> Option<u8> {
    disk.content(file)?.get(place).copied()
}
