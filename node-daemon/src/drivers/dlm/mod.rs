//! Lockspaces of the kernel's lock manager (DLM), driven by the plan in the place of `dlm_controld`.
//!
//! The kernel goes on without us: a daemon that ends stops nothing, and nothing must be held open for it. In particular
//! `/dev/dlm-monitor` is never opened, for the kernel stops every lockspace when the last one closes it
//! (docs/adr/0013-lock-manager.md). What the kernel does not keep is noted in /run.
//!
//! A lockspace that is not in the notes is somebody else's: it is reported, and left alone.

mod acts;
mod address;
mod kernel;
mod locks;
#[cfg(test)]
mod locks_tests;
mod notes;
#[cfg(test)]
mod tests;
mod tree;
mod uevents;

pub(crate) use uevents::{Uevent, Uevents};

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream;
use quorate_crds::{LockspaceAssignment, Name};

use super::command::Run;
use super::{Doing, DriverError, Hint, Hints, LockTalk, LockspaceSeen, Lockspaces, Trouble};
use kernel::Kernel;
use locks::ProgramLocks;
use notes::Notes;
use tokio::task::JoinSet;

/// The lock manager of this host.
#[derive(Clone)]
pub(crate) struct Dlm {
    run: Arc<dyn Run>,
    shared: Arc<Shared>,
}

struct Shared {
    kernel: Kernel,
    /// Where the notes are.
    kept: PathBuf,
    notes: Mutex<Option<Notes>>,
    /// Members of several lockspaces are not changed at once: they share what the kernel knows of hosts.
    changing: tokio::sync::Mutex<()>,
    locks: ProgramLocks,
    /// Who answers programs that ask for locks, once somebody does.
    answering: Mutex<JoinSet<()>>,
}

impl Dlm {
    pub(crate) fn of_this_machine(run: Arc<dyn Run>, kept: PathBuf) -> Self {
        let kernel = Kernel(Arc::new(tree::OfThisMachine));
        Self::at(run, kernel, kept, Box::new(locks::of_this_machine))
    }

    fn at(run: Arc<dyn Run>, kernel: Kernel, kept: PathBuf, device: Box<locks::Open>) -> Self {
        let directory = kept.with_file_name("locks");
        Self {
            run,
            shared: Arc::new(Shared {
                locks: ProgramLocks::new(kernel.clone(), directory, device),
                kernel,
                kept,
                notes: Mutex::default(),
                changing: tokio::sync::Mutex::default(),
                answering: Mutex::default(),
            }),
        }
    }

    /// Begins to answer programs that ask for locks; whoever begins again changes nothing.
    fn answer(&self) {
        let answering = &self.shared.answering;
        let mut answering = answering.lock().unwrap_or_else(PoisonError::into_inner);
        if answering.is_empty() {
            answering.spawn(locks::answer(Arc::downgrade(&self.shared)));
        }
    }

    /// Does something that may wait in the kernel, where it holds nobody up.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, DriverError> + Send + 'static,
    ) -> Result<T, DriverError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(done) => done,
            Err(error) => Err(failed("the lock manager", io::Error::other(error))),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Notes>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self) -> Result<Notes, DriverError> {
        self.change(|_| ())
    }

    /// Changes the notes, and returns them as they are then. What cannot be written down is not done either.
    fn change<T>(&self, how: impl FnOnce(&mut Notes) -> T) -> Result<Notes, DriverError> {
        let mut guard = self.lock();
        let before = match guard.take() {
            Some(notes) => notes,
            None => {
                let boot = self.kernel.0.read("/proc/sys/kernel/random/boot_id");
                let boot = boot.map_err(|error| failed("the boot id", error))?;
                notes::read(&self.kept, boot.trim())
            }
        };
        let mut after = before.clone();
        how(&mut after);
        if after != before
            && let Err(error) = notes::write(&self.kept, &after)
        {
            *guard = Some(before);
            return Err(failed("what is noted of lockspaces", error));
        }
        *guard = Some(after.clone());
        Ok(after)
    }
}

fn failed(what: &str, error: io::Error) -> DriverError {
    DriverError::passing(
        Trouble::Refused,
        format!("{what} cannot be read or changed: {error}"),
    )
}

impl Lockspaces for Dlm {
    fn observe(&self) -> Doing<'_, Vec<LockspaceSeen>> {
        Box::pin(self.aside(Shared::seen))
    }

    fn talk(&self) -> Option<LockTalk> {
        self.shared.locks.talk()
    }

    fn watch(&self) -> Hints {
        self.answer();
        let listening = match Uevents::listen() {
            Ok(listening) => listening,
            Err(error) => {
                tracing::warn!(%error, "the kernel cannot be listened to: lockspaces are only looked at");
                return stream::empty().boxed();
            }
        };
        stream::unfold((listening, self.clone()), |(mut listening, dlm)| async move {
            let event = match listening.next(&["dlm", "gfs2"]).await {
                Ok(event) => event,
                Err(error) => {
                    tracing::warn!(%error, "events of the kernel were lost");
                    return None;
                }
            };
            if event.subsystem == "dlm"
                && event.action == "offline"
                && let Err(error) = dlm.leaves(event.name().to_owned()).await
            {
                tracing::warn!(%error, space = event.name(), "an unmount that waits is not noted");
            }
            Some((Hint::Anything, (listening, dlm)))
        })
        .boxed()
    }

    fn prepare<'a>(&'a self, name: &'a Name, target: &'a LockspaceAssignment) -> Doing<'a, ()> {
        Box::pin(self.prepare(name, target))
    }

    fn stop<'a>(&'a self, name: &'a Name, generation: u64) -> Doing<'a, ()> {
        Box::pin(self.stop(name, generation))
    }

    fn start<'a>(&'a self, name: &'a Name, target: &'a LockspaceAssignment) -> Doing<'a, ()> {
        Box::pin(self.start(name, target))
    }

    fn leave<'a>(&'a self, name: &'a Name, _generation: u64) -> Doing<'a, ()> {
        Box::pin(self.leave(name))
    }
}
