//! The lease process: what beats on while the daemon is restarted, upgraded, or waits for a disk.
//!
//! One thread beats, and does nothing else; its memory is locked and its loop neither allocates nor opens anything. The
//! daemon's connection, the file that a later lease process begins with, and the resolving of names are on threads of
//! their own, which may wait as long as they must.

mod front;
mod kept;
mod memory;
mod resolver;
mod wire;

use super::{BootClock, LeaseView, SystemBootClock, beat};
use crate::drivers::Watchdog;
use kept::Kept;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use wire::UdpWire;

/// How many commands of the daemon may wait for the thread that beats.
const WAITING: usize = 64;
/// The socket's name in the runtime directory.
pub const SOCKET: &str = "lease.sock";

/// How a lease process runs.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Where its socket lies, and what a later lease process begins with.
    pub run_dir: PathBuf,
    /// The host's present boot: what was kept in another one is forgotten.
    pub boot_id: String,
    /// Whether its memory is locked, so that it beats while the host swaps.
    pub lock_memory: bool,
}

/// Why a lease process cannot run.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Another one runs on this host already.
    #[error("another lease process runs on {run_dir} already")]
    Running {
        /// Its directory.
        run_dir: PathBuf,
    },
    /// The system refused.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

pub(super) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> LeaseError {
    let what = what.into();
    move |source| LeaseError::System { what, source }
}

/// Beats until `stop` ends. It is given a current-thread runtime for itself: whatever else runs there is in its way.
///
/// # Errors
/// When it cannot begin. Once it beats, it goes on.
pub async fn run(
    options: &LeaseOptions,
    watchdog: &mut dyn Watchdog,
    stop: impl Future<Output = ()>,
) -> Result<(), LeaseError> {
    let _only_one = only_one(options)?;
    if options.lock_memory {
        memory::lock();
    }
    let kept = Kept::new(&options.run_dir, &options.boot_id);
    let setup = kept.read();
    let (commands, mut inbox) = mpsc::channel(WAITING);
    let (view, seen) = watch::channel(LeaseView::default());
    let (end, ended) = oneshot::channel();
    let front = front::spawn(&options.run_dir, kept, commands, seen, ended)?;
    let mut wire = UdpWire::open()?;
    let clock = SystemBootClock;
    tracing::info!(
        boot_time = ?clock.now(), watchdog = watchdog.found().device,
        resumed = setup.is_some(), "the lease process runs"
    );
    {
        let beating = beat(setup, &mut wire, watchdog, &clock, &mut inbox, &view);
        tokio::pin!(beating);
        tokio::select! {
            biased;
            () = &mut beating => {}
            () = stop => {
                // The front gives up the daemon's end of the channel, which ends the beating in order.
                drop(end);
                beating.await;
            }
        }
    }
    drop(view);
    if front.join().is_err() {
        tracing::error!("the thread that talks to the daemon broke off");
    }
    Ok(())
}

/// Held for as long as the process runs.
fn only_one(options: &LeaseOptions) -> Result<File, LeaseError> {
    let run_dir = &options.run_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(run_dir)
        .map_err(system(format!("cannot make {}", run_dir.display())))?;
    let path = run_dir.join("lease.lock");
    let file = File::create(&path).map_err(system(format!("cannot make {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LeaseError::Running {
            run_dir: run_dir.clone(),
        }),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(system(format!("cannot lock {}", path.display()))(error))
        }
    }
}
