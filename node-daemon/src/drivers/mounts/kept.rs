//! Which mounts are ours: noted before each is begun, in /run, so that a daemon that starts knows them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quorate_crds::Name;
use serde::{Deserialize, Serialize};

use crate::drivers::draft;

/// One mount of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) owner: Name,
    pub(super) device: PathBuf,
}

/// By mount point.
pub(super) type Notes = BTreeMap<String, Kept>;

/// What cannot be read makes nothing ours.
pub(super) fn read(path: &Path) -> Notes {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what was noted of mounts cannot be read");
            Notes::new()
        }),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "what was noted of mounts cannot be read");
            }
            Notes::new()
        }
    }
}

/// Whole or not at all.
pub(super) fn write(path: &Path, notes: &Notes) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    draft::replace(path, &serde_json::to_vec_pretty(notes)?)
}
