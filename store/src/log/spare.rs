use std::{io, sync::Arc, thread};

use super::segment::{self, Scratch};
use crate::disk::{self, Disk};

/// The next segment, made while the one in use still has room, so that no commit waits for it and a
/// full disk is noticed before it hurts.
pub(super) struct Spare {
    disk: Arc<dyn Disk>,
    /// Whether it is made on a thread of its own.
    threaded: bool,
    stage: Stage,
    /// Why it could not be made the last time; said again until it can.
    full: Option<String>,
}

enum Stage {
    Absent,
    Making(thread::JoinHandle<io::Result<Scratch>>),
    Ready(Scratch),
    /// It cannot be made, for another reason than room. Whoever needs it will find out.
    GivenUp,
}

impl Spare {
    pub(super) fn new(disk: Arc<dyn Disk>, threaded: bool) -> Self {
        Self {
            disk,
            threaded,
            stage: Stage::Absent,
            full: None,
        }
    }

    /// Sees to it that there is one, or will be soon. The only error is that of a full disk.
    pub(super) fn prepare(&mut self, size: u64) -> io::Result<()> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Absent) {
            Stage::Absent if self.threaded => {
                let disk = self.disk.clone();
                let maker = thread::Builder::new()
                    .name("log-spare".to_owned())
                    .spawn(move || segment::allocate(&*disk, size));
                maker.map_or_else(|error| self.missed(&error), Stage::Making)
            }
            Stage::Absent => self.made(segment::allocate(&*self.disk, size)),
            Stage::Making(maker) if maker.is_finished() => self.made(join(maker)),
            stage => stage,
        };
        match &self.full {
            Some(reason) => Err(io::Error::new(io::ErrorKind::StorageFull, reason.clone())),
            None => Ok(()),
        }
    }

    /// The spare, made now when there is none of this size.
    pub(super) fn take(&mut self, size: u64) -> io::Result<Scratch> {
        let ready = match std::mem::replace(&mut self.stage, Stage::Absent) {
            Stage::Ready(scratch) => Some(scratch),
            Stage::Making(maker) => join(maker).ok(),
            Stage::Absent | Stage::GivenUp => None,
        };
        let scratch = match ready {
            Some(scratch) if scratch.size >= size => scratch,
            _ => segment::allocate(&*self.disk, size)?,
        };
        self.full = None;
        Ok(scratch)
    }

    pub(super) fn is_making(&self) -> bool {
        matches!(self.stage, Stage::Making(_))
    }

    /// Waits for the thread, so that nothing touches the disk once the log is closed.
    pub(super) fn discard(&mut self) {
        if let Stage::Making(maker) = std::mem::replace(&mut self.stage, Stage::Absent) {
            // What it made, or why not, is of no use any more; the next start removes it.
            let _ = join(maker);
        }
    }

    fn made(&mut self, result: io::Result<Scratch>) -> Stage {
        match result {
            Ok(scratch) => {
                self.full = None;
                Stage::Ready(scratch)
            }
            Err(error) => self.missed(&error),
        }
    }

    fn missed(&mut self, error: &io::Error) -> Stage {
        if disk::is_full(error) {
            self.full = Some(error.to_string());
            Stage::Absent
        } else {
            tracing::warn!(%error, "cannot make the log's next segment ahead of time");
            Stage::GivenUp
        }
    }
}

fn join(maker: thread::JoinHandle<io::Result<Scratch>>) -> io::Result<Scratch> {
    match maker.join() {
        Ok(result) => result,
        Err(_) => Err(io::Error::other("making the next segment panicked")),
    }
}
