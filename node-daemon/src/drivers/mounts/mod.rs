//! Filesystems of this host: GFS2 for all hosts, ext4 and XFS for one at a time.
//!
//! A mount is ours when we have noted it before we began it. Whatever else is mounted is reported and left alone.

mod check;
mod inside;
mod kept;
mod make;
mod mountinfo;
mod superblock;
#[cfg(test)]
mod tests;
mod watch;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{MountState, Name, QuotaMode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command::{self, Command, Run};
use super::{
    CheckSeen, CheckTarget, Doing, DriverError, FilesystemTarget, Filesystems, Hint, Hints,
    MountSeen, MountTarget, Owner, SeenFilesystem, Trouble,
};
use kept::{Kept, Notes};
use mountinfo::Line;

/// A mount of a cluster filesystem waits for the other hosts, however long that takes; while it waits it cannot be killed
/// anyway.
const FOR_OTHERS: Duration = Duration::from_secs(u32::MAX as u64);
/// For the filesystem's own figures: one that has stopped may not answer.
const FIGURES: Duration = Duration::from_secs(2);
const QUOTA: &str = "quota=";
/// Between looks at a mount that somebody else has begun.
const LOOK: Duration = Duration::from_millis(200);

/// Where things are on a host.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) proc: PathBuf,
    pub(crate) sys: PathBuf,
    /// Where it is noted which mounts are ours.
    pub(crate) kept: PathBuf,
}

/// Filesystems of this host.
#[derive(Clone)]
pub(crate) struct Mounts {
    run: Arc<dyn Run>,
    places: Places,
    /// Notes are changed one at a time.
    changing: Arc<Mutex<()>>,
}

impl Mounts {
    pub(crate) fn new(run: Arc<dyn Run>, places: Places) -> Self {
        Self {
            run,
            places,
            changing: Arc::default(),
        }
    }

    fn lines(&self) -> Result<Vec<Line>, DriverError> {
        let path = self.places.proc.join("self/mountinfo");
        let text = fs::read_to_string(&path).map_err(|error| {
            DriverError::passing(
                Trouble::UnknownAnswer,
                format!("{} cannot be read", path.display()),
            )
            .because(error)
        })?;
        Ok(mountinfo::read(&text))
    }

    fn note(&self, how: impl FnOnce(&mut Notes)) -> Result<(), DriverError> {
        self.keep(&self.places.kept, how)
    }

    fn keep<T: Default + Serialize + DeserializeOwned>(
        &self,
        path: &Path,
        how: impl FnOnce(&mut T),
    ) -> Result<(), DriverError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes: T = kept::read(path);
        how(&mut notes);
        kept::write(path, &notes).map_err(|error| {
            DriverError::passing(
                Trouble::Refused,
                "this host cannot note what is ours of its filesystems, so it changes nothing",
            )
            .because(error)
        })
    }

    /// What lies uppermost at that mount point.
    fn at(&self, point: &str) -> Result<Option<(Line, Owner)>, DriverError> {
        let line = self.lines()?.into_iter().rfind(|line| line.point == point);
        let notes: Notes = kept::read(&self.places.kept);
        Ok(line.map(|line| {
            let owner = owner(&notes, &line);
            (line, owner)
        }))
    }

    async fn seen(&self) -> Result<Vec<MountSeen>, DriverError> {
        let notes: Notes = kept::read(&self.places.kept);
        let mut all: Vec<MountSeen> = Vec::new();
        for line in self.lines()? {
            if !line.source.starts_with('/') {
                continue;
            }
            let mount_point = AbsolutePath(line.point.clone());
            all.retain(|seen| seen.mount_point != mount_point);
            let owner = owner(&notes, &line);
            let ours = owner.object().is_some();
            let gfs2 = (ours && line.filesystem == "gfs2")
                .then(|| self.gfs2(&line))
                .flatten();
            let figures = if ours {
                figures(&line.point).await
            } else {
                None
            };
            let (capacity, free) = figures.unwrap_or((0, 0));
            let kept = owner.object().and_then(|_| notes.get(&line.point));
            all.push(MountSeen {
                device: AbsolutePath(match kept {
                    Some(kept) => kept.device.display().to_string(),
                    None => line.source.clone(),
                }),
                journals: kept.and_then(|kept| kept.journals),
                quota: gfs2.map(|_| quota(&line.options)),
                options: kept.and_then(|kept| kept.options.clone()),
                refused: kept.and_then(|kept| kept.refused.clone()),
                owner,
                mount_point,
                filesystem: line.filesystem.clone(),
                state: match gfs2 {
                    Some((_, true)) => MountState::Withdrawn,
                    _ => MountState::Mounted,
                },
                journal: gfs2.and_then(|(journal, _)| journal),
                capacity,
                free,
            });
        }
        Ok(all)
    }

    /// The journal of a mounted GFS2, and whether it has shut itself down.
    fn gfs2(&self, line: &Line) -> Option<(Option<u32>, bool)> {
        let read = |path: PathBuf| fs::read_to_string(path).ok();
        let tables = fs::read_dir(self.places.sys.join("fs/gfs2")).ok()?;
        let mut tables = tables.filter_map(|entry| Some(entry.ok()?.path()));
        let table = tables.find(|table| {
            read(table.join("id")).is_some_and(|device| device.trim() == line.device)
        })?;
        let journal = read(table.join("lock_module/jid"));
        let withdrawn = read(table.join("withdraw"));
        Some((
            journal.and_then(|journal| journal.trim().parse().ok()),
            withdrawn.is_some_and(|withdrawn| withdrawn.trim() == "1"),
        ))
    }

    async fn mount(&self, target: &MountTarget) -> Result<(), DriverError> {
        let point = target.mount_point.0.as_str();
        if self.is_mounted(target)? {
            return Ok(());
        }
        if target.filesystem == "ocfs2" {
            return Err(make::not_supported(&target.filesystem));
        }
        self.note(|notes| {
            let kept = Kept {
                owner: target.owner.clone(),
                device: PathBuf::from(&target.device.0),
                options: Some(target.options.clone()),
                refused: None,
                journals: None,
            };
            notes.insert(point.to_owned(), kept);
        })?;
        fs::create_dir_all(point).map_err(|error| {
            DriverError::passing(
                Trouble::Refused,
                format!("the directory {point} cannot be made"),
            )
            .because(error)
        })?;
        // A former daemon may have begun it, and it waits in the kernel.
        while self.is_in_kernel(target) {
            tokio::time::sleep(LOOK).await;
            if self.is_mounted(target)? {
                return Ok(());
            }
        }
        let mut arguments = vec!["-t".to_owned(), target.filesystem.clone()];
        if !target.options.is_empty() {
            arguments.extend(["-o".to_owned(), target.options.join(",")]);
        }
        arguments.extend([target.device.0.clone(), point.to_owned()]);
        let command = Command::new("mount", arguments).patience(FOR_OTHERS);
        command::act(&*self.run, command).await.map(drop)
    }

    /// Options that the kernel refuses are noted as such: they count from the next mount on.
    async fn remount(&self, target: &MountTarget) -> Result<(), DriverError> {
        let point = target.mount_point.0.as_str();
        if !self.is_mounted(target)? {
            return Ok(());
        }
        let mut options = vec!["remount".to_owned()];
        options.extend(target.options.iter().cloned());
        // What is not said stays as it was.
        if target.filesystem == "gfs2" && !target.options.iter().any(|it| it.starts_with(QUOTA)) {
            options.push(format!("{QUOTA}off"));
        }
        let arguments = [
            "-t",
            &target.filesystem,
            "-o",
            &options.join(","),
            &target.device.0,
            point,
        ];
        let ended = command::run_to_end(&*self.run, Command::new("mount", arguments)).await?;
        let refused = (!ended.succeeded()).then(|| ended.words());
        self.note(|notes| {
            if let Some(kept) = notes.get_mut(point) {
                kept.options = Some(target.options.clone());
                kept.refused = refused;
            }
        })
    }

    fn is_mounted(&self, target: &MountTarget) -> Result<bool, DriverError> {
        match self.at(&target.mount_point.0)? {
            None => Ok(false),
            Some((_, Owner::Ours(owner))) if owner == target.owner => Ok(true),
            Some((line, _)) => Err(DriverError::lasting(
                Trouble::ForeignInTheWay,
                format!(
                    "{} is mounted at {}: unmount it, or choose another mount point",
                    line.source, target.mount_point.0
                ),
            )),
        }
    }

    /// Whether the kernel has that cluster filesystem already, though it is not mounted yet.
    fn is_in_kernel(&self, target: &MountTarget) -> bool {
        let table = target.lockspace.as_ref().map(|space| &space.table);
        table.is_some_and(|table| self.places.sys.join("fs/gfs2").join(table).exists())
    }

    async fn unmount(&self, point: &str) -> Result<(), DriverError> {
        match self.at(point)? {
            None => {}
            Some((_, Owner::Ours(_))) => {
                let command = Command::new("umount", [point]).patience(FOR_OTHERS);
                let ended = command::run_to_end(&*self.run, command).await?;
                if !ended.succeeded() {
                    let busy = ended.words().contains("busy");
                    let trouble = if busy {
                        Trouble::InUse
                    } else {
                        Trouble::Refused
                    };
                    return Err(DriverError::passing(
                        trouble,
                        format!("{point} cannot be unmounted: {}", ended.words()),
                    ));
                }
            }
            Some((line, Owner::Foreign)) => {
                return Err(DriverError::lasting(
                    Trouble::ForeignInTheWay,
                    format!("{} is mounted at {point}, and not by us", line.source),
                ));
            }
        }
        self.note(|notes| {
            notes.remove(point);
        })
    }
}

/// As the kernel shows it among the options of a GFS2.
fn quota(options: &str) -> QuotaMode {
    let said = options.split(',').find_map(|it| it.strip_prefix(QUOTA));
    match said {
        Some("on" | "quiet") => QuotaMode::Enforced,
        Some("account") => QuotaMode::Accounted,
        _ => QuotaMode::Ignored,
    }
}

fn owner(notes: &Notes, line: &Line) -> Owner {
    let kept = notes.get(&line.point);
    let same = kept.filter(|kept| {
        kept.device == Path::new(&line.source)
            || number(&kept.device).as_ref() == Some(&line.device)
    });
    same.map_or(Owner::Foreign, |kept| Owner::Ours(kept.owner.clone()))
}

/// Major and minor number of a device, as the kernel writes them.
fn number(device: &Path) -> Option<String> {
    let number = fs::metadata(device).ok()?.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    Some(format!("{major}:{minor}"))
}

/// Bytes in all, and bytes left.
async fn figures(point: &str) -> Option<(u64, u64)> {
    let path = point.to_owned();
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(path));
    let found = tokio::time::timeout(FIGURES, asked)
        .await
        .ok()?
        .ok()?
        .ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some((bytes(found.f_blocks), bytes(found.f_bavail)))
}

fn failed(what: &str, error: io::Error) -> DriverError {
    DriverError::passing(Trouble::DeviceFailed, what.to_owned()).because(error)
}

impl Filesystems for Mounts {
    fn observe(&self) -> Doing<'_, Vec<MountSeen>> {
        Box::pin(self.seen())
    }

    fn watch(&self) -> Hints {
        let watcher = watch::Watcher::start(&self.places.sys);
        match watcher {
            Ok(watcher) => stream::unfold(watcher, |mut watcher| async move {
                match watcher.changed().await {
                    Ok(()) => Some((Hint::Anything, watcher)),
                    Err(error) => {
                        tracing::warn!(%error, "mounts are not watched any more");
                        None
                    }
                }
            })
            .boxed(),
            Err(error) => {
                tracing::warn!(%error, "mounts cannot be watched: they are only looked at");
                stream::empty().boxed()
            }
        }
    }

    fn read<'a>(&'a self, device: &'a AbsolutePath) -> Doing<'a, Option<SeenFilesystem>> {
        Box::pin(self.read(&device.0))
    }

    fn make<'a>(&'a self, target: &'a FilesystemTarget) -> Doing<'a, ()> {
        Box::pin(self.make(target))
    }

    fn grow<'a>(&'a self, target: &'a FilesystemTarget) -> Doing<'a, ()> {
        Box::pin(self.grow(target))
    }

    fn mount<'a>(&'a self, target: &'a MountTarget) -> Doing<'a, ()> {
        Box::pin(self.mount(target))
    }

    fn remount<'a>(&'a self, target: &'a MountTarget) -> Doing<'a, ()> {
        Box::pin(self.remount(target))
    }

    fn find<'a>(&'a self, path: &'a AbsolutePath) -> Doing<'a, ()> {
        Box::pin(self.find(Path::new(&path.0)))
    }

    fn checks(&self) -> Doing<'_, Vec<CheckSeen>> {
        Box::pin(async { Ok(self.checks_seen()) })
    }

    fn check<'a>(&'a self, target: &'a CheckTarget) -> Doing<'a, ()> {
        Box::pin(self.check(target))
    }

    fn unmount<'a>(&'a self, mount_point: &'a AbsolutePath) -> Doing<'a, ()> {
        Box::pin(self.unmount(&mount_point.0))
    }
}

/// The object whose filesystem is mounted at that point by us.
fn mounted_for(owner: &Owner, name: &Name) -> bool {
    owner.object() == Some(name)
}
