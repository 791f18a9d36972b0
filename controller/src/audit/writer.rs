use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout};

use super::file::{AuditError, LogFile, Rotation};

/// Lines are in the file at once and on the disk within this time.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How many lines go into one write.
const BATCH: usize = 1024;

/// What is wrong with the log's disk, if anything.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<String>>);

impl Health {
    pub(super) fn problem(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, problem: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Takes lines from the queue to the file, on a thread of its own because disks block.
pub(super) struct Writer {
    file: LogFile,
    queue: mpsc::Receiver<String>,
    health: Arc<Health>,
    synced: Instant,
    dirty: bool,
}

impl Writer {
    pub(super) fn start(
        dir: &Path,
        rotation: Rotation,
        queue: mpsc::Receiver<String>,
        health: Arc<Health>,
    ) -> Result<(), AuditError> {
        let failed = |source| AuditError {
            dir: dir.to_owned(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let writer = Self {
            file: LogFile::open(dir, rotation).map_err(failed)?,
            queue,
            health,
            synced: Instant::now(),
            dirty: false,
        };
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || runtime.block_on(writer.run()))
            .map_err(failed)?;
        Ok(())
    }

    /// Ends when nobody can send lines any more and all are written.
    async fn run(mut self) {
        let mut lines = Vec::new();
        loop {
            let received = timeout(SYNC_EVERY, self.queue.recv_many(&mut lines, BATCH)).await;
            let text = lines.concat();
            lines.clear();
            self.persist(text.as_bytes());
            if received == Ok(0) {
                return;
            }
        }
    }

    /// Does not return before the disk has taken it, except at the end of the process.
    fn persist(&mut self, text: &[u8]) {
        let mut rest = text;
        loop {
            match self.attempt(&mut rest) {
                Ok(()) => {
                    if self.health.problem().is_some() {
                        tracing::info!("the audit log is writable again");
                        self.health.set(None);
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot write the audit log; writes are refused meanwhile");
                    self.health.set(Some(error.to_string()));
                    if self.queue.is_closed() {
                        return;
                    }
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn attempt(&mut self, rest: &mut &[u8]) -> std::io::Result<()> {
        if !rest.is_empty() {
            self.file.write(rest)?;
            *rest = &[];
            self.dirty = true;
        }
        if self.dirty && (self.synced.elapsed() >= SYNC_EVERY || self.queue.is_closed()) {
            self.file.sync()?;
            self.synced = Instant::now();
            self.dirty = false;
        }
        Ok(())
    }
}
