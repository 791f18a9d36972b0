//! The versions of one key, newest first in meaning, oldest first in memory.

use bytes::Bytes;

use crate::{Revision, Stored};

/// What a key held from one revision until the next version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// None: the key was deleted here.
    pub(crate) value: Option<Bytes>,
    pub(crate) created: Revision,
    pub(crate) modified: Revision,
    pub(crate) expires_at_ms: Option<u64>,
}

impl Version {
    pub(crate) fn stored(&self) -> Option<Stored> {
        self.value.as_ref().map(|value| Stored {
            value: value.clone(),
            created: self.created,
            modified: self.modified,
        })
    }
}

/// All retained versions of one key.
///
/// Almost every key has one version; the vector of older ones then owns no memory.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    newest: Version,
    older: Vec<Version>,
}

impl Chain {
    pub(crate) fn new(first: Version) -> Self {
        Self {
            newest: first,
            older: Vec::new(),
        }
    }

    pub(crate) fn newest(&self) -> &Version {
        &self.newest
    }

    /// The version that was current at `revision`; none if the key was never written until then.
    pub(crate) fn at(&self, revision: Revision) -> Option<&Version> {
        if self.newest.modified <= revision {
            return Some(&self.newest);
        }
        self.older.iter().rev().find(|v| v.modified <= revision)
    }

    pub(crate) fn push(&mut self, version: Version) {
        let previous = std::mem::replace(&mut self.newest, version);
        // Two writes under one revision: nobody can ever look between them.
        if previous.modified < self.newest.modified {
            self.older.push(previous);
        }
    }

    /// Forgets what no view at `revision` or later can see. True when the whole chain is then a
    /// deletion that nobody can see either.
    pub(crate) fn compact(&mut self, revision: Revision) -> bool {
        let keep_from = if self.newest.modified <= revision {
            self.older.len()
        } else {
            self.older
                .iter()
                .rposition(|v| v.modified <= revision)
                .unwrap_or(0)
        };
        self.older.drain(..keep_from);
        if self.older.first().is_some_and(|v| v.value.is_none())
            && self.older[0].modified <= revision
        {
            self.older.remove(0);
        }
        if self.older.is_empty() {
            self.older = Vec::new();
        }
        self.newest.value.is_none() && self.newest.modified <= revision
    }
}
