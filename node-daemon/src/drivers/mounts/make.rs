//! What is on a device, making a filesystem where there is nothing, and growing one that is mounted.

use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use super::{Mounts, failed, mounted_for, superblock};
use crate::drivers::command::{self, Command};
use crate::drivers::{
    DriverError, FilesystemTarget, LockTable, MountSeen, SeenFilesystem, Trouble, wipefs,
};

/// A device that is larger than its filesystem by less than this part is not worth a word: a filesystem needs some for itself.
const PART: u64 = 64;
const MIB: u64 = 1 << 20;
/// A journal is written whole, and nothing is said meanwhile.
const FOR_JOURNALS: Duration = Duration::from_secs(600);

/// The first of the signatures.
fn signature(text: &str) -> Result<Option<(String, String)>, serde_json::Error> {
    let found = wipefs::signatures(text)?.into_iter().next();
    Ok(found.map(|first| (first.kind(), first.uuid.unwrap_or_default())))
}

impl Mounts {
    pub(super) async fn read(&self, device: &str) -> Result<Option<SeenFilesystem>, DriverError> {
        let asked = Command::new("wipefs", ["--json", "--no-act", device]);
        let said = command::look(&*self.run, asked).await?;
        let found = signature(&said.stdout).map_err(|error| {
            DriverError::passing(
                Trouble::UnknownAnswer,
                format!("what wipefs says of {device} cannot be understood"),
            )
            .because(error)
        })?;
        let Some((filesystem, uuid)) = found else {
            return Ok(None);
        };
        let known = match filesystem.as_str() {
            "gfs2" => self.superblock(device).await?,
            _ => None,
        };
        Ok(Some(SeenFilesystem {
            filesystem,
            uuid,
            lock_table: known.as_ref().and_then(|known| known.table.clone()),
            journals: known.map(|known| known.journals),
        }))
    }

    async fn superblock(
        &self,
        device: &str,
    ) -> Result<Option<superblock::Superblock>, DriverError> {
        let path = device.to_owned();
        let read = tokio::task::spawn_blocking(move || superblock::read(Path::new(&path)));
        let read = read.await.map_err(std::io::Error::other);
        read.and_then(|read| read)
            .map_err(|error| failed(&format!("the GFS2 on {device} cannot be read"), error))
    }

    /// Never over anything: what is on the device is looked at once more, and `mkfs` is not told to overwrite it.
    pub(super) async fn make(&self, target: &FilesystemTarget) -> Result<(), DriverError> {
        let device = target.device.0.as_str();
        if let Some(found) = self.read(device).await? {
            return Err(DriverError::lasting(
                Trouble::ForeignInTheWay,
                format!(
                    "{device} holds {}; when it is not needed, wipe it by hand: wipefs --all {device}",
                    found.filesystem
                ),
            ));
        }
        let command = match target.filesystem.as_str() {
            "gfs2" => Command::new("mkfs.gfs2", gfs2(target)?),
            "ext4" => Command::new("mkfs.ext4", ["-q", device]),
            "xfs" => Command::new("mkfs.xfs", ["-q", device]),
            other => return Err(not_supported(other)),
        };
        command::act(&*self.run, command).await.map(drop)
    }

    /// One that has its size and its journals already is left as it is.
    pub(super) async fn grow(&self, target: &FilesystemTarget) -> Result<(), DriverError> {
        let device = target.device.0.as_str();
        let seen = self.seen().await?;
        let mounted = seen
            .iter()
            .find(|seen| mounted_for(&seen.owner, &target.owner));
        let Some(mounted) = mounted else {
            return Ok(());
        };
        let point = mounted.mount_point.0.as_str();
        let whole = size(device).await?;
        let larger = whole.saturating_sub(mounted.capacity) > whole / PART;
        let growing = match target.filesystem.as_str() {
            "gfs2" => Some(Command::new("gfs2_grow", [point])),
            "ext4" => Some(Command::new("resize2fs", [device])),
            "xfs" => Some(Command::new("xfs_growfs", [point])),
            _ => None,
        };
        // Without figures of its own nobody knows.
        if let Some(command) = growing.filter(|_| larger && mounted.capacity > 0) {
            command::act(&*self.run, command).await?;
        }
        if let Some(wanted) = target.journals.filter(|_| target.filesystem == "gfs2") {
            self.add_journals(target, mounted, wanted).await?;
        }
        self.make_directories(point, &target.directories).await
    }

    /// Journals that were added lately may not be on the device yet: what is noted counts, too. They can never be taken away.
    async fn add_journals(
        &self,
        target: &FilesystemTarget,
        mounted: &MountSeen,
        wanted: u32,
    ) -> Result<(), DriverError> {
        let point = mounted.mount_point.0.as_str();
        let on_device = self.superblock(&target.device.0).await?;
        let on_device = on_device.map_or(0, |it| it.journals);
        let mut has = on_device.max(mounted.journals.unwrap_or(0));
        if has > 0 && has < wanted {
            let more = (wanted - has).to_string();
            let size = journal_size(target);
            let command = Command::new("gfs2_jadd", ["-j", &more, "-J", &size, point]);
            command::act(&*self.run, command.patience(FOR_JOURNALS)).await?;
            has = wanted;
        }
        if has > 0 && mounted.journals != Some(has) {
            self.note(|notes| {
                if let Some(kept) = notes.get_mut(point) {
                    kept.journals = Some(has);
                }
            })?;
        }
        Ok(())
    }
}

fn gfs2(target: &FilesystemTarget) -> Result<Vec<String>, DriverError> {
    let Some(LockTable {
        cluster,
        filesystem,
    }) = &target.lock_table
    else {
        return Err(DriverError::lasting(
            Trouble::NotSupported,
            "a GFS2 is made with a lock table only: the plan names none",
        ));
    };
    let journals = target.journals.unwrap_or(1).to_string();
    let table = format!("{cluster}:{filesystem}");
    let size = journal_size(target);
    let arguments = [
        "-O", "-p", "lock_dlm", "-t", &table, "-j", &journals, "-J", &size,
    ];
    let all = arguments.into_iter().chain([target.device.0.as_str()]);
    Ok(all.map(str::to_owned).collect())
}

/// In mebibytes, as the programs want it.
fn journal_size(target: &FilesystemTarget) -> String {
    let size = target.journal_size.unwrap_or(128 * MIB);
    (size / MIB).max(8).to_string()
}

async fn size(device: &str) -> Result<u64, DriverError> {
    let path = device.to_owned();
    let sought = tokio::task::spawn_blocking(move || {
        std::fs::File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0)))
    });
    let sought = sought.await.map_err(std::io::Error::other);
    sought
        .and_then(|size| size)
        .map_err(|error| failed(&format!("the size of {device} cannot be read"), error))
}

pub(super) fn not_supported(filesystem: &str) -> DriverError {
    DriverError::lasting(
        Trouble::NotSupported,
        format!(
            "this release of quorate-node cannot make or mount {filesystem}: use Gfs2, Ext4 or Xfs"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_what_is_on_a_device_is_read() {
        let gfs2 = include_str!("../../../tests/recorded/gfs2/wipefs.json");
        let (kind, uuid) = signature(gfs2).expect("JSON").expect("one");
        assert_eq!(kind, "gfs2");
        assert_eq!(uuid, "3c5fbafa-6587-45c8-914b-703b90f76aba");
        let blank = include_str!("../../../tests/recorded/lvm/wipefs-blank.json");
        assert_eq!(signature(blank).expect("JSON"), None);
        assert_eq!(signature("").expect("nothing is nothing"), None);
        assert!(signature("{").is_err());
    }
}
