//! The audit log: who tried to change what, from where, and what came of it.
//!
//! One JSON object per line, in files that only the daemon's user can read and that are rotated by size. Every write
//! leaves a line, whether it was done, refused or failed; what the objects contain, and with it every secret,
//! never gets here.
//!
//! A write that leaves no trace is worse than one that is refused. So a write first reserves its line, and while the
//! log's disk fails no line can be reserved: writes are refused, reads go on, and both resume by themselves. A queue
//! that is full makes writes wait, which bounds it; nothing is ever dropped.

mod entry;
mod file;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use crate::{error::ApiError, tls::ConnectionInfo};

pub use entry::{Entry, What};
pub use file::{AuditError, Rotation};

use file::LogFile;
use writer::{Health, Writer};

/// How many lines may wait for the disk.
const QUEUE: usize = 4096;
/// How long a write waits for a place in the queue.
const PATIENCE: Duration = Duration::from_secs(5);

/// The log of this member. Cheap to clone; the file is closed when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Audit {
    lines: mpsc::Sender<String>,
    health: Arc<Health>,
}

impl Audit {
    /// Opens `audit.log` in `dir`, which is created, closed to others, when it is missing.
    pub fn open(dir: &Path, rotation: Rotation) -> Result<Self, AuditError> {
        let (lines, queue) = mpsc::channel(QUEUE);
        let health = Arc::new(Health::default());
        Writer::start(dir, rotation, queue, health.clone())?;
        Ok(Self { lines, health })
    }

    /// Reserves the line of a write that is about to be tried.
    pub async fn begin(
        &self,
        who: &ConnectionInfo,
        what: What,
        dry_run: bool,
    ) -> Result<Entry, ApiError> {
        if let Some(problem) = self.health.problem() {
            return Err(refusal(&problem));
        }
        match timeout(PATIENCE, self.lines.clone().reserve_owned()).await {
            Ok(Ok(place)) => Ok(Entry::new(place, who, what, dry_run)),
            Ok(Err(_)) => Err(refusal("it is closed")),
            Err(_) => Err(refusal(
                &self
                    .health
                    .problem()
                    .unwrap_or_else(|| "its disk is too slow".to_owned()),
            )),
        }
    }
}

/// Writes the line of a command that a person runs on a machine whose member is stopped. It is on the disk afterwards.
///
/// # Errors
/// When the log cannot be written. What is to leave a trace is not done then.
pub(crate) fn note(
    dir: &Path,
    who: &str,
    what: What,
    result: &'static str,
    message: &str,
) -> Result<(), AuditError> {
    let line = entry::line_on_the_machine(who, what, result, message)
        .map_err(|error| failed(dir)(error.into()))?;
    let mut file = LogFile::open(dir, Rotation::default()).map_err(failed(dir))?;
    file.write(line.as_bytes()).map_err(failed(dir))?;
    file.sync().map_err(failed(dir))
}

fn failed(dir: &Path) -> impl Fn(std::io::Error) -> AuditError {
    move |source| AuditError {
        dir: dir.to_owned(),
        source,
    }
}

fn refusal(problem: &str) -> ApiError {
    ApiError::InsufficientStorage(format!(
        "nothing was changed, because this member's audit log cannot be written: {problem}; writes resume by themselves when it can, other members take them meanwhile"
    ))
}

#[cfg(test)]
mod tests;
