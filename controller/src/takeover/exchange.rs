//! One store takes the place of another.
//!
//! Two directories cannot change places at once on every file system, so it takes three renames, in an order that shows after
//! a crash how far it came: the new store is whole when it is called a successor; the former one is set aside under the
//! name that the successor's is made of; then the successor takes its place. Before the former one was set aside nothing
//! has happened, and the successor is dropped. Afterwards there is nothing to go back to without a person, and it is ended.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use quorate_store::disk::RealDisk;

use crate::restore::{RestoreError, io_error};

/// Where a member's store is, below its data directory.
pub(crate) const STORE: &str = "store";
const SUCCESSOR: &str = ".successor";

/// The places of one exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    data_dir: PathBuf,
    store: PathBuf,
    successor: PathBuf,
    /// Where the former store is kept.
    pub(super) aside: PathBuf,
}

/// What a crash had left to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Nothing.
    Nothing,
    /// An exchange had not begun: its successor was dropped.
    Dropped,
    /// An exchange was ended; the former store is here.
    Ended(PathBuf),
}

impl Exchange {
    /// The former store will be kept by the name of its history, and never over another one.
    pub(super) fn of(data_dir: &Path, history: &str) -> Self {
        let name = |number: u32| match number {
            1 => format!("{STORE}.of-history-{history}"),
            _ => format!("{STORE}.of-history-{history}.{number}"),
        };
        let free = (1..).map(name).find(|name| !data_dir.join(name).exists());
        Self::with(data_dir, &free.unwrap_or_default())
    }

    fn with(data_dir: &Path, aside: &str) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            store: data_dir.join(STORE),
            successor: data_dir.join(format!("{aside}{SUCCESSOR}")),
            aside: data_dir.join(aside),
        }
    }

    /// The new store in `making` is whole. Nobody else may use it or the former one meanwhile.
    pub(super) fn begin(&self, making: &Path) -> Result<(), RestoreError> {
        self.rename(making, &self.successor)
    }

    /// The next step; false when there is none left.
    pub(super) fn step(&self) -> Result<bool, RestoreError> {
        match (self.successor.exists(), self.aside.exists()) {
            (true, false) => self.rename(&self.store, &self.aside)?,
            (true, true) => self.rename(&self.successor, &self.store)?,
            (false, _) => return Ok(false),
        }
        Ok(true)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), RestoreError> {
        let renamed = fs::rename(from, to)
            .and_then(|()| fs::File::open(&self.data_dir))
            .and_then(|dir| dir.sync_all());
        renamed.map_err(io_error(format!(
            "cannot move {} to {}; run the same command again",
            from.display(),
            to.display()
        )))
    }
}

/// Makes good what a crash in the middle of an exchange has left.
///
/// # Errors
/// When somebody is at work on it, or the file system fails.
pub(crate) fn settle(data_dir: &Path) -> Result<Settled, RestoreError> {
    let Some(exchange) = unfinished(data_dir)? else {
        return Ok(Settled::Nothing);
    };
    let begun = exchange.aside.exists() && !exchange.store.exists();
    let former = if begun {
        &exchange.aside
    } else {
        &exchange.store
    };
    if !former.exists() {
        // Neither is there: somebody has moved the former one away. What was made for its place is no member's.
        return Ok(Settled::Nothing);
    }
    // A takeover that is under way holds the former store.
    let _nobody_else =
        RealDisk::open(former).map_err(io_error(format!("cannot use {}", former.display())))?;
    if begun {
        while exchange.step()? {}
        return Ok(Settled::Ended(exchange.aside));
    }
    fs::remove_dir_all(&exchange.successor).map_err(io_error(format!(
        "cannot clear {}, which a former attempt left behind",
        exchange.successor.display()
    )))?;
    Ok(Settled::Dropped)
}

fn unfinished(data_dir: &Path) -> Result<Option<Exchange>, RestoreError> {
    let failed = |error| io_error(format!("cannot look into {}", data_dir.display()))(error);
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let aside = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUCCESSOR))
            .filter(|aside| aside.starts_with(STORE));
        if let Some(aside) = aside {
            return Ok(Some(Exchange::with(data_dir, aside)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that says whose it is.
    fn place(path: &Path, whose: &str) {
        fs::create_dir(path).expect("made");
        fs::write(path.join("whose"), whose).expect("written");
    }

    fn whose(path: &Path) -> Option<String> {
        fs::read_to_string(path.join("whose")).ok()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("readable");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.into_string().expect("a text"))
            .collect();
        names.sort();
        names
    }

    /// An exchange that is cut off after so many steps.
    fn cut_off(dir: &Path, after: u32) {
        place(&dir.join(STORE), "former");
        let making = dir.join("store.taking-over");
        place(&making, "new");
        let exchange = Exchange::of(dir, "h1");
        exchange.begin(&making).expect("begun");
        for _ in 0..after {
            assert!(exchange.step().expect("a step"));
        }
    }

    #[test]
    fn an_exchange_that_is_cut_off_before_it_takes_effect_has_not_happened() {
        let dir = tempfile::tempdir().expect("a directory");
        cut_off(dir.path(), 0);
        assert_eq!(settle(dir.path()).expect("settled"), Settled::Dropped);
        assert_eq!(whose(&dir.path().join(STORE)).as_deref(), Some("former"));
        assert_eq!(names(dir.path()), [STORE]);
        assert_eq!(settle(dir.path()).expect("settled"), Settled::Nothing);
    }

    #[test]
    fn an_exchange_that_is_cut_off_between_its_renames_is_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        cut_off(dir.path(), 1);
        assert_eq!(whose(&dir.path().join(STORE)), None, "there is none");
        let aside = dir.path().join("store.of-history-h1");
        let settled = settle(dir.path()).expect("settled");
        assert_eq!(settled, Settled::Ended(aside.clone()));
        assert_eq!(whose(&dir.path().join(STORE)).as_deref(), Some("new"));
        assert_eq!(whose(&aside).as_deref(), Some("former"));
        assert_eq!(names(dir.path()), [STORE, "store.of-history-h1"]);
    }

    #[test]
    fn an_exchange_that_was_whole_is_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        cut_off(dir.path(), 2);
        assert_eq!(settle(dir.path()).expect("settled"), Settled::Nothing);
        assert_eq!(whose(&dir.path().join(STORE)).as_deref(), Some("new"));
    }

    #[test]
    fn nothing_takes_the_place_of_a_store_that_somebody_has_moved_away() {
        let dir = tempfile::tempdir().expect("a directory");
        cut_off(dir.path(), 0);
        fs::rename(dir.path().join(STORE), dir.path().join("elsewhere")).expect("moved");
        assert_eq!(settle(dir.path()).expect("settled"), Settled::Nothing);
        assert!(!dir.path().join(STORE).exists());
    }

    #[test]
    fn nobody_interferes_with_a_takeover_that_is_under_way() {
        for after in [0, 1] {
            let dir = tempfile::tempdir().expect("a directory");
            cut_off(dir.path(), after);
            let former = ["store", "store.of-history-h1"][after as usize];
            let held = RealDisk::open(dir.path().join(former)).expect("it can be locked");
            let before = names(dir.path());
            settle(dir.path()).expect_err("somebody is at work on it");
            assert_eq!(names(dir.path()), before);
            drop(held);
            settle(dir.path()).expect("it can be settled now");
        }
    }

    #[test]
    fn a_directory_that_was_set_aside_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        for expected in [
            "store.of-history-h1",
            "store.of-history-h1.2",
            "store.of-history-h1.3",
        ] {
            let exchange = Exchange::of(dir.path(), "h1");
            assert_eq!(exchange.aside, dir.path().join(expected));
            fs::create_dir(&exchange.aside).expect("made");
        }
    }

    #[test]
    fn a_data_directory_that_is_not_there_has_nothing_to_settle() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("missing");
        assert_eq!(settle(&missing).expect("settled"), Settled::Nothing);
    }
}
