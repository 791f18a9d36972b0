//! What can go wrong in the machine room.

use std::path::PathBuf;
use std::time::Duration;

/// Why the room did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// This machine lacks something; no retry helps before it is there.
    #[error("missing here: {what}; {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// The description of the room, or a request to it, makes no sense.
    #[error("{0}")]
    Refused(String),
    /// A program did not do its work.
    #[error("`{command}` ended with {status}{}", output_of(.output))]
    Program {
        /// The command as typed.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// A file, directory or socket.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A condition did not come about; the room may still get there.
    #[error("waited {}.{:03} s for {condition}: {last_seen}", after.as_secs(), after.subsec_millis())]
    TimedOut {
        /// What was waited for.
        condition: String,
        /// For how long.
        after: Duration,
        /// What was seen instead.
        last_seen: String,
    },
    /// A host has no power, or its machine has ended.
    #[error("{host} does not run: {reason}; `quorate-lab power {host} on` starts it")]
    NotRunning {
        /// Which host.
        host: String,
        /// What is known about it.
        reason: String,
    },
    /// A host is on its way up; it will answer soon.
    #[error("{host} is still starting; `quorate-lab status` shows when it is up")]
    StillStarting {
        /// Which host.
        host: String,
    },
    /// QEMU answered a command with an error.
    #[error("QEMU refused {command}: {reason}")]
    Qemu {
        /// The command of its control protocol.
        command: String,
        /// Its words.
        reason: String,
    },
    /// The room has ended, or never began.
    #[error("the room {room:?} does not answer; `quorate-lab status` lists the rooms that run")]
    RoomGone {
        /// Its name.
        room: String,
        /// What the socket said.
        #[source]
        source: std::io::Error,
    },
    /// The supervisor's words, carried over its socket.
    #[error("{0}")]
    Room(String),
}

fn output_of(output: &str) -> String {
    if output.trim().is_empty() {
        String::new()
    } else {
        format!("; it printed:\n{}", output.trim_end())
    }
}

/// Adds to an I/O error what was being done with which file.
pub(crate) trait OnFile<T> {
    fn on(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T, LabError>;
}

impl<T> OnFile<T> for std::io::Result<T> {
    fn on(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T, LabError> {
        self.map_err(|source| LabError::File {
            doing,
            path: path.into(),
            source,
        })
    }
}

/// An error with all its causes, on one line.
#[must_use]
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
