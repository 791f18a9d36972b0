//! Guests: they run as long as their host has power, whatever becomes of any daemon, and write numbered blocks.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_crds::AgentStatus;
use serde::{Deserialize, Serialize};

use super::{MachineRoom, refusal::Refusal, replica::BLOCKS, replication::Write, request::Changed};
use crate::drivers::{GuestDoing, GuestSeen, HowEnded, Owner, WhyPaused};

/// A guest's definition on one host. It outlives the host's reboots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The epoch under which it may run.
    pub epoch: u64,
    /// The generation of its spec.
    pub generation: i64,
    /// Bytes of memory.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// Its disks.
    pub disks: Vec<String>,
}

/// What goes wrong in a guest's next migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MigrationFault {
    /// It fails in time: the guest goes on where it was.
    Fails,
    /// All has arrived, but the last reply is lost: the source stands still and knows nothing.
    ReplyLost,
    /// All has arrived, the last reply is lost, and the source believes that it failed and lets the guest run on.
    ReplyLostSourceResumes,
    /// It never ends.
    Hangs,
    /// It takes this time.
    Slow(Duration),
}

#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) defined: Definition,
    pub(crate) doing: GuestDoing,
    /// Which run of the guest this is; it moves along with a migration.
    pub(crate) run: u64,
    pub(crate) stops_at: Option<Duration>,
    pub(crate) sending: Option<Sending>,
    /// The host that it comes from.
    pub(crate) from: Option<String>,
    /// It does not shut down when it is asked to.
    pub(crate) stubborn: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) to: String,
    pub(crate) ends: Option<Duration>,
}

impl Domain {
    pub(crate) fn executes(&self) -> bool {
        matches!(self.doing, GuestDoing::Running | GuestDoing::Stopping)
    }
}

impl MachineRoom {
    fn domain(&mut self, host: &str, guest: &str) -> Result<&mut Domain, Refusal> {
        self.domains
            .get_mut(host)
            .and_then(|domains| domains.get_mut(guest))
            .ok_or_else(|| Refusal::NotThere(format!("guest {guest} is not defined here")))
    }

    pub(crate) fn guests_on(&self, host: &str) -> Vec<GuestSeen> {
        let domains = self.domains.get(host).into_iter().flatten();
        domains
            .map(|(name, domain)| GuestSeen {
                domain: name.clone(),
                owner: Owner::Ours(name.as_str().into()),
                epoch: Some(domain.defined.epoch),
                generation: Some(domain.defined.generation),
                doing: domain.doing,
                pending_changes: Vec::new(),
                migration: domain.sending.as_ref().map(|_| Default::default()),
                nics: Vec::new(),
                // Whoever runs answers: guests of the room have nothing that could hang inside.
                agent: domain.executes().then(|| AgentStatus {
                    connected: Some(true),
                    ..AgentStatus::default()
                }),
                display: None,
                resources: None,
            })
            .collect()
    }

    pub(crate) fn define(&mut self, host: &str, guest: &str, defined: Definition) {
        let domains = self.domains.entry(host.to_owned()).or_default();
        domains
            .entry(guest.to_owned())
            .and_modify(|domain| {
                domain.defined = defined.clone();
                if matches!(domain.doing, GuestDoing::Off(_)) {
                    domain.doing = GuestDoing::Off(HowEnded::NeverStarted);
                }
            })
            .or_insert_with(|| Domain {
                defined,
                doing: GuestDoing::Off(HowEnded::NeverStarted),
                run: 0,
                stops_at: None,
                sending: None,
                from: None,
                stubborn: false,
            });
        self.touch(host, Changed::Guest(guest.to_owned()));
    }

    pub(crate) fn start(&mut self, host: &str, guest: &str, paused: bool) -> Result<(), Refusal> {
        if self.domain(host, guest)?.doing.active() {
            return Ok(());
        }
        self.open_disks(host, guest)?;
        let run = self.next_number();
        let domain = self.domain(host, guest)?;
        domain.run = run;
        domain.from = None;
        domain.stops_at = None;
        domain.doing = if paused {
            GuestDoing::Paused(WhyPaused::Asked)
        } else {
            GuestDoing::Running
        };
        self.runs.entry(guest.to_owned()).or_default().push(run);
        self.note(format!("guest {guest} starts on {host}, run {run}"));
        self.touch(host, Changed::Guest(guest.to_owned()));
        self.read_all(host, guest);
        Ok(())
    }

    /// What the emulator refuses: memory that is not there, and devices that cannot be opened for writing.
    fn open_disks(&mut self, host: &str, guest: &str) -> Result<(), Refusal> {
        let defined = self.domain(host, guest)?.defined.clone();
        let memory = self.machine(host)?.layout.memory;
        let taken: u64 = self.domains[host]
            .iter()
            .filter(|(name, domain)| domain.doing.active() && name.as_str() != guest)
            .map(|(_, domain)| domain.defined.memory)
            .sum();
        if taken + defined.memory > memory {
            return Err(Refusal::Guest(format!(
                "guest {guest} needs {} bytes of memory; {taken} of {memory} are taken",
                defined.memory
            )));
        }
        for path in &defined.disks {
            match self.volume_at(host, path) {
                Some(volume) if self.opens_for_writing(host, &volume) => {}
                Some(volume) => {
                    return Err(Refusal::Guest(format!(
                        "guest {guest}: {path} cannot be opened: volume {volume} is not Primary on {host}"
                    )));
                }
                None if self.is_file(host, path) => {}
                None => {
                    return Err(Refusal::Guest(format!(
                        "guest {guest}: {path} does not exist on {host}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// A guest that boots reads its disks. What it was once told was written must be there.
    fn read_all(&mut self, host: &str, guest: &str) {
        for volume in self.volumes_of(host, guest) {
            for block in 0..BLOCKS {
                let acknowledged = self
                    .volumes
                    .get(&volume)
                    .and_then(|volume| volume.acknowledged.get(&block).copied());
                let found = self.read(host, &volume, block);
                if found < acknowledged {
                    self.lost_writes.push(super::truth::LostWrite {
                        volume: volume.clone(),
                        host: host.to_owned(),
                        block,
                        acknowledged,
                        found,
                    });
                }
            }
        }
    }

    /// The volumes that the guest's disks on this host are.
    pub(crate) fn volumes_of(&self, host: &str, guest: &str) -> Vec<String> {
        let domain = self
            .domains
            .get(host)
            .and_then(|domains| domains.get(guest));
        domain
            .into_iter()
            .flat_map(|domain| &domain.defined.disks)
            .filter_map(|path| {
                self.volume_at(host, path)
                    .or_else(|| self.below_path(host, path))
            })
            .collect()
    }

    pub(crate) fn pause(&mut self, host: &str, guest: &str) -> Result<(), Refusal> {
        let domain = self.domain(host, guest)?;
        match domain.doing {
            GuestDoing::Running => domain.doing = GuestDoing::Paused(WhyPaused::Asked),
            GuestDoing::Paused(_) => {}
            _ => {
                return Err(Refusal::Guest(format!("guest {guest} does not run")));
            }
        }
        self.touch(host, Changed::Guest(guest.to_owned()));
        Ok(())
    }

    pub(crate) fn resume(&mut self, host: &str, guest: &str) -> Result<(), Refusal> {
        let domain = self.domain(host, guest)?;
        match domain.doing {
            GuestDoing::Running => return Ok(()),
            GuestDoing::Paused(WhyPaused::Incoming) | GuestDoing::Off(_) => {
                return Err(Refusal::Guest(format!(
                    "guest {guest} cannot be resumed: it is {:?}",
                    domain.doing
                )));
            }
            _ => domain.doing = GuestDoing::Running,
        }
        domain.from = None;
        self.note(format!("guest {guest} goes on on {host}"));
        self.touch(host, Changed::Guest(guest.to_owned()));
        Ok(())
    }

    pub(crate) fn shut_down(&mut self, host: &str, guest: &str) -> Result<(), Refusal> {
        let ends = self.now + self.settings.shutdown_time;
        if let Ok(domain) = self.domain(host, guest)
            && domain.doing == GuestDoing::Running
        {
            domain.doing = GuestDoing::Stopping;
            domain.stops_at = (!domain.stubborn).then_some(ends);
            self.touch(host, Changed::Guest(guest.to_owned()));
        }
        Ok(())
    }

    /// Ends a guest on one host. One that is not there is off.
    pub(crate) fn end_guest(
        &mut self,
        host: &str,
        guest: &str,
        how: HowEnded,
    ) -> Result<(), Refusal> {
        if let Ok(domain) = self.domain(host, guest)
            && domain.doing.active()
        {
            domain.doing = GuestDoing::Off(how);
            domain.stops_at = None;
            domain.sending = None;
            domain.from = None;
            self.note(format!("guest {guest} ends on {host}: {how:?}"));
            self.touch(host, Changed::Guest(guest.to_owned()));
        }
        Ok(())
    }

    pub(crate) fn forget_guest(&mut self, host: &str, guest: &str) -> Result<(), Refusal> {
        if let Ok(domain) = self.domain(host, guest)
            && domain.doing.active()
        {
            return Err(Refusal::Busy(format!("guest {guest} is not off")));
        }
        if let Some(domains) = self.domains.get_mut(host) {
            domains.remove(guest);
        }
        self.touch(host, Changed::Guest(guest.to_owned()));
        Ok(())
    }

    pub(crate) fn receive(
        &mut self,
        host: &str,
        guest: &str,
        from: &str,
        defined: Definition,
    ) -> Result<(), Refusal> {
        let active = self
            .domain(host, guest)
            .is_ok_and(|domain| domain.doing.active());
        if !active {
            self.define(host, guest, defined);
            self.open_disks(host, guest)?;
            let domain = self.domain(host, guest)?;
            domain.doing = GuestDoing::Paused(WhyPaused::Incoming);
            domain.from = Some(from.to_owned());
            self.touch(host, Changed::Guest(guest.to_owned()));
        }
        Ok(())
    }

    /// Begins to send, or says how it stands: `true` when it has gone.
    pub(crate) fn send_guest(
        &mut self,
        host: &str,
        guest: &str,
        to: &str,
        first: bool,
    ) -> Result<Option<bool>, Refusal> {
        let waits = self
            .domain(to, guest)
            .is_ok_and(|domain| domain.doing == GuestDoing::Paused(WhyPaused::Incoming));
        let reachable = self.executes(to);
        let ends = match self.migration_faults.get(guest) {
            Some(MigrationFault::Hangs) => None,
            Some(MigrationFault::Slow(time)) => Some(self.now + *time),
            _ => Some(self.now + self.settings.migration_time),
        };
        let domain = self.domain(host, guest)?;
        match domain.doing {
            GuestDoing::Off(HowEnded::Migrated) => return Ok(Some(true)),
            GuestDoing::Paused(WhyPaused::Sent) => return Ok(None),
            _ if domain.sending.is_some() => return Ok(Some(false)),
            GuestDoing::Running | GuestDoing::Paused(WhyPaused::Asked) if first => {}
            _ => {
                return Err(Refusal::Guest(format!(
                    "guest {guest} was not moved: it is {:?} here",
                    domain.doing
                )));
            }
        }
        if !(waits && reachable) {
            return Err(Refusal::Guest(format!(
                "guest {guest} was not moved: {to} does not wait for it"
            )));
        }
        domain.sending = Some(Sending {
            to: to.to_owned(),
            ends,
        });
        self.touch(host, Changed::Guest(guest.to_owned()));
        Ok(Some(false))
    }

    pub(crate) fn cancel_send(&mut self, host: &str, guest: &str) -> Result<(), Refusal> {
        if let Ok(domain) = self.domain(host, guest)
            && let Some(sending) = domain.sending.take()
        {
            self.touch(host, Changed::Guest(guest.to_owned()));
            self.give_up_receiving(&sending.to, guest, host);
        }
        Ok(())
    }

    fn give_up_receiving(&mut self, host: &str, guest: &str, from: &str) {
        if let Ok(domain) = self.domain(host, guest)
            && domain.doing == GuestDoing::Paused(WhyPaused::Incoming)
            && domain.from.as_deref() == Some(from)
        {
            domain.doing = GuestDoing::Off(HowEnded::Failed);
            domain.from = None;
            self.touch(host, Changed::Guest(guest.to_owned()));
        }
    }

    /// The host's kernel is gone: what ran there does not run any more, and what came from there never arrives.
    pub(crate) fn forget_running(&mut self, host: &str) {
        self.mounts.remove(host);
        self.lockspaces.remove(host);
        self.networks.remove(host);
        self.forget_active(host);
        let mut sources = Vec::new();
        for (name, domain) in self.domains.entry(host.to_owned()).or_default() {
            if domain.doing.active() {
                domain.doing = GuestDoing::Off(HowEnded::Unknown);
            }
            domain.sending = None;
            domain.stops_at = None;
            domain.from = None;
            sources.push(name.clone());
        }
        let others: Vec<String> = self.machines.keys().cloned().collect();
        for guest in sources {
            for other in &others {
                self.give_up_receiving(other, &guest, host);
            }
        }
        for domains in self.domains.values_mut() {
            for domain in domains.values_mut() {
                if domain
                    .sending
                    .as_ref()
                    .is_some_and(|sending| sending.to == host)
                {
                    domain.sending = None;
                }
            }
        }
    }

    /// Shutdowns and migrations that are over.
    pub(crate) fn run_guests(&mut self) {
        let now = self.now;
        let mut off = Vec::new();
        let mut gone = Vec::new();
        for (host, domains) in &self.domains {
            if !self.executes(host) {
                continue;
            }
            for (guest, domain) in domains {
                if domain.stops_at.is_some_and(|at| at <= now) {
                    off.push((host.clone(), guest.clone()));
                } else if let Some(sending) = &domain.sending
                    && sending.ends.is_some_and(|at| at <= now)
                {
                    gone.push((host.clone(), guest.clone(), sending.to.clone()));
                }
            }
        }
        for (host, guest) in off {
            // It was listed above, so it is there.
            let _ = self.end_guest(&host, &guest, HowEnded::PoweredOff);
        }
        for (host, guest, to) in gone {
            self.arrive(&host, &guest, &to);
        }
    }

    fn arrive(&mut self, host: &str, guest: &str, to: &str) {
        let fault = self.migration_faults.remove(guest);
        let Ok(source) = self.domain(host, guest) else {
            return;
        };
        source.sending = None;
        let run = source.run;
        if fault == Some(MigrationFault::Fails) {
            self.give_up_receiving(to, guest, host);
            self.touch(host, Changed::Guest(guest.to_owned()));
            return;
        }
        source.doing = match fault {
            Some(MigrationFault::ReplyLost) => GuestDoing::Paused(WhyPaused::Sent),
            Some(MigrationFault::ReplyLostSourceResumes) => GuestDoing::Running,
            _ => GuestDoing::Off(HowEnded::Migrated),
        };
        if let Ok(target) = self.domain(to, guest) {
            target.run = run;
            target.doing = GuestDoing::Paused(WhyPaused::Received);
        }
        self.note(format!("guest {guest} has moved from {host} to {to}"));
        self.touch(host, Changed::Guest(guest.to_owned()));
        self.touch(to, Changed::Guest(guest.to_owned()));
    }

    /// Every guest that executes writes a block on each of its volumes.
    pub(crate) fn let_guests_write(&mut self) {
        let mut writers: Vec<(String, String, u64)> = Vec::new();
        for (host, domains) in &self.domains {
            if self.executes(host) {
                writers.extend(
                    domains
                        .iter()
                        .filter(|(_, domain)| domain.executes())
                        .map(|(guest, domain)| (host.clone(), guest.clone(), domain.run)),
                );
            }
        }
        for (host, guest, run) in writers {
            for volume in self.volumes_of(&host, &guest) {
                let number = self.next_number();
                let block = u32::try_from(number % 32).unwrap_or(0);
                match self.write(&host, &volume, block, number) {
                    Write::Acknowledged => {
                        let progress = self.progress.entry(guest.clone()).or_default();
                        progress.run = run;
                        progress.writes += 1;
                        progress.last_at = self.now;
                    }
                    Write::Waits => {}
                    Write::Fails => {
                        if let Ok(domain) = self.domain(&host, &guest) {
                            domain.doing = GuestDoing::Paused(WhyPaused::DiskError);
                        }
                        self.note(format!(
                            "guest {guest} stands still on {host}: volume {volume} gave an error"
                        ));
                        self.touch(&host, Changed::Guest(guest.clone()));
                    }
                }
            }
        }
    }
}

/// What a guest has got done: the counter on its console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which run of the guest it is.
    pub run: u64,
    /// Writes that were acknowledged to it, over all runs.
    pub writes: u64,
    /// When the last one was.
    pub last_at: Duration,
}

/// All guests' definitions, by host and guest.
pub(crate) type Domains = BTreeMap<String, BTreeMap<String, Domain>>;
