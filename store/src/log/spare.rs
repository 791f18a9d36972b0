use std::{io, sync::Arc, thread};

use super::segment::{self, Scratch};
use crate::disk::Disk;

/// The next segment, made while the one in use still has room, so that no commit waits for it and a
/// full disk is noticed before it hurts.
pub(super) struct Spare {
    disk: Arc<dyn Disk>,
    /// Whether it is made on a thread of its own.
    threaded: bool,
    stage: Stage,
}

enum Stage {
    Absent,
    Making(thread::JoinHandle<io::Result<Scratch>>),
    Ready(Scratch),
}

impl Spare {
    pub(super) fn new(disk: Arc<dyn Disk>, threaded: bool) -> Self {
        Self {
            disk,
            threaded,
            stage: Stage::Absent,
        }
    }

    /// Sees to it that there is one, or will be soon.
    pub(super) fn prepare(&mut self, size: u64) -> io::Result<()> {
        match std::mem::replace(&mut self.stage, Stage::Absent) {
            Stage::Absent if self.threaded => {
                let disk = self.disk.clone();
                let maker = thread::Builder::new()
                    .name("log-spare".to_owned())
                    .spawn(move || segment::allocate(&*disk, size))?;
                self.stage = Stage::Making(maker);
            }
            Stage::Absent => self.stage = Stage::Ready(segment::allocate(&*self.disk, size)?),
            Stage::Making(maker) if maker.is_finished() => {
                self.stage = Stage::Ready(finish(maker)?);
            }
            stage => self.stage = stage,
        }
        Ok(())
    }

    /// The spare, made now when there is none of this size.
    pub(super) fn take(&mut self, size: u64) -> io::Result<Scratch> {
        let ready = match std::mem::replace(&mut self.stage, Stage::Absent) {
            Stage::Ready(scratch) => Some(scratch),
            Stage::Making(maker) => Some(finish(maker)?),
            Stage::Absent => None,
        };
        match ready {
            Some(scratch) if scratch.size >= size => Ok(scratch),
            _ => segment::allocate(&*self.disk, size),
        }
    }

    pub(super) fn is_making(&self) -> bool {
        matches!(self.stage, Stage::Making(_))
    }

    /// Waits for the thread, so that nothing touches the disk once the log is closed.
    pub(super) fn discard(&mut self) {
        if let Stage::Making(maker) = std::mem::replace(&mut self.stage, Stage::Absent) {
            // What it made, or why not, is of no use any more; the next start removes it.
            let _ = finish(maker);
        }
    }
}

fn finish(maker: thread::JoinHandle<io::Result<Scratch>>) -> io::Result<Scratch> {
    match maker.join() {
        Ok(result) => result,
        Err(_) => Err(io::Error::other("making the next segment panicked")),
    }
}
