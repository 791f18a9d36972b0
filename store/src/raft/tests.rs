//! The consensus library's own test suite for storage, on our log and state machine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};

use super::{LogStore, Machine, Types};
use crate::{
    HistoryLimits,
    disk::{Disk, RealDisk, sim::SimDisk},
    log::{Log, LogOptions, Mode},
    snapshot::Snapshots,
    state::Shared,
};

fn storage(disk: Arc<dyn Disk>, mode: Mode) -> (LogStore, Machine) {
    let options = LogOptions {
        segment_bytes: 64 << 10,
        mode,
        ..LogOptions::default()
    };
    let (snapshots, _) = Snapshots::recover(disk.clone()).expect("an empty directory");
    let (log, _) = Log::open(disk, options).expect("a new log");
    let shared = Shared::new(HistoryLimits::default());
    let machine = Machine::new(shared, Arc::new(snapshots), mode != Mode::Thread);
    (LogStore::new(log), machine)
}

struct OnSimDisk(AtomicU64);

impl StoreBuilder<Types, LogStore, Machine> for OnSimDisk {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError<Types>> {
        let disk = SimDisk::new(self.0.fetch_add(1, Ordering::Relaxed));
        let (log, machine) = storage(disk.mount(), Mode::Inline);
        Ok(((), log, machine))
    }
}

struct OnRealDisk;

impl StoreBuilder<Types, LogStore, Machine, tempfile::TempDir> for OnRealDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError<Types>> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = RealDisk::open(directory.path()).expect("an empty directory");
        let (log, machine) = storage(Arc::new(disk), Mode::Thread);
        Ok((directory, log, machine))
    }
}

#[tokio::test(start_paused = true)]
async fn the_librarys_suite_passes_on_a_simulated_disk() {
    Suite::test_all(OnSimDisk(AtomicU64::new(0)))
        .await
        .unwrap_or_else(|e| panic!("our storage breaks the library's contract: {e}"));
}

#[tokio::test(start_paused = true)]
async fn the_librarys_suite_passes_on_a_real_disk() {
    Suite::test_all(OnRealDisk)
        .await
        .unwrap_or_else(|e| panic!("our storage breaks the library's contract: {e}"));
}
