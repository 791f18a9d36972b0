//! What is done to lockspaces, and how they are seen.
//!
//! Each act may be cut off anywhere and is then asked for again. So the kernel is changed first and the note follows,
//! except for the boots of members: those are noted before the lockspace is started, since a member that is made anew
//! twice would be taken for one that has booted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use quorate_crds::{LockspaceAssignment, LockspaceMember, Name};

use super::notes::{Host, Member, Notes, Space};
use super::{Dlm, Shared, failed, locks};
use crate::drivers::command::{self, Command};
use crate::drivers::{DriverError, LockspaceSeen, Trouble};

/// What a mount that is turned away is told: ECANCELED.
const TURNED_AWAY: i32 = -125;
/// A lockspace that was let out is gone in a moment, or somebody looks again.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(50);

impl Dlm {
    pub(super) async fn prepare(
        &self,
        name: &Name,
        target: &LockspaceAssignment,
    ) -> Result<(), DriverError> {
        let _changing = self.shared.changing.lock().await;
        if !self.shared.kernel.is_loaded() {
            self.load().await?;
        }
        let (name, target) = (name.clone(), target.clone());
        self.aside(move |shared| shared.prepare(&name, &target))
            .await
    }

    async fn load(&self) -> Result<(), DriverError> {
        let modules = Command::new("modprobe", ["--all", "configfs", "dlm", "gfs2"]);
        command::act(&*self.run, modules)
            .await
            .map_err(|error| no_module().because(error))?;
        if self.shared.kernel.is_loaded() {
            return Ok(());
        }
        // Where nobody else mounts it.
        let arguments = ["-t", "configfs", "configfs", "/sys/kernel/config"];
        command::act(&*self.run, Command::new("mount", arguments)).await?;
        match self.shared.kernel.is_loaded() {
            true => Ok(()),
            false => Err(no_module()),
        }
    }

    pub(super) async fn stop(&self, name: &Name, generation: u64) -> Result<(), DriverError> {
        let name = name.clone();
        self.aside(move |shared| shared.stop(&name, generation))
            .await
    }

    pub(super) async fn start(
        &self,
        name: &Name,
        target: &LockspaceAssignment,
    ) -> Result<(), DriverError> {
        let _changing = self.shared.changing.lock().await;
        let (name, target) = (name.clone(), target.clone());
        self.aside(move |shared| shared.start(&name, &target)).await
    }

    pub(super) async fn leave(&self, name: &Name) -> Result<(), DriverError> {
        let _changing = self.shared.changing.lock().await;
        let name = name.clone();
        self.aside(move |shared| shared.leave(&name)).await
    }

    /// The kernel says that an unmount waits.
    pub(super) async fn leaves(&self, space: String) -> Result<(), DriverError> {
        self.aside(move |shared| {
            let noted = shared.change(|notes| {
                if let Some(noted) = notes.spaces.get_mut(&space) {
                    noted.leaving = noted.joined;
                }
            });
            noted.map(drop)
        })
        .await
    }
}

/// The cluster's name and the filesystem's.
fn parts(table: &str) -> (&str, &str) {
    table.split_once(':').unwrap_or(("", table))
}

fn of<'n>(notes: &'n Notes, name: &Name) -> Option<(&'n String, &'n Space)> {
    let mut spaces = notes.spaces.iter();
    spaces.find(|(_, space)| space.filesystem == *name)
}

impl Shared {
    pub(super) fn seen(&self) -> Result<Vec<LockspaceSeen>, DriverError> {
        let there = self.kernel.lockspaces();
        let there = there.map_err(|error| failed("the list of lockspaces", error))?;
        let mut notes = self.noted()?;
        let gone = |(name, space): &(&String, &Space)| space.joined && !there.contains(*name);
        let gone: Vec<String> = notes
            .spaces
            .iter()
            .filter(gone)
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            notes = self.forget(&name)?;
        }
        if notes.spaces.iter().any(|(name, space)| {
            space.joined && !space.leaving && there.contains(name) && !self.has_mount(&space.table)
        }) {
            notes = self.look_for_unmounts(&there)?;
        }
        let seen = there.into_iter().map(|name| match notes.spaces.get(&name) {
            Some(space) => LockspaceSeen {
                name: space.filesystem.clone(),
                ours: true,
                generation: space.generation,
                running: space.running,
                joining: !space.joined,
                leaving: space.leaving,
                members: space.members.values().map(|it| it.node.clone()).collect(),
            },
            None => LockspaceSeen {
                ours: false,
                generation: None,
                running: self.kernel.gives_locks(&name),
                joining: false,
                leaving: false,
                members: Vec::new(),
                name: Name(name),
            },
        });
        Ok(seen.collect())
    }

    /// Whether the filesystem of that lock table is mounted. An unmount that is under way is not.
    fn has_mount(&self, table: &str) -> bool {
        let device = self.kernel.0.read(&format!("/sys/fs/gfs2/{table}/id"));
        let Ok(device) = device else { return false };
        let mounts = self.kernel.0.read("/proc/self/mountinfo");
        mounts.is_ok_and(|mounts| {
            let mut lines = mounts.lines();
            lines.any(|line| line.split(' ').nth(2) == Some(device.trim()))
        })
    }

    /// The kernel says once that an unmount waits, and we may not have been there. It is not enough that nothing is mounted
    /// any more: until it waits, an unmount needs locks.
    fn look_for_unmounts(&self, there: &[String]) -> Result<Notes, DriverError> {
        let waiting = self.kernel.is_in("dlm_release_lockspace");
        self.change(|notes| {
            let mut unmounted: Vec<&mut Space> = notes
                .spaces
                .iter_mut()
                .filter(|(name, space)| {
                    space.joined && there.contains(*name) && !self.has_mount(&space.table)
                })
                .map(|(_, space)| space)
                .collect();
            // With fewer that wait, nobody knows which ones: the next look may tell.
            if unmounted.len() <= waiting {
                for space in &mut unmounted {
                    space.leaving = true;
                }
            }
        })
    }

    fn forget(&self, space: &str) -> Result<Notes, DriverError> {
        let id = self.noted()?.spaces.get(space).and_then(|space| space.id);
        if let Some(id) = id {
            self.locks_end(id)?;
        }
        self.kernel
            .remove_space(space)
            .map_err(|error| failed(&format!("lockspace {space}"), error))?;
        self.change(|notes| notes.spaces.remove(space))
    }

    fn prepare(&self, name: &Name, target: &LockspaceAssignment) -> Result<(), DriverError> {
        let (cluster, space) = parts(&target.table);
        let notes = self.noted()?;
        self.refuse_another_s(&notes, space, name)?;
        let fails = |error| failed("the lock manager's configuration", error);
        self.kernel.set_up(cluster).map_err(fails)?;
        for id in self.kernel.hosts().map_err(fails)? {
            if !notes.hosts.contains_key(&id) {
                self.kernel.remove_host(id).map_err(fails)?;
            }
        }
        let own = own(target)?;
        self.introduce(own, own.node_id)?;
        let there = self.kernel.lockspaces().map_err(fails)?;
        let is_new = !there.iter().any(|one| one == space);
        if is_new {
            // What an earlier mount of this boot has left is over.
            self.locks_end(target.id)?;
        }
        self.change(|notes| {
            if is_new {
                let fresh = Space {
                    filesystem: name.clone(),
                    table: target.table.clone(),
                    id: Some(target.id),
                    own: Some(own.node_id),
                    program_locks: None,
                    generation: None,
                    running: false,
                    joined: false,
                    leaving: false,
                    members: BTreeMap::new(),
                };
                notes.spaces.insert(space.to_owned(), fresh);
            }
        })
        .map(drop)
    }

    fn refuse_another_s(&self, notes: &Notes, space: &str, name: &Name) -> Result<(), DriverError> {
        let fails = |error| failed("the lock manager's configuration", error);
        let there = self.kernel.lockspaces().map_err(fails)?;
        let configured = self.kernel.configured().map_err(fails)?;
        let foreign = there
            .iter()
            .chain(&configured)
            .find(|one| !notes.spaces.contains_key(*one));
        let refuse = |message: String| Err(DriverError::lasting(Trouble::ForeignInTheWay, message));
        if let Some(foreign) = foreign {
            return refuse(format!(
                "another program drives the lock manager of this host, with lockspace {foreign}: unmount what uses it and end that program"
            ));
        }
        if self.kernel.is_driven_by_another() {
            return refuse(
                "dlm_controld runs on this host, and only one program can drive the lock manager: stop and disable it".to_owned(),
            );
        }
        match notes.spaces.get(space) {
            Some(noted) if noted.filesystem != *name => refuse(format!(
                "filesystem {} has a lock table of the same name on this host",
                noted.filesystem
            )),
            _ => Ok(()),
        }
    }

    /// Tells the kernel how a host is reached, when it does not know it so already. One that has booted since is a new one.
    fn introduce(&self, member: &LockspaceMember, own: u32) -> Result<(), DriverError> {
        let fails = |error| failed(&format!("how {} is reached", member.node), error);
        let address = member.addresses.first().map(|address| address.0.clone());
        let parsed = address
            .as_ref()
            .and_then(|text| text.parse::<IpAddr>().ok());
        let (Some(address), Some(parsed)) = (address, parsed) else {
            return Err(DriverError::passing(
                Trouble::WaitsForOthers,
                format!(
                    "no address of {} for the lock manager is known: give it one in a network with role BackChannel or Storage",
                    member.node
                ),
            ));
        };
        let is_own = member.node_id == own;
        let known = self.noted()?.hosts.get(&member.node_id).cloned();
        let there = self.kernel.hosts().map_err(fails)?;
        let wanted = Host {
            node: member.node.clone(),
            incarnation: member.incarnation.filter(|_| !is_own),
            address,
        };
        if known.as_ref() == Some(&wanted) && there.contains(&member.node_id) {
            return Ok(());
        }
        self.kernel.remove_host(member.node_id).map_err(fails)?;
        self.kernel
            .add_host(member.node_id, parsed, is_own)
            .map_err(fails)?;
        self.change(|notes| notes.hosts.insert(member.node_id, wanted))
            .map(drop)
    }

    pub(super) fn stop(&self, name: &Name, generation: u64) -> Result<(), DriverError> {
        let notes = self.noted()?;
        let Some((space, noted)) = of(&notes, name) else {
            return Ok(());
        };
        self.locks_stop(noted)?;
        self.kernel
            .stop(space)
            .map_err(|error| failed(&format!("lockspace {space}"), error))?;
        self.change(|notes| {
            if let Some(noted) = notes.spaces.get_mut(space) {
                noted.generation = Some(generation);
                noted.running = false;
            }
        })
        .map(drop)
    }

    pub(super) fn start(
        &self,
        name: &Name,
        target: &LockspaceAssignment,
    ) -> Result<(), DriverError> {
        let notes = self.noted()?;
        let Some((space, noted)) = of(&notes, name) else {
            return Err(DriverError::passing(
                Trouble::WaitsForOthers,
                format!("{name} has no lockspace of ours on this host: nothing is mounted"),
            ));
        };
        let fails = |error| failed(&format!("lockspace {space}"), error);
        if noted.running && noted.generation != Some(target.generation) {
            return Err(DriverError::passing(
                Trouble::WaitsForOthers,
                format!("lockspace {space} gives locks: it is stopped before its members change"),
            ));
        }
        // A generation has one form, whoever says otherwise of it later.
        let form = match noted.running {
            true => noted.program_locks,
            false => target.program_locks,
        };
        locks::knows(form)?;
        let own = own(target)?.node_id;
        let wanted: BTreeMap<u32, &LockspaceMember> = target
            .members
            .iter()
            .map(|member| (member.node_id, member))
            .collect();
        // Whoever goes is forgotten whole: the filesystem replays the journal of a member that cannot be reached any more.
        for id in self.kernel.members(space).map_err(fails)? {
            if !wanted.contains_key(&id) {
                self.kernel.remove_member(space, id).map_err(fails)?;
                if id != own {
                    self.kernel.remove_host(id).map_err(fails)?;
                    self.change(|notes| notes.hosts.remove(&id))?;
                }
            }
        }
        for member in &target.members {
            self.introduce(member, own)?;
        }
        self.kernel.make_space(space).map_err(fails)?;
        let there = self.kernel.members(space).map_err(fails)?;
        let mut members = noted.members.clone();
        members.retain(|id, _| wanted.contains_key(id));
        for (id, member) in wanted {
            let now = Member {
                node: member.node.clone(),
                incarnation: member.incarnation,
            };
            if members.get(&id) != Some(&now) || !there.contains(&id) {
                self.kernel.remove_member(space, id).map_err(fails)?;
                self.kernel.add_member(space, id).map_err(fails)?;
                members.insert(id, now);
            }
        }
        self.change(|notes| {
            if let Some(noted) = notes.spaces.get_mut(space) {
                noted.members.clone_from(&members);
            }
        })?;
        if !noted.joined {
            self.kernel.number(space, target.id).map_err(fails)?;
        }
        self.kernel.start(space).map_err(fails)?;
        let started = Space {
            id: Some(target.id),
            own: Some(own),
            generation: Some(target.generation),
            running: true,
            program_locks: form,
            members,
            ..noted.clone()
        };
        // Before a mount is let in: then its programs may ask.
        self.locks_start(&started)?;
        if !noted.joined {
            self.kernel.answer(space, 0).map_err(fails)?;
        }
        self.change(|notes| {
            if let Some(noted) = notes.spaces.get_mut(space) {
                *noted = Space {
                    joined: true,
                    leaving: noted.leaving,
                    ..started
                };
            }
        })
        .map(drop)
    }

    pub(super) fn leave(&self, name: &Name) -> Result<(), DriverError> {
        let notes = self.noted()?;
        let Some((space, noted)) = of(&notes, name) else {
            return Ok(());
        };
        let fails = |error| failed(&format!("lockspace {space}"), error);
        let there = || -> Result<bool, DriverError> {
            let there = self.kernel.lockspaces().map_err(fails)?;
            Ok(there.contains(space))
        };
        if there()? {
            let waits = noted.leaving || !noted.joined;
            if !waits {
                return Err(DriverError::passing(
                    Trouble::InUse,
                    format!("lockspace {space} is in use: nothing waits to be let out"),
                ));
            }
            let answer = if noted.joined { 0 } else { TURNED_AWAY };
            self.kernel.answer(space, answer).map_err(fails)?;
        }
        for _ in 0..LOOKS {
            if !there()? {
                return self.forget(space).map(drop);
            }
            std::thread::sleep(LOOK);
        }
        // It was answered; when it is gone, a look finds it.
        Ok(())
    }
}

fn own(target: &LockspaceAssignment) -> Result<&LockspaceMember, DriverError> {
    target.own.as_ref().ok_or_else(|| {
        DriverError::lasting(
            Trouble::NotSupported,
            "the plan does not say which number this host has among those that share the locks: upgrade the cluster's members",
        )
    })
}

fn no_module() -> DriverError {
    DriverError::lasting(
        Trouble::NotInstalled,
        "the kernel of this host has no modules dlm and gfs2: install a kernel that has them, or list other hosts for the filesystem",
    )
}
