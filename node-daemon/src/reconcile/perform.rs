use super::act::{Act, Job};
use super::seen::{Look, Observation, Subsystem};
use crate::drivers::{DriverError, Drivers, Filesystems, GuestTarget, SecretValue, Trouble};
use crate::link::ClusterLink;
use crate::plan::{Memory, MemoryError, Remembered};
use quorate_crds::SecretKey;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What acts are carried out with.
#[derive(Clone)]
pub struct Hands {
    /// The host's subsystems.
    pub drivers: Drivers,
    /// Where secrets are read.
    pub link: Arc<dyn ClusterLink>,
    /// Where it is written down that an epoch is spent.
    pub memory: Arc<dyn Memory>,
    /// What is written there.
    pub remembered: Arc<Mutex<Remembered>>,
}

impl Hands {
    /// Carries out a job.
    ///
    /// # Errors
    /// What the subsystem says, or that the host could not remember what it was about to do.
    pub async fn perform(&self, job: Job) -> Result<(), DriverError> {
        if let Some((guest, epoch)) = job.note {
            self.spend(guest, epoch).await?;
        }
        self.act(job.act).await
    }

    /// Remembers the newest plan that this host acknowledges.
    ///
    /// # Errors
    /// When it cannot be remembered; then it must not be acknowledged.
    pub async fn accept(&self, generation: u64, term: u64) -> Result<(), MemoryError> {
        let mut remembered = self.remembered.lock().await;
        if generation <= remembered.generation && term <= remembered.term {
            return Ok(());
        }
        let mut next = remembered.clone();
        next.generation = next.generation.max(generation);
        next.term = next.term.max(term);
        self.memory.save(&next).await?;
        *remembered = next;
        Ok(())
    }

    async fn spend(&self, guest: String, epoch: u64) -> Result<(), DriverError> {
        let mut remembered = self.remembered.lock().await;
        if remembered.begun.get(&guest) == Some(&epoch) {
            return Ok(());
        }
        let mut next = remembered.clone();
        next.begun.insert(guest, epoch);
        self.memory.save(&next).await.map_err(|error| {
            DriverError::passing(
                Trouble::Refused,
                "this host cannot remember that it starts the guest, so it does not",
            )
            .because(error)
        })?;
        *remembered = next;
        Ok(())
    }

    async fn act(&self, act: Act) -> Result<(), DriverError> {
        let Drivers {
            networks,
            pools,
            replication,
            filesystems,
            lockspaces,
            guests,
            ..
        } = &self.drivers;
        match act {
            Act::ApplyNetwork(target) => networks.apply(&target).await,
            Act::KeepNetwork(name) => networks.keep(&name).await,
            Act::TakeBackNetwork(name, why) => networks.take_back(&name, &why).await,
            Act::RemoveNetwork(name) => networks.remove(&name).await,
            Act::EnsureGroup(target) => pools.ensure_group(&target).await,
            Act::EnsureVolume(target) => pools.ensure_volume(&target).await,
            Act::Activate(group, name, how) => pools.activate(&group, &name, how).await,
            Act::Snapshot(target) => pools.snapshot(&target).await,
            Act::RemoveVolume(group, name, wipe) => pools.remove_volume(&group, &name, wipe).await,
            Act::CreateReplica(mut target) => {
                target.secret = self
                    .secret(target.spec.replication.authentication.secret.as_ref())
                    .await?;
                replication.create(&target).await
            }
            Act::AdjustReplica(mut target) => {
                target.secret = self
                    .secret(target.spec.replication.authentication.secret.as_ref())
                    .await?;
                replication.adjust(&target).await
            }
            Act::Promote(name) => replication.promote(&name).await,
            Act::Demote(name) => replication.demote(&name).await,
            Act::Resize(name) => replication.resize(&name).await,
            Act::Outdate(name) => replication.outdate(&name).await,
            Act::Discard(name) => replication.discard(&name).await,
            Act::Verify(name, number) => replication.verify(&name, number).await,
            Act::TakeDown(name) => replication.take_down(&name).await,
            Act::Mount(make, target) => {
                if let Some(make) = make {
                    self.make_filesystem(&make).await?;
                }
                if let Some(space) = &target.lockspace {
                    lockspaces.prepare(&target.owner, space).await?;
                }
                filesystems.mount(&target).await
            }
            Act::GrowFilesystem(target) => filesystems.grow(&target).await,
            Act::Remount(target) => filesystems.remount(&target).await,
            Act::CheckFilesystem(target) => filesystems.check(&target).await,
            Act::Unmount(mount_point) => filesystems.unmount(&mount_point).await,
            Act::StopLocks(name, generation) => lockspaces.stop(&name, generation).await,
            Act::StartLocks(name, target) => lockspaces.start(&name, &target).await,
            Act::LeaveLocks(name, generation) => lockspaces.leave(&name, generation).await,
            Act::Define(mut target) => {
                self.find_files(&target).await?;
                target.display_password =
                    self.secret(target.spec.display.password.as_ref()).await?;
                guests.define(&target).await
            }
            Act::Start(name, how, _) => guests.start(&name, how).await,
            Act::Pause(name) => guests.pause(&name).await,
            Act::Resume(name) => guests.resume(&name).await,
            Act::ShutDown(name, method) => guests.shut_down(&name, method).await,
            Act::Destroy(name) => guests.destroy(&name).await,
            Act::Receive(mut target, from) => {
                self.find_files(&target).await?;
                target.display_password =
                    self.secret(target.spec.display.password.as_ref()).await?;
                guests.receive(&target, &from).await
            }
            Act::Send(target, to) => guests.send(&target, &to).await,
            Act::CancelSend(name) => guests.cancel_send(&name).await,
            Act::Forget(name) => guests.forget(&name).await,
        }
    }

    /// Disks that are files, and media, are brought by people: a guest waits for them.
    async fn find_files(&self, target: &GuestTarget) -> Result<(), DriverError> {
        let of_files = target.spec.disks.iter();
        let of_files = of_files.filter(|disk| disk.file.is_some() || disk.media.is_some());
        for disk in of_files {
            let mut sources = target.disks.iter();
            if let Some(source) = sources.find(|source| source.disk == disk.name) {
                self.drivers.filesystems.find(&source.path).await?;
            }
        }
        Ok(())
    }

    async fn make_filesystem(
        &self,
        target: &crate::drivers::FilesystemTarget,
    ) -> Result<(), DriverError> {
        match self.drivers.filesystems.read(&target.device).await? {
            None => self.drivers.filesystems.make(target).await,
            Some(found)
                if found.filesystem == target.filesystem
                    && found.lock_table == target.lock_table =>
            {
                Ok(())
            }
            Some(found) => Err(DriverError::lasting(
                Trouble::ForeignInTheWay,
                format!(
                    "{} holds a {} that was not made for this; wipe it by hand when it is not needed",
                    target.device, found.filesystem
                ),
            )),
        }
    }

    async fn secret(&self, key: Option<&SecretKey>) -> Result<Option<SecretValue>, DriverError> {
        let Some(key) = key else { return Ok(None) };
        match self.link.secret(key.clone()).await {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(DriverError::passing(
                Trouble::WaitsForOthers,
                format!(
                    "the value {} of secret {} cannot be read",
                    key.key, key.secret
                ),
            )
            .because(error)),
        }
    }
}

/// Looks at one subsystem.
pub async fn look(drivers: Drivers, look: Look) -> Observation {
    let seen = match look.subsystem {
        Subsystem::Networks => drivers.networks.observe().await.map(Observation::Networks),
        Subsystem::Pools => {
            let seen = drivers.pools.observe(&look.above).await;
            seen.map(Observation::Pools)
        }
        Subsystem::Replication => drivers
            .replication
            .observe()
            .await
            .map(Observation::Replication),
        Subsystem::Filesystems => filesystems(&*drivers.filesystems).await,
        Subsystem::Lockspaces => drivers
            .lockspaces
            .observe()
            .await
            .map(Observation::Lockspaces),
        Subsystem::Guests => drivers.guests.observe().await.map(Observation::Guests),
    };
    seen.unwrap_or_else(|error| Observation::Failed(look.subsystem, error))
}

async fn filesystems(driver: &dyn Filesystems) -> Result<Observation, DriverError> {
    let mounts = driver.observe().await?;
    let checks = driver.checks().await?;
    Ok(Observation::Filesystems(mounts, checks))
}
