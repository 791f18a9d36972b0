//! Where rooms keep their sockets, disks and logs, and how the rest of a room that was killed is removed.
//!
//! Processes, links and mounts of a room end with its namespaces, whatever happens. Only its directory can be left
//! behind; it is dead when nobody holds its lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::cache::remove_tree;
use crate::error::{LabError, OnFile};
use crate::supervisor::LOCK;

/// The variable that moves the rooms elsewhere.
pub const ROOMS_VARIABLE: &str = "QUORATE_LAB_ROOMS";

/// The directory of all rooms on this machine.
#[derive(Debug, Clone)]
pub struct Rooms {
    directory: PathBuf,
}

impl Rooms {
    /// The directory that the environment names, or `/var/tmp/quorate-lab`.
    #[must_use]
    pub fn from_environment() -> Rooms {
        Rooms::at(
            std::env::var_os(ROOMS_VARIABLE)
                .map_or_else(|| "/var/tmp/quorate-lab".into(), PathBuf::from),
        )
    }

    /// Rooms in this directory.
    pub fn at(directory: impl Into<PathBuf>) -> Rooms {
        Rooms {
            directory: directory.into(),
        }
    }

    /// Where a room of this name is, or would be.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.join("rooms").join(name)
    }

    /// Where the timelines of failed tests are kept.
    #[must_use]
    pub fn timelines(&self) -> PathBuf {
        self.directory.join("timelines")
    }

    /// The names of the rooms that run.
    pub fn running(&self) -> Result<Vec<String>, LabError> {
        let mut names = Vec::new();
        for place in self.places()? {
            if !is_dead(&place)? {
                names.extend(
                    place
                        .file_name()
                        .map(|name| name.to_string_lossy().into_owned()),
                );
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes what rooms that were killed have left behind, and says which.
    pub fn reap(&self) -> Result<Vec<String>, LabError> {
        let _lock = self.lock()?;
        self.reap_locked()
    }

    /// Does something that no room would survive; refused while one runs, and none begins meanwhile.
    pub fn while_none_runs(
        &self,
        act: impl FnOnce() -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let running = self.running()?;
        if running.is_empty() {
            return act();
        }
        Err(LabError::Refused(format!(
            "rooms run from the cache: {}; `quorate-lab down --room NAME` ends one",
            running.join(", ")
        )))
    }

    fn reap_locked(&self) -> Result<Vec<String>, LabError> {
        let mut reaped = Vec::new();
        for place in self.places()? {
            if is_dead(&place)? {
                remove_tree(&place)?;
                reaped.extend(
                    place
                        .file_name()
                        .map(|name| name.to_string_lossy().into_owned()),
                );
            }
        }
        Ok(reaped)
    }

    /// Makes an empty place for a new room. Until the guard is dropped nobody takes it for a dead one.
    pub(crate) fn claim(&self, name: &str) -> Result<(PathBuf, File), LabError> {
        let lock = self.lock()?;
        self.reap_locked()?;
        let place = self.place(name);
        match fs::create_dir(&place) {
            Ok(()) => Ok((place, lock)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(LabError::Refused(format!(
                    "a room called {name:?} runs already; `quorate-lab down --room {name}` ends it, or choose another name"
                )))
            }
            Err(error) => Err(error).on("create", place),
        }
    }

    fn lock(&self) -> Result<File, LabError> {
        let rooms = self.directory.join("rooms");
        fs::create_dir_all(&rooms).on("create", &rooms)?;
        let path = self.directory.join("rooms.lock");
        let file = File::create(&path).on("create", &path)?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(std::io::Error::from)
            .on("lock", &path)?;
        Ok(file)
    }

    fn places(&self) -> Result<Vec<PathBuf>, LabError> {
        let rooms = self.directory.join("rooms");
        let entries = match fs::read_dir(&rooms) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.on("list", &rooms)?,
        };
        entries
            .map(|entry| entry.map(|entry| entry.path()).on("list", &rooms))
            .collect()
    }
}

fn is_dead(place: &Path) -> Result<bool, LabError> {
    let path = place.join(LOCK);
    match File::open(&path) {
        Ok(file) => Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).on("open", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_whose_lock_nobody_holds_is_removed_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let rooms = Rooms::at(directory.path());
        let (living, guard) = rooms.claim("living").expect("free");
        let lock = File::create(living.join(LOCK)).expect("writable");
        flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("free");
        drop(guard);
        let (dead, guard) = rooms.claim("dead").expect("free");
        drop(guard);

        assert_eq!(rooms.reap().expect("readable"), ["dead"]);
        assert!(living.is_dir() && !dead.is_dir());
        assert_eq!(rooms.running().expect("readable"), ["living"]);
        let refused = rooms
            .while_none_runs(|| panic!("a room runs"))
            .expect_err("refused")
            .to_string();
        assert!(refused.contains("living"), "{refused}");
        let taken = rooms.claim("living").expect_err("it runs").to_string();
        assert!(taken.contains("quorate-lab down --room living"), "{taken}");
    }
}
