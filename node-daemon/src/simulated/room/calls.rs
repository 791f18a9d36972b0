//! Who may ask what of the room, and how a call can go wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_crds::DiskState;

use super::{
    MachineRoom,
    power::Kernel,
    refusal::Refusal,
    replica::{Filesystem, Kept},
    request::{
        Answer, CallFault, Changed, FilesystemCall, GuestCall, Happening, HostCall, LockspaceCall,
        LostPeer, NetworkCall, PoolCall, ReplicationCall, Reply, Request, Subsystem, WatchdogCall,
    },
    storage::LogicalVolume,
};
use crate::drivers::{HowEnded, NetworkSeen, Owner};

type Outcome = Result<Reply, Refusal>;

impl MachineRoom {
    /// Asks the room.
    pub fn ask(&mut self, request: Request) -> Answer {
        match request {
            Request::Host(host, call) => self.ask_host(&host, call),
            Request::Fence(device, plug, call) => {
                let (outcome, after) = self.fence(&device, &plug, call);
                Answer {
                    outcome: outcome.map(Reply::Power),
                    after: Some(after),
                }
            }
            Request::Happen(what) => at_once(self.happen(what).map(|()| Reply::Done)),
            Request::Truth => at_once(Ok(Reply::Truth(Box::new(self.truth())))),
            Request::Log(from) => {
                let lines = self.log.get(from..).unwrap_or_default().to_vec();
                at_once(Ok(Reply::Log(self.log.len(), lines)))
            }
        }
    }

    fn ask_host(&mut self, host: &str, call: HostCall) -> Answer {
        match self.machine(host) {
            Err(refusal) => return at_once(Err(refusal)),
            // Whoever asks a host that does not run is part of it, and hears nothing any more.
            Ok(machine) if machine.kernel != Kernel::Running => {
                return Answer {
                    outcome: Ok(Reply::Unknown),
                    after: None,
                };
            }
            Ok(_) => {}
        }
        let Some(subsystem) = act_of(&call) else {
            return at_once(self.carry_out(host, call));
        };
        let fault = self.next_fault(host, subsystem);
        if matches!(fault, Some(CallFault::Fails)) {
            return at_once(Err(Refusal::Fault));
        }
        if matches!(fault, Some(CallFault::Hangs)) {
            return Answer {
                outcome: Ok(Reply::Unknown),
                after: None,
            };
        }
        let outcome = self.carry_out(host, call);
        match fault {
            Some(CallFault::ActsAndHangs) => Answer {
                outcome,
                after: None,
            },
            Some(CallFault::ActsAndFails) => at_once(Err(Refusal::AnswerLost)),
            Some(CallFault::Late(time)) => Answer {
                outcome,
                after: Some(time),
            },
            _ => Answer {
                outcome,
                after: Some(self.settings.act_time),
            },
        }
    }

    fn next_fault(&mut self, host: &str, subsystem: Subsystem) -> Option<CallFault> {
        let key = (host.to_owned(), subsystem);
        let (fault, left) = self.call_faults.get_mut(&key)?;
        let fault = *fault;
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.call_faults.remove(&key);
        }
        Some(fault)
    }

    fn carry_out(&mut self, host: &str, call: HostCall) -> Outcome {
        match call {
            HostCall::Facts => self.facts(host).map(|facts| Reply::Facts(Box::new(facts))),
            HostCall::BootId => Ok(Reply::BootId(self.boot_id(host).unwrap_or_default())),
            HostCall::Changes(seen) => {
                let (number, changed) = self.changed_since(host, seen);
                Ok(Reply::Changes(number, changed))
            }
            HostCall::Networks(call) => self.about_networks(host, call),
            HostCall::Pools(call) => self.about_pools(host, call),
            HostCall::Replication(call) => self.about_replicas(host, call),
            HostCall::Filesystems(call) => self.about_filesystems(host, call),
            HostCall::Lockspaces(call) => self.about_lockspaces(host, call),
            HostCall::Guests(call) => self.about_guests(host, call),
            HostCall::Watchdog(call) => self.about_watchdog(host, call),
        }
    }

    fn about_networks(&mut self, host: &str, call: NetworkCall) -> Outcome {
        let networks = self.networks.entry(host.to_owned()).or_default();
        match call {
            NetworkCall::Observe => {
                return Ok(Reply::Networks(networks.values().cloned().collect()));
            }
            NetworkCall::Apply { network, status } => {
                let seen = NetworkSeen {
                    owner: Owner::Ours(network.as_str().into()),
                    status,
                    as_applied: true,
                    on_trial: true,
                    links: Vec::new(),
                    unheard: false,
                    unfit: None,
                    going: false,
                };
                networks.insert(network, seen);
            }
            NetworkCall::Keep { network } => {
                if let Some(seen) = networks.get_mut(&network) {
                    seen.on_trial = false;
                }
            }
            NetworkCall::Remove { network } => {
                networks.remove(&network);
            }
        }
        self.touch(host, Changed::Anything);
        Ok(Reply::Done)
    }

    fn about_pools(&mut self, host: &str, call: PoolCall) -> Outcome {
        match call {
            PoolCall::Observe => return Ok(Reply::Groups(self.groups_on(host))),
            PoolCall::EnsureGroup {
                pool,
                name,
                devices,
            } => self.ensure_group(host, &pool, &name, &devices),
            PoolCall::EnsureVolume {
                group,
                name,
                owner,
                size,
                snapshot_of,
            } => {
                let wanted = LogicalVolume {
                    owner,
                    size,
                    active: true,
                    snapshot_of,
                };
                self.ensure_volume(host, &group, &name, wanted)
            }
            PoolCall::Activate {
                group,
                name,
                active,
            } => self.activate(host, &group, &name, active),
            PoolCall::Remove { group, name } => self.remove_volume(host, &group, &name),
        }
        .map(|()| Reply::Done)
    }

    fn about_replicas(&mut self, host: &str, call: ReplicationCall) -> Outcome {
        match call {
            ReplicationCall::Observe => return Ok(Reply::Replicas(self.replicas_on(host))),
            ReplicationCall::Questions => return Ok(Reply::Questions(self.questions_of(host))),
            ReplicationCall::Create {
                volume,
                backing,
                begins_here,
            } => self.create_metadata(host, &volume, &backing, begins_here),
            ReplicationCall::Adjust {
                volume,
                device,
                size,
                peers,
                two_primaries,
                fencing,
            } => {
                let known = self.volumes.entry(volume.clone()).or_default();
                known.devices.insert(host.to_owned(), device);
                known.sizes.entry(host.to_owned()).or_insert(size);
                self.bring_up(host, &volume, &peers, fencing)
                    .and_then(|()| self.allow_two_primaries(host, &volume, two_primaries))
            }
            ReplicationCall::Promote { volume } => self.promote(host, &volume),
            ReplicationCall::Demote { volume } => self.demote(host, &volume),
            ReplicationCall::Resize { volume } => self.resize(host, &volume),
            ReplicationCall::Outdate { volume } => self.outdate(host, &volume),
            ReplicationCall::Discard { volume } => self.discard(host, &volume),
            ReplicationCall::Verify { volume, number } => self.verify(host, &volume, number),
            ReplicationCall::TakeDown { volume } => self.take_down(host, &volume),
            ReplicationCall::Erase { volume } => self.erase(host, &volume),
            ReplicationCall::Answer { question, fate } => {
                self.answer_about_peer(host, &question, fate)
            }
        }
        .map(|()| Reply::Done)
    }

    fn about_filesystems(&mut self, host: &str, call: FilesystemCall) -> Outcome {
        let done = |done| if done { Reply::Done } else { Reply::Waiting };
        match call {
            FilesystemCall::Observe => Ok(Reply::Mounts(self.mounts_on(host))),
            FilesystemCall::Read { device } => {
                Ok(Reply::Filesystem(self.read_device(host, &device)))
            }
            FilesystemCall::Make {
                device,
                filesystem,
                lock_table,
            } => self
                .make_filesystem(
                    host,
                    &device,
                    Filesystem {
                        kind: filesystem,
                        lock_table,
                    },
                )
                .map(|()| Reply::Done),
            FilesystemCall::Mount {
                owner,
                device,
                filesystem,
                point,
            } => self
                .mount(host, &point, &owner, &device, &filesystem)
                .map(done),
            FilesystemCall::Unmount { point } => self.unmount(host, &point).map(done),
            FilesystemCall::Checks => Ok(Reply::Checks(self.checks_on(host))),
            FilesystemCall::Check {
                owner,
                device,
                number,
            } => self
                .check_filesystem(host, &owner, &device, number)
                .map(|()| Reply::Done),
        }
    }

    fn about_lockspaces(&mut self, host: &str, call: LockspaceCall) -> Outcome {
        match call {
            LockspaceCall::Observe => {
                let spaces = self.lockspaces.get(host).into_iter().flatten();
                return Ok(Reply::Lockspaces(
                    spaces.map(|(_, space)| space.clone()).collect(),
                ));
            }
            LockspaceCall::Stop { name, generation } => {
                self.stop_lockspace(host, &name, generation);
            }
            LockspaceCall::Start {
                name,
                generation,
                members,
            } => self.start_lockspace(host, &name, generation, members)?,
            LockspaceCall::Leave { name } => self.leave_lockspace(host, &name),
        }
        Ok(Reply::Done)
    }

    fn about_guests(&mut self, host: &str, call: GuestCall) -> Outcome {
        match call {
            GuestCall::Observe => return Ok(Reply::Guests(self.guests_on(host))),
            GuestCall::Define { guest, definition } => {
                self.define(host, &guest, definition);
                Ok(())
            }
            GuestCall::Start { guest, paused } => self.start(host, &guest, paused),
            GuestCall::Pause { guest } => self.pause(host, &guest),
            GuestCall::Resume { guest } => self.resume(host, &guest),
            GuestCall::ShutDown { guest } => self.shut_down(host, &guest),
            GuestCall::Destroy { guest } => self.end_guest(host, &guest, HowEnded::Destroyed),
            GuestCall::Receive {
                guest,
                from,
                definition,
            } => self.receive(host, &guest, &from, definition),
            GuestCall::Send { guest, to, first } => {
                return Ok(match self.send_guest(host, &guest, &to, first)? {
                    Some(true) => Reply::Done,
                    Some(false) => Reply::Waiting,
                    None => Reply::Unknown,
                });
            }
            GuestCall::CancelSend { guest } => self.cancel_send(host, &guest),
            GuestCall::Forget { guest } => self.forget_guest(host, &guest),
        }
        .map(|()| Reply::Done)
    }

    fn about_watchdog(&mut self, host: &str, call: WatchdogCall) -> Outcome {
        let now = self.now;
        let machine = self.machine(host)?;
        if !machine.layout.watchdog {
            return Err(Refusal::NotThere(format!("{host} has no watchdog")));
        }
        match call {
            WatchdogCall::Arm(timeout) => machine.watchdog.timeout = Some(timeout),
            WatchdogCall::Feed => {}
            WatchdogCall::Disarm => machine.watchdog.timeout = None,
        }
        machine.watchdog.fed = now;
        Ok(Reply::Done)
    }

    fn happen(&mut self, what: Happening) -> Result<(), Refusal> {
        match what {
            Happening::Mains { machine, on } => {
                self.machine(&machine)?.mains = on;
                let word = if on { "put back" } else { "pulled" };
                self.note(format!("the power cords of {machine} are {word}"));
                self.settle_power();
            }
            Happening::Button { machine, on } => self.press(&machine, on)?,
            Happening::Crash(machine) => self.stop_kernel(&machine, Kernel::Crashed)?,
            Happening::Hang(machine) => self.stop_kernel(&machine, Kernel::Hung)?,
            Happening::Reset(machine) => self.reset(&machine, "is reset")?,
            Happening::Device { device, behaviour } => {
                let known = self.devices.get_mut(&device);
                known
                    .ok_or_else(|| {
                        Refusal::NotThere(format!("there is no fence device {device} in the room"))
                    })?
                    .behaviour = behaviour;
                self.note(format!("{device}: {behaviour:?}"));
            }
            Happening::SwapCords { device, one, other } => {
                self.swap_cords(&device, &one, &other)?;
            }
            Happening::StorageLink { one, other, up } => {
                let pair = if one < other {
                    (one, other)
                } else {
                    (other, one)
                };
                let word = if up { "mended" } else { "cut" };
                self.note(format!(
                    "the storage network between {} and {} is {word}",
                    pair.0, pair.1
                ));
                if up {
                    self.cut.remove(&pair);
                } else {
                    self.cut.insert(pair);
                }
                self.meet_and_part();
            }
            Happening::DiskFails { host, volume } => self.fail_disk(&host, &volume),
            Happening::GuestCrashes(guest) => self.end_everywhere(&guest, HowEnded::Crashed),
            Happening::GuestPowersOff(guest) => self.end_everywhere(&guest, HowEnded::PoweredOff),
            Happening::GuestIsStubborn(guest) => {
                for domains in self.domains.values_mut() {
                    if let Some(domain) = domains.get_mut(&guest) {
                        domain.stubborn = true;
                    }
                }
            }
            Happening::Migration { guest, fault } => {
                self.migration_faults.insert(guest, fault);
            }
            Happening::Calls {
                host,
                subsystem,
                fault,
                times,
            } => {
                self.call_faults.insert((host, subsystem), (fault, times));
            }
        }
        Ok(())
    }

    fn end_everywhere(&mut self, guest: &str, how: HowEnded) {
        let hosts: Vec<String> = self
            .domains
            .iter()
            .filter(|(host, domains)| {
                self.executes(host)
                    && domains
                        .get(guest)
                        .is_some_and(super::guests::Domain::executes)
            })
            .map(|(host, _)| host.clone())
            .collect();
        for host in hosts {
            // It executes there, so it is there.
            let _ = self.end_guest(&host, guest, how);
        }
    }

    fn fail_disk(&mut self, host: &str, volume: &str) {
        let known = self.volumes.entry(volume.to_owned()).or_default();
        if let Some(replica) = known.replicas.get_mut(host) {
            replica.disk_failed = true;
            if let Some(live) = &mut replica.live {
                live.disk = DiskState::Failed;
            }
        }
        self.note(format!("the disk of volume {volume} fails on {host}"));
        self.touch(host, Changed::Volume(volume.to_owned()));
    }

    fn resize(&mut self, host: &str, volume: &str) -> Result<(), Refusal> {
        let owned = self
            .groups
            .get(host)
            .into_iter()
            .flat_map(|groups| groups.values())
            .flat_map(|group| group.volumes.values())
            .find(|known| known.owner == volume && known.snapshot_of.is_none());
        let size = owned.map(|known| known.size).ok_or_else(|| {
            Refusal::NotThere(format!("{host} has no logical volume for {volume}"))
        })?;
        let known = self.volumes.entry(volume.to_owned()).or_default();
        known.sizes.insert(host.to_owned(), size);
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    /// Gives up what was written here alone, towards every peer that it is split from.
    fn discard(&mut self, host: &str, volume: &str) -> Result<(), Refusal> {
        let peers: BTreeSet<String> = self
            .replicas_on(host)
            .into_iter()
            .filter(|seen| {
                seen.owner
                    .object()
                    .is_some_and(|name| name.as_str() == volume)
            })
            .flat_map(|seen| seen.peers)
            .map(|peer| peer.node.to_string())
            .collect();
        for peer in peers {
            self.reconnect(&peer, volume, host, false)?;
            self.reconnect(host, volume, &peer, true)?;
        }
        Ok(())
    }

    fn verify(&mut self, host: &str, volume: &str, number: u64) -> Result<(), Refusal> {
        let known = self.volumes.get_mut(volume);
        let replica = known.and_then(|known| known.replicas.get_mut(host));
        let live = replica.and_then(|replica| replica.live.as_mut());
        let Some(live) = live else {
            let text = format!("the replica of volume {volume} is not up on {host}");
            return Err(Refusal::NotThere(text));
        };
        live.verified = Some(number);
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    fn erase(&mut self, host: &str, volume: &str) -> Result<(), Refusal> {
        let known = self.volumes.entry(volume.to_owned()).or_default();
        if let Some(replica) = known.replicas.get_mut(host) {
            if replica.live.is_some() {
                return Err(Refusal::Busy(format!(
                    "the replica of volume {volume} is up: take it down first"
                )));
            }
            replica.kept = None::<Kept>;
        }
        known.devices.remove(host);
        known.sizes.remove(host);
        Ok(())
    }

    fn questions_of(&self, host: &str) -> Vec<LostPeer> {
        let mut questions = Vec::new();
        for (name, volume) in &self.volumes {
            let live = volume
                .replicas
                .get(host)
                .and_then(|replica| replica.live.as_ref());
            for (peer, link) in live.iter().flat_map(|live| &live.links) {
                if link.question {
                    questions.push(LostPeer {
                        volume: name.clone(),
                        peer: peer.clone(),
                        meetings: link.meetings,
                    });
                }
            }
        }
        questions
    }
}

fn at_once(outcome: Outcome) -> Answer {
    Answer {
        outcome,
        after: Some(Duration::ZERO),
    }
}

/// The subsystem on which the call acts; none when it only looks.
fn act_of(call: &HostCall) -> Option<Subsystem> {
    match call {
        HostCall::Networks(call) => {
            (!matches!(call, NetworkCall::Observe)).then_some(Subsystem::Networks)
        }
        HostCall::Pools(call) => (!matches!(call, PoolCall::Observe)).then_some(Subsystem::Pools),
        HostCall::Replication(call) => (!matches!(
            call,
            ReplicationCall::Observe | ReplicationCall::Questions | ReplicationCall::Answer { .. }
        ))
        .then_some(Subsystem::Replication),
        HostCall::Filesystems(call) => (!matches!(
            call,
            FilesystemCall::Observe | FilesystemCall::Read { .. } | FilesystemCall::Checks
        ))
        .then_some(Subsystem::Filesystems),
        HostCall::Lockspaces(call) => {
            (!matches!(call, LockspaceCall::Observe)).then_some(Subsystem::Lockspaces)
        }
        HostCall::Guests(call) => {
            (!matches!(call, GuestCall::Observe)).then_some(Subsystem::Guests)
        }
        HostCall::Facts | HostCall::BootId | HostCall::Changes(_) | HostCall::Watchdog(_) => None,
    }
}
