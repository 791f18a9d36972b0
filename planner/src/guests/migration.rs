//! Live migration, as a sequence of plans each of which is safe by itself.
//!
//! Nothing here remembers a step. What comes next follows from the records and from what the hosts
//! say about them, so that any party may crash at any moment and whoever leads goes on:
//!
//! 1. *Preparing*: the volumes are opened for two on both sides, then opened on the target.
//! 2. The target is told to receive. It keeps whatever arrives paused until it is told otherwise.
//! 3. *Running*: the source is told to send. It says that it has sent everything, and from then on
//!    never runs the guest again; or that sending failed, and runs on.
//! 4. *Switching*: the source is told to let go. Its record says that the guest was handed over, and
//!    goes only together with the order to the target to run what arrived.
//! 5. As soon as only one host needs the volumes, they are closed for two again.
//!
//! When the source dies before it said that it had sent everything, what arrived is thrown away and
//! the guest is started anew once the source is confirmed off: libvirt may have let it run on, and
//! its later writes would not be in the memory that arrived.

use super::assignment::{Told, assignment, handed_over, migration, step};
use super::traffic::{Running, cancelled};
use super::{Guest, Work, enter, epoch, settle_on, why};
use crate::amounts::{later, moment, span};
use crate::networks;
use crate::placement::{self, Wish};
use crate::records::Ending;
use crate::rights::{Answer, Presence, answer, held};
use crate::state::{About, Record, Subject};
use crate::volumes::{self, Asking};
use crate::{Reason, Why};
use jiff::Timestamp;
use quorate_crds::{
    CacheMode, DiskDevice, GuestPresence, GuestState, GuestStep, MigrationAssignment,
    MigrationPhase, MigrationProgress, Name, NetworkRole, OnMigrationTimeout, Time, VirtualMachine,
    VirtualMachineStatus,
};

type On<'a> = (&'a str, &'a Record);

/// Why the guest can never be moved while it runs, if so.
pub(super) fn fixed(guest: &VirtualMachine) -> Option<String> {
    if !guest.spec.migration.allow {
        return Some("migration.allow is false".to_owned());
    }
    guest.spec.disks.iter().find_map(|disk| {
        let cached = !matches!(disk.cache, CacheMode::None | CacheMode::DirectSync);
        (disk.device == DiskDevice::Disk && cached).then(|| {
            format!(
                "disk {} is cached by the host ({:?}); only None and DirectSync can be moved",
                disk.name, disk.cache
            )
        })
    })
}

impl<'a> Work<'_, 'a> {
    /// A guest that runs and is to be moved: everything before the target is told to receive it.
    pub(super) fn prepare(
        &mut self,
        (name, guest): Guest<'a>,
        source: &'a str,
        wanted: Running<'a>,
        status: &mut VirtualMachineStatus,
    ) {
        let now = self.round.now;
        let known = self.traffic.status(wanted.name);
        if wanted.object.spec.cancel {
            let phase = MigrationPhase::Cancelled;
            return self.traffic.say(wanted.name, phase, &cancelled(), now);
        }
        if let Some(obstacle) = fixed(guest) {
            return self.give_up(wanted, Reason::CannotMove, &obstacle);
        }
        if let Some(MigrationPhase::Running | MigrationPhase::Switching) = known.phase {
            let text = "its target was lost before the guest ran there";
            return self.give_up(wanted, Reason::MigrationFailed, text);
        }
        let chosen = known.target.as_ref().or(wanted.object.spec.target.as_ref());
        let begun = known.phase == Some(MigrationPhase::Preparing);
        let mut waits = None;
        let target = match self.target((name, guest), source, chosen) {
            Ok(target) => target,
            Err(Obstacle::Never(text)) => {
                return self.give_up(wanted, Reason::CannotMove, &text);
            }
            Err(Obstacle::Now(text)) if begun => match self.still_there(chosen) {
                Some(target) => {
                    waits = Some(text);
                    target
                }
                None => return self.give_up(wanted, Reason::MigrationFailed, &text),
            },
            Err(Obstacle::Now(text)) => {
                let waits = why(Reason::MigrationWaits, &text);
                self.traffic.storage(wanted.name, false, &waits, now);
                let phase = MigrationPhase::Pending;
                return self.traffic.say(wanted.name, phase, &waits, now);
            }
        };
        let sound = why(
            Reason::InSync,
            &format!("current on {source} and on {target}"),
        );
        if waits.is_none() {
            self.traffic.storage(wanted.name, true, &sound, now);
        }
        if !begun {
            let most = self.round.settings.recovery.max_migrations_per_node;
            let full = [source, target]
                .into_iter()
                .find(|host| self.traffic.busy(host) >= most);
            if let Some(full) = full {
                let text = format!(
                    "{full} takes part in {most} already; maxMigrationsPerNode allows no more"
                );
                let waits = why(Reason::MigrationWaits, &text);
                let phase = MigrationPhase::Pending;
                return self.traffic.say(wanted.name, phase, &waits, now);
            }
            self.traffic.occupy([source, target]);
            self.traffic.change(wanted.name, |status| {
                status.source = Some(Name::from(source));
                status.target = Some(Name::from(target));
                status.started_at = Some(Time::from(now));
            });
        } else if self.overdue(guest, wanted, &known.started_at) {
            return self.give_up(wanted, Reason::MigrationTimedOut, "preparing took too long");
        }
        self.ledger.promise(target, name, guest);
        let mut open = true;
        for volume in volumes::of(name, guest) {
            open &= volumes::joined(self.round, &volume, target);
            self.share(&volume, source, target);
        }
        let text = match &waits {
            Some(waits) => waits.clone(),
            None => format!("{target} opens its volumes"),
        };
        let preparing = why(Reason::Migrating, &text);
        let phase = MigrationPhase::Preparing;
        self.traffic.say(wanted.name, phase, &preparing, now);
        if open && waits.is_none() {
            let epoch = status.epoch.unwrap_or(0) + 1;
            status.epoch = Some(epoch);
            let told = Told::Receive(self.side(guest, wanted, source, target));
            let told = assignment((name, guest), epoch, told);
            self.outcome
                .assign(self.round.state, &Subject::guest(name), target, told);
        }
    }

    /// A guest that another host waits for, or that has arrived there.
    pub(super) fn in_flight(
        &mut self,
        (name, guest): Guest<'a>,
        source: Option<On<'a>>,
        target: On<'a>,
        wanted: bool,
        status: &mut VirtualMachineStatus,
    ) -> Why {
        let subject = Subject::guest(name);
        let current = self.traffic.of_guest(name);
        let from = match source {
            Some((from, _)) => Some(from),
            None => self.handing_over(name, target.0),
        };
        for volume in volumes::of(name, guest) {
            match from {
                Some(from) => self.share(&volume, from, target.0),
                None => self.outcome.uses(&volume, target.0),
            }
        }
        status.migration = Some(MigrationProgress {
            migration: migration(target.1).map(|it| it.name.clone()),
            ..MigrationProgress::default()
        });
        let Some((from, sending)) = source else {
            return self.arrive((name, guest), target, status);
        };
        // The target keeps what it was told until something below says otherwise.
        self.outcome.keep(self.round.state, &subject, target.0);
        if !self.round.hosts.is(from, Presence::Online) {
            self.outcome.keep(self.round.state, &subject, from);
            enter(status, GuestState::Unknown, self.round.now);
            let text = format!("{from} sends it, is silent and not confirmed off");
            return why(Reason::WaitingForFence, &text);
        }
        status.node = Some(Name::from(from));
        enter(status, GuestState::Migrating, self.round.now);
        let epoch_there = epoch(sending);
        let seen = presence(sending);
        if seen == Some(GuestPresence::Sent) {
            let side = MigrationAssignment {
                name: migration(target.1)
                    .map_or_else(|| Name::from(name), |side| side.name.clone()),
                peer: Name::from(target.0),
                addresses: Vec::new(),
                bandwidth: None,
                suspend: false,
            };
            let told = assignment((name, guest), epoch_there, Told::HandOver(side));
            self.outcome.assign(self.round.state, &subject, from, told);
            return self.switching(current, from, target.0);
        }
        let stop = self
            .reason_to_stop((name, guest), current, target, sending, wanted)
            .or_else(|| self.was_stopped(current, sending));
        match (step(sending), stop) {
            (GuestStep::Send, Some(stop)) if ended(sending).is_none() => {
                let told = assignment((name, guest), epoch_there, Told::Run);
                self.outcome.assign(self.round.state, &subject, from, told);
                self.note(current, MigrationPhase::Running, &stop);
                stop
            }
            (_, Some(stop)) => {
                let over = ended(sending).is_some() || answer(sending) == Answer::Converged;
                let told = assignment((name, guest), epoch_there, Told::Run);
                self.outcome.assign(self.round.state, &subject, from, told);
                if !over {
                    // It may have sent everything meanwhile; only its answer tells.
                    return stop;
                }
                let told = assignment((name, guest), epoch(target.1), Told::Discard);
                self.outcome
                    .assign(self.round.state, &subject, target.0, told);
                let phase = match stop.reason {
                    Reason::MigrationCancelled => MigrationPhase::Cancelled,
                    _ => MigrationPhase::Failed,
                };
                self.note(current, phase, &stop);
                status.migration = None;
                stop
            }
            (GuestStep::Send, None) => {
                let suspend = self.is_to_suspend(guest, current);
                let mut side = migration(sending).cloned();
                if let Some(side) = &mut side {
                    side.suspend |= suspend;
                }
                let told = side.map_or(Told::Run, Told::Send);
                let told = assignment((name, guest), epoch_there, told);
                self.outcome.assign(self.round.state, &subject, from, told);
                let text = format!("it is on its way from {from} to {}", target.0);
                let moving = why(Reason::Migrating, &text);
                self.note(current, MigrationPhase::Running, &moving);
                moving
            }
            (_, None) => {
                let ready = answer(target.1) == Answer::Converged;
                let told = match current.filter(|_| ready) {
                    Some(current) => Told::Send(self.side(guest, current, target.0, target.0)),
                    None => Told::Run,
                };
                let sends = matches!(told, Told::Send(_));
                let told = assignment((name, guest), epoch_there, told);
                self.outcome.assign(self.round.state, &subject, from, told);
                let text = match sends {
                    true => format!("it is on its way from {from} to {}", target.0),
                    false => format!("{} makes ready to receive it", target.0),
                };
                let moving = why(Reason::Migrating, &text);
                let phase = match sends {
                    true => MigrationPhase::Running,
                    false => MigrationPhase::Preparing,
                };
                self.note(current, phase, &moving);
                moving
            }
        }
    }

    /// Nobody but the target has it: either it was handed over, or what arrived is worth nothing.
    fn arrive(
        &mut self,
        (name, guest): Guest<'a>,
        (host, record): On<'a>,
        status: &mut VirtualMachineStatus,
    ) -> Why {
        let subject = Subject::guest(name);
        let current = self.traffic.of_guest(name);
        let records = self.round.state.records_of(&subject);
        let given = records.into_iter().flatten().find(|(from, record)| {
            *from != host
                && (handed_over(record).is_some_and(|it| it.peer.as_str() == host)
                    || (step(record) == GuestStep::Send
                        && presence(record) == Some(GuestPresence::Sent)))
        });
        let Some((from, left)) = given else {
            let told = assignment((name, guest), epoch(record), Told::Discard);
            self.outcome.assign(self.round.state, &subject, host, told);
            enter(status, GuestState::Unknown, self.round.now);
            let text = "its host was lost before all of its memory was sent";
            let failed = why(Reason::MigrationFailed, text);
            self.note(current, MigrationPhase::Failed, &failed);
            return failed;
        };
        if held(&self.round.hosts, left) {
            self.outcome.keep(self.round.state, &subject, host);
            enter(status, GuestState::Migrating, self.round.now);
            return self.switching(current, from, host);
        }
        if !self.round.hosts.is(host, Presence::Online) {
            return self.unheard(name, host, status);
        }
        let because = current
            .and_then(|current| current.object.spec.reason.clone())
            .unwrap_or_else(|| format!("it was moved from {from}"));
        let moved = why(Reason::Migrated, &because);
        settle_on(status, host, &moved, self.round.now);
        status.migration = None;
        let told = assignment((name, guest), epoch(record), Told::Run);
        self.outcome.assign(self.round.state, &subject, host, told);
        enter(status, GuestState::Running, self.round.now);
        self.note(current, MigrationPhase::Succeeded, &moved);
        moved
    }

    /// The host that has let go of the guest, or is about to, in favour of `target`.
    fn handing_over(&self, name: &str, target: &str) -> Option<&'a str> {
        let records = self.round.state.records_of(About::guest(name))?;
        let (from, _) = records.iter().find(|(_, record)| {
            handed_over(record).is_some_and(|it| it.peer.as_str() == target)
                && held(&self.round.hosts, record)
        })?;
        Some(from)
    }

    fn switching(&mut self, current: Option<Running<'a>>, from: &str, to: &str) -> Why {
        let text = format!("all of it is on {to}; {from} lets go of it");
        let moving = why(Reason::Migrating, &text);
        self.note(current, MigrationPhase::Switching, &moving);
        moving
    }

    /// Why a migration under way is to be stopped, if so.
    fn reason_to_stop(
        &mut self,
        (_, guest): Guest<'a>,
        current: Option<Running<'a>>,
        (to, record): On<'a>,
        sending: &Record,
        wanted: bool,
    ) -> Option<Why> {
        if let Some((ending, message)) = ended(sending) {
            let text = match ending {
                Ending::MigrationFailed => format!("sending failed: {message}"),
                _ => format!("the guest ended meanwhile: {message}"),
            };
            return Some(why(Reason::MigrationFailed, &text));
        }
        let Some(current) = current else {
            let text = "its VirtualMachineMigration is gone";
            return Some(why(Reason::MigrationCancelled, text));
        };
        if current.object.spec.cancel || !wanted {
            return Some(cancelled());
        }
        if !self.round.hosts.is(to, Presence::Online) {
            let text = format!("{to} is not online any more");
            return Some(why(Reason::MigrationFailed, &text));
        }
        if let Some((_, message)) = ended(record) {
            let text = format!("{to} cannot receive it: {message}");
            return Some(why(Reason::MigrationFailed, &text));
        }
        let started = self.traffic.status(current.name).started_at;
        let late = self.overdue(guest, current, &started);
        (late && !self.is_to_suspend(guest, Some(current))).then(|| {
            why(
                Reason::MigrationTimedOut,
                &format!("it took longer than {}", allowed(guest, current)),
            )
        })
    }

    /// Its host was told to stop sending and has not answered yet. That stands when the reason has passed meanwhile: one that is
    /// stopped and begun in turns never ends.
    fn was_stopped(&self, current: Option<Running<'a>>, sending: &Record) -> Option<Why> {
        let status = self.traffic.status(current?.name);
        let began = status.phase == Some(MigrationPhase::Running);
        if !began || step(sending) == GuestStep::Send {
            return None;
        }
        let stops = [
            Reason::MigrationFailed,
            Reason::MigrationTimedOut,
            Reason::MigrationCancelled,
        ];
        let said = status.reason?;
        let reason = stops.into_iter().find(|stop| stop.as_str() == said)?;
        Some(why(reason, &status.message?))
    }

    fn overdue(
        &mut self,
        guest: &VirtualMachine,
        current: Running<'a>,
        started: &Option<Time>,
    ) -> bool {
        let Some(due) = due(guest, current, started) else {
            return false;
        };
        if due > self.round.now {
            self.outcome.wake(due);
        }
        due <= self.round.now
    }

    /// Whether it took too long and is to be suspended rather than given up.
    fn is_to_suspend(&self, guest: &VirtualMachine, current: Option<Running<'a>>) -> bool {
        let Some(current) = current else { return false };
        let then = current.object.spec.on_timeout;
        let then = then.unwrap_or(guest.spec.migration.on_timeout);
        let started = self.traffic.status(current.name).started_at;
        then == OnMigrationTimeout::Suspend
            && due(guest, current, &started).is_some_and(|due| due <= self.round.now)
    }

    fn give_up(&mut self, wanted: Running<'a>, reason: Reason, text: &str) {
        let failed = why(reason, text);
        let phase = MigrationPhase::Failed;
        self.traffic
            .say(wanted.name, phase, &failed, self.round.now);
    }

    fn note(&mut self, current: Option<Running<'a>>, phase: MigrationPhase, why: &Why) {
        if let Some(current) = current {
            self.traffic.say(current.name, phase, why, self.round.now);
        }
    }

    /// Both hosts need the volume until only one has the guest.
    fn share(&mut self, volume: &str, from: &str, to: &str) {
        self.outcome.uses(volume, from);
        self.outcome.uses(volume, to);
        let pair = (from.to_owned(), to.to_owned());
        self.outcome.moving.insert(volume.to_owned(), pair);
    }

    /// What each side is told about the other.
    fn side(
        &self,
        guest: &VirtualMachine,
        current: Running<'a>,
        peer: &str,
        target: &str,
    ) -> MigrationAssignment {
        let named = self.round.settings.migration.network.as_ref();
        let roles = [NetworkRole::Migration, NetworkRole::BackChannel];
        let own = current.object.spec.bandwidth.clone();
        MigrationAssignment {
            name: Name::from(current.name),
            peer: Name::from(peer),
            addresses: networks::addresses(self.round, target, named.map(Name::as_str), &roles),
            bandwidth: own.or_else(|| self.round.settings.migration.bandwidth.clone()),
            suspend: self.is_to_suspend(guest, Some(current)),
        }
    }

    /// A target that was chosen and lacks something for a moment: others have not answered yet.
    fn still_there(&self, chosen: Option<&Name>) -> Option<&'a str> {
        let mut hosts = self.round.hosts.names();
        let host = hosts.find(|host| chosen.is_some_and(|it| it.as_str() == *host))?;
        self.round.hosts[host].takes_more().then_some(host)
    }

    fn target(
        &self,
        (name, guest): Guest<'a>,
        source: &'a str,
        chosen: Option<&Name>,
    ) -> Result<&'a str, Obstacle> {
        let wish = Wish {
            asking: Asking::coming_from(Some(source)),
            ..Wish::default()
        };
        let Some(chosen) = chosen else {
            return placement::choose(self.round, &self.ledger, (name, guest), wish)
                .map(|chosen| chosen.host)
                .map_err(|obstacles| Obstacle::Now(obstacles.join("; ")));
        };
        if chosen.as_str() == source {
            return Err(Obstacle::Never(format!("it runs on {source} already")));
        }
        let host = self
            .round
            .hosts
            .names()
            .find(|host| *host == chosen.as_str());
        let Some(host) = host else {
            return Err(Obstacle::Never(format!("there is no Node {chosen}")));
        };
        match placement::obstacle(self.round, &self.ledger, (name, guest), host, wish.asking) {
            Some(obstacle) => Err(Obstacle::Now(format!("{host}: {obstacle}"))),
            None => Ok(host),
        }
    }
}

/// Why there is no target.
enum Obstacle {
    /// It may pass.
    Now(String),
    /// It will not.
    Never(String),
}

fn due(guest: &VirtualMachine, current: Running<'_>, started: &Option<Time>) -> Option<Timestamp> {
    let started = moment(started.as_ref())?;
    Some(later(started, span(allowed(guest, current))))
}

fn allowed<'g>(
    guest: &'g VirtualMachine,
    current: Running<'g>,
) -> &'g quorate_crds::scalar::Duration {
    let own = current.object.spec.timeout.as_ref();
    own.unwrap_or(&guest.spec.migration.timeout)
}

/// How the guest, or its sending, came to an end by itself, under the record as it stands.
fn ended(record: &Record) -> Option<(Ending, String)> {
    match answer(record) {
        Answer::Ended(ending, message) => Some((ending, message)),
        _ => None,
    }
}

/// What the host sees of the guest, answering the record as it stands.
pub(super) fn presence(record: &Record) -> Option<GuestPresence> {
    if answer(record) == Answer::Nothing {
        return None;
    }
    record.status.as_ref()?.guest.as_ref()?.presence
}
