//! Everything that happened in a room, in order: consoles, devices and hands in one file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{LabError, OnFile};

/// One line of the timeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the room began.
    pub at_ms: u64,
    /// Who says it: `node1 console`, `node1 bmc`, `pdu1`, `hand`, …
    pub source: String,
    /// What happened.
    pub text: String,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, ms) = (self.at_ms / 1000, self.at_ms % 1000);
        write!(f, "{seconds:>5}.{ms:03} {:<14} {}", self.source, self.text)
    }
}

/// The timeline of a running room.
#[derive(Debug, Clone)]
pub(crate) struct Timeline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    entries: Vec<Entry>,
    file: File,
}

impl Timeline {
    pub(crate) fn create(path: &Path) -> Result<Timeline, LabError> {
        let file = File::create(path).on("create", path)?;
        let book = Mutex::new(Book {
            entries: Vec::new(),
            file,
        });
        Ok(Timeline(Arc::new(Inner {
            begun: Instant::now(),
            book,
        })))
    }

    pub(crate) fn add(&self, source: impl Into<String>, text: impl Into<String>) {
        let at_ms = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let entry = Entry {
            at_ms,
            source: source.into(),
            text: text.into(),
        };
        let mut book = self.0.book.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end the room; the entries are still in memory.
        let _ = writeln!(book.file, "{entry}");
        book.entries.push(entry);
    }

    pub(crate) fn after(&self, count: usize) -> Vec<Entry> {
        let book = self.0.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.entries.get(count..).unwrap_or_default().to_vec()
    }
}
