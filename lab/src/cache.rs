//! Where images and templates are kept between runs.
//!
//! An entry's name ends in the hash of what this repository makes it from, so that a change here never finds an old one. What a mirror has
//! delivered is not in it: the versions of an image are those of the day when it was made, until the cache is cleaned. An entry is made in a directory beside, under a lock, and renamed when it is whole: two runs that want it at once get one, and
//! a run that is killed leaves nothing that another would take for an image.

use std::fs::{self, File};
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::{LabError, OnFile};
use crate::progress::Progress;

/// The variable that moves the cache elsewhere.
pub const CACHE_VARIABLE: &str = "QUORATE_LAB_CACHE";

/// A directory of entries that can be made again.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The cache that the environment names, or `/var/cache/quorate-lab`.
    #[must_use]
    pub fn from_environment() -> Cache {
        let directory = std::env::var_os(CACHE_VARIABLE)
            .map_or_else(|| "/var/cache/quorate-lab".into(), PathBuf::from);
        Cache::at(directory)
    }

    /// A cache in this directory.
    pub fn at(directory: impl Into<PathBuf>) -> Cache {
        Cache {
            directory: directory.into(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The entry of this name, made by `make` in an empty directory when it is not there yet.
    ///
    /// The lock is held while it is made; whoever else wants it waits, and then finds it.
    pub async fn entry<F, R>(
        &self,
        name: &str,
        progress: &Progress,
        make: F,
    ) -> Result<PathBuf, LabError>
    where
        F: FnOnce(PathBuf) -> R,
        R: Future<Output = Result<(), LabError>>,
    {
        let entry = self.directory.join(name);
        if entry.is_dir() {
            return Ok(entry);
        }
        let _lock = self.lock(name, progress)?;
        if entry.is_dir() {
            return Ok(entry);
        }
        let draft = self.directory.join(format!(".{name}.draft"));
        remove_tree(&draft)?;
        fs::create_dir(&draft).on("create", &draft)?;
        match make(draft.clone()).await {
            Ok(()) => {
                fs::rename(&draft, &entry).on("put into the cache", &entry)?;
                Ok(entry)
            }
            Err(error) => {
                remove_tree(&draft)?;
                Err(error)
            }
        }
    }

    /// Removes every entry; refused while one is being made. Whoever calls this sees to it that no room runs.
    pub fn clean(&self) -> Result<(), LabError> {
        let mut locks = Vec::new();
        for name in self.names(".lock")? {
            locks.push(self.try_lock(&name)?.ok_or_else(|| {
                LabError::Refused(format!(
                    "{name} is being made in the cache; try again when it is whole"
                ))
            })?);
        }
        remove_tree(&self.directory)
    }

    /// Removes what runs that were killed have left half made, and says what.
    pub fn reap(&self) -> Result<Vec<String>, LabError> {
        let mut reaped = Vec::new();
        for name in self.names(".draft")? {
            if let Some(_lock) = self.try_lock(&name)? {
                remove_tree(&self.directory.join(format!(".{name}.draft")))?;
                reaped.push(name);
            }
        }
        Ok(reaped)
    }

    /// The entries of which there is a file `.NAME` with this ending.
    fn names(&self, ending: &str) -> Result<Vec<String>, LabError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.on("list", &self.directory)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.on("list", &self.directory)?.file_name();
            let name = name.to_string_lossy();
            names.extend(
                name.strip_prefix('.')
                    .and_then(|name| name.strip_suffix(ending))
                    .map(str::to_owned),
            );
        }
        Ok(names)
    }

    fn try_lock(&self, name: &str) -> Result<Option<File>, LabError> {
        let path = self.directory.join(format!(".{name}.lock"));
        let file = File::create(&path).on("create", &path)?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive)
            .is_ok()
            .then_some(file))
    }

    fn lock(&self, name: &str, progress: &Progress) -> Result<File, LabError> {
        let path = self.directory.join(format!(".{name}.lock"));
        loop {
            let directory = &self.directory;
            fs::create_dir_all(directory).on("create the cache directory", directory)?;
            let file = File::create(&path).on("create", &path)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                progress.step(&format!("another run is making {name}; waiting for it"));
                flock(&file, FlockOperation::LockExclusive)
                    .map_err(std::io::Error::from)
                    .on("lock", &path)?;
            }
            // Whoever has cleaned the cache meanwhile has removed the file, and the next one would lock another.
            let held = file.metadata().on("look at", &path)?.ino();
            if fs::metadata(&path).is_ok_and(|there| there.ino() == held) {
                return Ok(file);
            }
        }
    }
}

/// Removes a directory with all that is in it; that it is not there is as good.
pub(crate) fn remove_tree(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).on("remove", path),
        _ => Ok(()),
    }
}

/// A short hash of everything that an entry is made from.
#[must_use]
pub fn key(parts: &[&[u8]]) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        // The length keeps ["ab", "c"] and ["a", "bc"] apart.
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finish().as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn an_entry_is_made_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(directory.path());
        let progress = Progress::silent();
        let first = cache
            .entry("image-1", &progress, async |draft: PathBuf| {
                fs::write(draft.join("root"), "x").on("write", draft)
            })
            .await
            .expect("made");
        let second = cache
            .entry("image-1", &progress, async |_| {
                Err(LabError::Refused("made twice".to_owned()))
            })
            .await
            .expect("found");
        assert_eq!(first, second);
        assert!(second.join("root").is_file());
    }

    #[test]
    fn two_runs_that_want_it_at_once_get_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(directory.path());
        let made = AtomicU32::new(0);
        let both_are_there = Barrier::new(2);
        let obtain = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            both_are_there.wait();
            let progress = Progress::silent();
            let entry = cache.entry("image-1", &progress, async |draft: PathBuf| {
                made.fetch_add(1, Ordering::SeqCst);
                fs::write(draft.join("root"), "whole").on("write", draft)
            });
            runtime.block_on(entry).expect("made or found")
        };

        let found = thread::scope(|scope| {
            [scope.spawn(obtain), scope.spawn(obtain)].map(|run| run.join().expect("it ends"))
        });

        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(found[0], found[1]);
        let text = fs::read_to_string(found[0].join("root")).expect("there");
        assert_eq!(text, "whole");
    }

    #[tokio::test]
    async fn what_a_killed_run_has_left_is_made_anew_and_one_command_cleans_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(directory.path().join("cache"));
        let draft = cache.directory().join(".image-1.draft");
        fs::create_dir_all(&draft).expect("made");
        fs::write(draft.join("root"), "ha").expect("half");

        let entry = cache
            .entry("image-1", &Progress::silent(), async |draft: PathBuf| {
                fs::write(draft.join("kernel"), "whole").on("write", draft)
            })
            .await
            .expect("made");
        assert!(!entry.join("root").exists(), "nothing of the half one");

        cache.clean().expect("cleaned");
        assert!(!cache.directory().exists());
    }

    #[tokio::test]
    async fn what_is_being_made_is_neither_cleaned_nor_taken_for_left_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(directory.path().join("cache"));
        cache
            .entry("image-1", &Progress::silent(), async |draft: PathBuf| {
                let refused = cache.clean().expect_err("it is being made").to_string();
                assert!(refused.contains("image-1"), "{refused}");
                assert!(cache.reap().expect("looked").is_empty());
                fs::write(draft.join("root"), "whole").on("write", draft)
            })
            .await
            .expect("made");

        fs::create_dir(cache.directory().join(".image-2.draft")).expect("a killed run's");
        assert_eq!(cache.reap().expect("reaped"), ["image-2"]);
        assert!(!cache.directory().join(".image-2.draft").exists());
        cache.clean().expect("nobody makes anything");
    }

    #[tokio::test]
    async fn what_could_not_be_made_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(directory.path());
        let made = cache
            .entry("image-1", &Progress::silent(), async |_| {
                Err(LabError::Refused("no network".to_owned()))
            })
            .await;
        assert!(made.is_err());
        let left: Vec<_> = fs::read_dir(directory.path())
            .expect("readable")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left, [".image-1.lock"]);
    }

    #[test]
    fn the_key_depends_on_where_one_part_ends() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
    }
}
