//! Volume groups and logical volumes by LVM.
//!
//! Ours is what carries a tag of ours, in LVM's own metadata, so that it stays ours when hosts are installed anew. LVM is
//! told to look neither into logical volumes nor into replicated devices: what guests keep in there is theirs. Only those
//! replicated devices that the plan puts volume groups on are looked into, by commands that see nothing else (`above`).
//!
//! What was seen stays valid until something changes: acts of ours say so themselves, and what others do is noticed by a
//! `watch`. A host on which nothing changes starts no program.

mod above;
mod blank;
mod filter;
mod report;
#[cfg(test)]
mod tests;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use quorate_crds::scalar::AbsolutePath;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::command::{self, Command, Run};
use super::{
    Activation, Doing, DriverError, Hint, Hints, LogicalVolumeTarget, Pools, PoolsSeen,
    SnapshotTarget, Space, Trouble, VolumeGroupSeen, VolumeGroupTarget,
};
use report::{Group, Logical, Reach};

/// However quiet it is, everything is looked at again after this: no watch finds a disk that was lost silently.
const STALE: Duration = Duration::from_secs(600);
/// The name of the thin pool that is made where thin volumes are allowed.
const THIN_POOL: &str = "quorate-thin";

/// What fuzzing feeds: a whole report.
pub fn read_report(text: &str) {
    let _ = report::groups(text);
    let _ = report::signatures(text);
}

/// LVM on this host.
#[derive(Clone)]
pub(crate) struct Lvm {
    run: Arc<dyn Run>,
    shared: Arc<Shared>,
}

struct Shared {
    dev: PathBuf,
    watched: Vec<PathBuf>,
    config: OnceCell<String>,
    /// The replicated devices that are looked into.
    above: Mutex<Vec<PathBuf>>,
    /// Counts changes: what was seen before the last one is not valid any more.
    changes: AtomicU64,
    watchers: AtomicUsize,
    looking: tokio::sync::Mutex<()>,
    seen: Mutex<Option<Look>>,
}

/// One look.
#[derive(Clone)]
struct Look {
    change: u64,
    at: Instant,
    groups: Arc<Vec<Group>>,
}

impl Lvm {
    pub(crate) fn new(run: Arc<dyn Run>) -> Self {
        Self::at(run, PathBuf::from("/dev"), watch::places())
    }

    fn at(run: Arc<dyn Run>, dev: PathBuf, watched: Vec<PathBuf>) -> Self {
        Self {
            run,
            shared: Arc::new(Shared {
                dev,
                watched,
                config: OnceCell::new(),
                above: Mutex::default(),
                changes: AtomicU64::new(0),
                watchers: AtomicUsize::new(0),
                looking: tokio::sync::Mutex::default(),
                seen: Mutex::default(),
            }),
        }
    }

    async fn command<A: Into<String>>(
        &self,
        reach: Reach,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Command, DriverError> {
        let config = match reach {
            Reach::Disks => self.config().await?.to_owned(),
            Reach::Replicated => filter::only(&self.shared.above()),
        };
        let mut all: Vec<String> = arguments.into_iter().map(Into::into).collect();
        all.splice(1..1, ["--config".to_owned(), config]);
        Ok(Command::new("lvm", all))
    }

    async fn config(&self) -> Result<&str, DriverError> {
        let asked = || async {
            let asked = ["lvmconfig", "--typeconfig", "full", "devices/global_filter"];
            let said = command::look(&*self.run, Command::new("lvm", asked)).await?;
            Ok::<_, DriverError>(filter::config(&said.stdout))
        };
        let config = self.shared.config.get_or_try_init(asked).await?;
        Ok(config)
    }

    /// Changes something; what was seen before does not count afterwards, whatever came of it.
    async fn act<A: Into<String>>(
        &self,
        reach: Reach,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<(), DriverError> {
        let command = self.command(reach, arguments).await?;
        let done = command::act(&*self.run, command).await;
        self.shared.changed();
        done.map(drop)
    }

    /// Everything, as it was at some moment since this was called, or since something changed last.
    async fn groups(&self) -> Result<Arc<Vec<Group>>, DriverError> {
        if let Some(seen) = self.shared.valid() {
            return Ok(seen);
        }
        let called = Instant::now();
        let _looking = self.shared.looking.lock().await;
        // Somebody may have looked meanwhile.
        if let Some(look) = self.shared.last()
            && look.at >= called
            && look.change == self.shared.change()
        {
            return Ok(look.groups);
        }
        self.look().await
    }

    /// Everything. A group that was not found before is looked for once more: nobody is told when a disk answers again.
    async fn groups_with(&self, name: &str) -> Result<Arc<Vec<Group>>, DriverError> {
        let known = self.groups().await?;
        if known.iter().any(|group| group.name == name) {
            return Ok(known);
        }
        self.groups_now().await
    }

    /// Everything, as it is from now on.
    async fn groups_now(&self) -> Result<Arc<Vec<Group>>, DriverError> {
        let _looking = self.shared.looking.lock().await;
        self.look().await
    }

    async fn look(&self) -> Result<Arc<Vec<Group>>, DriverError> {
        let (change, at) = (self.shared.change(), Instant::now());
        let groups = Arc::new(self.report(Reach::Disks).await?);
        let look = Look {
            change,
            at,
            groups: Arc::clone(&groups),
        };
        *self.shared.seen() = Some(look);
        Ok(groups)
    }

    async fn report(&self, reach: Reach) -> Result<Vec<Group>, DriverError> {
        let mut arguments: Vec<String> = ["fullreport", "--reportformat", "json", "--units", "b"]
            .map(str::to_owned)
            .into();
        arguments.push("--nosuffix".to_owned());
        for (part, columns) in report::COLUMNS {
            arguments.extend(["--configreport", part, "-o", columns].map(str::to_owned));
        }
        let said = command::look(&*self.run, self.command(reach, arguments).await?).await?;
        let mut groups = report::groups(&said.stdout).map_err(|error| {
            DriverError::passing(
                Trouble::UnknownAnswer,
                "the report of lvm cannot be understood",
            )
            .because(error)
        })?;
        for group in &mut groups {
            group.reach = reach;
        }
        Ok(groups)
    }

    /// The group of that name, wherever it lies.
    async fn group(&self, name: &str) -> Result<Group, DriverError> {
        let own = self.groups_with(name).await?;
        let found = own.iter().find(|group| group.name == name).cloned();
        let found = match found {
            Some(found) => Some(found),
            None => self.group_above(name).await?,
        };
        found.ok_or_else(|| {
            DriverError::passing(
                Trouble::DeviceMissing,
                format!("there is no volume group {name} on this host"),
            )
        })
    }

    fn device(&self, group: &str, volume: &str) -> PathBuf {
        self.shared.dev.join(group).join(volume)
    }

    async fn ensure_group(&self, target: &VolumeGroupTarget) -> Result<(), DriverError> {
        if target.above.is_some() {
            return self.ensure_group_above(target).await;
        }
        let groups = self.groups_with(&target.name).await?;
        let tag = format!("{}{}", report::POOL, target.pool);
        let disks = self.disks_of(target)?;
        let Some(group) = groups.iter().find(|group| group.name == target.name) else {
            if disks.is_empty() {
                return Err(DriverError::lasting(
                    Trouble::DeviceMissing,
                    format!(
                        "there is no volume group {} on this host, and no disks are named to make it from",
                        target.name
                    ),
                ));
            }
            for disk in &disks {
                self.blank(disk).await?;
            }
            let mut arguments = vec!["vgcreate".to_owned(), "--addtag".to_owned(), tag];
            arguments.push(target.name.clone());
            arguments.extend(disks.iter().map(|disk| disk.display().to_string()));
            return self.act(Reach::Disks, arguments).await;
        };
        let has: Vec<PathBuf> = group
            .disks
            .iter()
            .map(|disk| resolved(Path::new(&disk.path)))
            .collect();
        match &group.pool {
            Some(pool) if *pool == target.pool => {}
            Some(other) => {
                return Err(foreign(format!(
                    "volume group {} belongs to pool {other}",
                    target.name
                )));
            }
            // The manifest names the group, or exactly the disks that it lies on: it is taken over.
            None if disks.is_empty() || has.iter().all(|disk| disks.contains(disk)) => {
                self.act(Reach::Disks, ["vgchange", "--addtag", &tag, &target.name])
                    .await?;
            }
            None => {
                return Err(foreign(format!(
                    "there is a volume group {} already, on disks that the manifest does not name",
                    target.name
                )));
            }
        }
        for disk in disks.iter().filter(|disk| !has.contains(disk)) {
            self.blank(disk).await?;
            let disk = disk.display().to_string();
            self.act(Reach::Disks, ["vgextend", &target.name, &disk])
                .await?;
        }
        Ok(())
    }

    /// The disks by the names that LVM has for them.
    fn disks_of(&self, target: &VolumeGroupTarget) -> Result<Vec<PathBuf>, DriverError> {
        let named = target.devices.iter().map(AbsolutePath::as_str);
        named
            .map(|disk| {
                fs::canonicalize(disk).map_err(|error| {
                    DriverError::lasting(
                        Trouble::DeviceMissing,
                        format!("{disk} is not on this host"),
                    )
                    .because(error)
                })
            })
            .collect()
    }

    /// Refuses a disk that holds anything.
    async fn blank(&self, disk: &Path) -> Result<(), DriverError> {
        let name = disk.display().to_string();
        let asked = Command::new("wipefs", ["--json", "--no-act", &name]);
        let said = command::look(&*self.run, asked).await?;
        let found = report::signatures(&said.stdout).map_err(|error| {
            DriverError::passing(
                Trouble::UnknownAnswer,
                format!("what wipefs says of {name} cannot be understood"),
            )
            .because(error)
        })?;
        if found.is_empty() {
            return Ok(());
        }
        let advice = if found.iter().any(|kind| kind == "LVM2_member") {
            "LVM finds no volume group of this pool on it; when there was one, the disk is ill: look at `dmesg` and `pvs`, and \
             replace it; only when nothing on it is needed, wipe it by hand"
        } else {
            "when it is not needed, wipe it by hand"
        };
        Err(foreign(format!(
            "{name} holds {}; {advice}: wipefs --all {name}",
            found.join(", ")
        )))
    }

    async fn ensure_volume(&self, target: &LogicalVolumeTarget) -> Result<(), DriverError> {
        let group = &self.group(&target.group).await?;
        let size = target
            .size
            .max(1)
            .div_ceil(group.extent.max(1))
            .saturating_mul(group.extent.max(1));
        let full = format!("{}/{}", target.group, target.name);
        let Some(there) = group.volume(&target.name) else {
            self.create(group, target, size).await?;
            return self.finish(group, target).await;
        };
        if there.owner.as_ref() != Some(&target.volume) || there.origin.is_some() {
            return Err(foreign(format!(
                "/dev/{full} is there and does not belong to volume {0}; to give it to that volume: \
                 lvchange --addtag {1}{0} {full}",
                target.volume,
                report::VOLUME
            )));
        }
        if there.size < size {
            if there.thin_pool.is_none() {
                room(group, size - there.size, &full)?;
            }
            let size = format!("{size}b");
            self.act(group.reach, ["lvextend", "--size", &size, &full])
                .await?;
        }
        if there.making {
            self.finish(group, target).await?;
        }
        Ok(())
    }

    async fn create(
        &self,
        group: &Group,
        target: &LogicalVolumeTarget,
        size: u64,
    ) -> Result<(), DriverError> {
        let full = format!("{}/{}", target.group, target.name);
        let making = format!("{}{}", report::MAKING, target.volume);
        let (name, size_b) = (target.name.as_str(), format!("{size}b"));
        let common = ["lvcreate", "--yes", "--name", name, "--addtag", &making];
        if target.space == Space::Thick {
            room(group, size, &full)?;
            let thick = ["--wipesignatures", "y", "--zero", "y", "--size", &size_b];
            let arguments = common.into_iter().chain(thick);
            let arguments = arguments.chain([target.group.as_str()]);
            return self.act(group.reach, arguments).await;
        }
        let pool = match group.volumes.iter().find(|volume| volume.is_thin_pool) {
            Some(pool) => pool.name.clone(),
            None => self.make_thin_pool(group.reach, target).await?,
        };
        let thin = ["--virtualsize", &size_b, "--thinpool", &pool];
        let arguments = common.into_iter().chain(thin);
        let arguments = arguments.chain([target.group.as_str()]);
        self.act(group.reach, arguments).await
    }

    /// What it leaves free is for the pool's own metadata, and for snapshots of what is not thin.
    async fn make_thin_pool(
        &self,
        reach: Reach,
        target: &LogicalVolumeTarget,
    ) -> Result<String, DriverError> {
        let arguments = ["lvcreate", "--yes", "--type", "thin-pool", "--name"];
        let more = [THIN_POOL, "--addtag", report::THIN_POOL, "--extents"];
        let last = ["90%FREE", target.group.as_str()];
        self.act(reach, arguments.into_iter().chain(more).chain(last))
            .await?;
        Ok(THIN_POOL.to_owned())
    }

    /// Makes a new logical volume blank where it could be mistaken for something, and only then ours for good.
    async fn finish(&self, group: &Group, target: &LogicalVolumeTarget) -> Result<(), DriverError> {
        let full = format!("{}/{}", target.group, target.name);
        let device = self.device(&target.group, &target.name);
        if !device.exists() {
            self.act(group.reach, ["lvchange", "--activate", "ey", &full])
                .await?;
        }
        blank::ends(&device).await?;
        let ours = format!("{}{}", report::VOLUME, target.volume);
        let making = format!("{}{}", report::MAKING, target.volume);
        let tags = ["lvchange", "--addtag", &ours, "--deltag", &making, &full];
        self.act(group.reach, tags).await
    }

    async fn activate(
        &self,
        group: &str,
        volume: &str,
        how: Activation,
    ) -> Result<(), DriverError> {
        let found = self.group(group).await?;
        let Some(there) = found.volume(volume) else {
            return match how {
                Activation::Off => Ok(()),
                _ => Err(DriverError::lasting(
                    Trouble::DeviceMissing,
                    format!("there is no logical volume /dev/{group}/{volume}"),
                )),
            };
        };
        let (wanted, word) = match how {
            Activation::Off => (false, "n"),
            Activation::Exclusive => (true, "ey"),
            Activation::Shared => (true, "sy"),
        };
        if there.active == wanted && (!wanted || self.device(group, volume).exists()) {
            return Ok(());
        }
        if !wanted && there.open {
            return Err(in_use(group, volume));
        }
        let full = format!("{group}/{volume}");
        self.act(found.reach, ["lvchange", "--activate", word, &full])
            .await
    }

    async fn snapshot(&self, target: &SnapshotTarget) -> Result<(), DriverError> {
        let group = &self.group(&target.group).await?;
        let full = format!("{}/{}", target.group, target.name);
        if let Some(there) = group.volume(&target.name) {
            let ours = there.owner.as_ref() == Some(&target.owner);
            if ours && there.origin.as_ref() == Some(&target.of) {
                return Ok(());
            }
            return Err(foreign(format!(
                "/dev/{full} is there and is not a snapshot of {} for {}",
                target.of, target.owner
            )));
        }
        let Some(origin) = group.volume(&target.of) else {
            return Err(DriverError::lasting(
                Trouble::DeviceMissing,
                format!(
                    "there is no logical volume /dev/{}/{}",
                    target.group, target.of
                ),
            ));
        };
        let tag = format!("{}{}", report::SNAPSHOT, target.owner);
        let common = ["lvcreate", "--yes", "--snapshot", "--name", &target.name];
        let of = format!("{}/{}", target.group, target.of);
        let arguments = common.into_iter().chain(["--addtag", &tag]);
        if origin.thin_pool.is_some() {
            let thin = ["--setactivationskip", "n", "--activate", "y", &of];
            return self.act(group.reach, arguments.chain(thin)).await;
        }
        let extent = group.extent.max(1);
        let reserve = target
            .reserve
            .max(1)
            .div_ceil(extent)
            .saturating_mul(extent);
        room(group, reserve, &full)?;
        let size = format!("{reserve}b");
        let arguments = arguments.chain(["--size", &size, &of]);
        self.act(group.reach, arguments).await
    }

    async fn remove_volume(
        &self,
        group: &str,
        volume: &str,
        wipe: bool,
    ) -> Result<(), DriverError> {
        let own = self.groups_now().await?;
        let found = own.iter().find(|known| known.name == group).cloned();
        let found = match found {
            Some(found) => Some(found),
            None => self.group_above(group).await?,
        };
        let Some(group) = found else {
            return Ok(());
        };
        let Some(there) = group.volume(volume) else {
            return Ok(());
        };
        let full = format!("{}/{volume}", group.name);
        if there.owner.is_none() || there.is_thin_pool {
            return Err(foreign(format!(
                "/dev/{full} is not ours and is left as it is"
            )));
        }
        if there.open {
            return Err(in_use(&group.name, volume));
        }
        let of_others = |snapshot: &&Logical| {
            snapshot.origin.as_deref() == Some(volume) && snapshot.owner != there.owner
        };
        // LVM removes the snapshots of what it removes.
        if there.thin_pool.is_none()
            && let Some(snapshot) = group.volumes.iter().find(of_others)
        {
            return Err(DriverError::passing(
                Trouble::InUse,
                format!(
                    "/dev/{full} has the snapshot {}, which would go with it",
                    snapshot.name
                ),
            ));
        }
        if wipe {
            let device = self.device(&group.name, volume);
            if !device.exists() {
                self.act(group.reach, ["lvchange", "--activate", "ey", &full])
                    .await?;
            }
            blank::all(&device).await?;
        }
        self.act(group.reach, ["lvremove", "--yes", &full]).await
    }
}

impl Shared {
    fn change(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Look>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> Option<Look> {
        self.seen().clone()
    }

    /// What was seen last, when it still counts: nothing has changed since, and somebody would have noticed.
    fn valid(&self) -> Option<Arc<Vec<Group>>> {
        let look = self.last()?;
        let watched = self.watchers.load(Ordering::SeqCst) > 0;
        let current = look.change == self.change() && look.at.elapsed() < STALE;
        (watched && current).then_some(look.groups)
    }
}

/// A watcher counts while it watches.
struct Watching(Arc<Shared>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}

fn room(group: &Group, needed: u64, what: &str) -> Result<(), DriverError> {
    if needed <= group.free {
        return Ok(());
    }
    Err(DriverError::passing(
        Trouble::NoSpace,
        format!(
            "/dev/{what} needs {needed} bytes more; volume group {} has {} left",
            group.name, group.free
        ),
    ))
}

fn foreign(message: String) -> DriverError {
    DriverError::lasting(Trouble::ForeignInTheWay, message)
}

fn in_use(group: &str, volume: &str) -> DriverError {
    DriverError::passing(
        Trouble::InUse,
        format!("something has /dev/{group}/{volume} open"),
    )
}

fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

impl Pools for Lvm {
    fn on_disks(&self) -> Doing<'_, Vec<VolumeGroupSeen>> {
        Box::pin(async move { Ok(self.groups().await?.iter().map(Group::seen).collect()) })
    }

    fn observe<'a>(&'a self, above: &'a [AbsolutePath]) -> Doing<'a, PoolsSeen> {
        Box::pin(async move {
            let own = self.groups().await?;
            let (more, unread) = self.look_above(above).await;
            let groups = own.iter().chain(&more).map(Group::seen).collect();
            Ok(PoolsSeen { groups, unread })
        })
    }

    fn watch(&self) -> Hints {
        let watcher = match watch::Watcher::start(&self.shared.watched) {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::debug!(%error, "changes of volume groups are found by looking alone");
                return stream::pending().boxed();
            }
        };
        let shared = Arc::clone(&self.shared);
        shared.watchers.fetch_add(1, Ordering::SeqCst);
        // What happened before counts as a change.
        shared.changed();
        stream::unfold(
            (watcher, Watching(shared)),
            |(mut watcher, shared)| async move {
                match watcher.changed().await {
                    Ok(()) => {
                        shared.0.changed();
                        Some((Hint::Anything, (watcher, shared)))
                    }
                    Err(error) => {
                        tracing::warn!(%error, "volume groups are no longer watched");
                        None
                    }
                }
            },
        )
        .boxed()
    }

    fn ensure_group<'a>(&'a self, target: &'a VolumeGroupTarget) -> Doing<'a, ()> {
        Box::pin(self.ensure_group(target))
    }

    fn ensure_volume<'a>(&'a self, target: &'a LogicalVolumeTarget) -> Doing<'a, ()> {
        Box::pin(self.ensure_volume(target))
    }

    fn activate<'a>(&'a self, group: &'a str, volume: &'a str, how: Activation) -> Doing<'a, ()> {
        Box::pin(self.activate(group, volume, how))
    }

    fn snapshot<'a>(&'a self, target: &'a SnapshotTarget) -> Doing<'a, ()> {
        Box::pin(self.snapshot(target))
    }

    fn remove_volume<'a>(&'a self, group: &'a str, volume: &'a str, wipe: bool) -> Doing<'a, ()> {
        Box::pin(self.remove_volume(group, volume, wipe))
    }
}
