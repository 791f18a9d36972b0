//! Which mounts are ours: noted before each is begun, in /run, so that a daemon that starts knows them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quorate_crds::Name;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::drivers::draft;

/// One mount of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) owner: Name,
    pub(super) device: PathBuf,
    /// The options that the kernel was last told, and its words when it did not take them.
    #[serde(default)]
    pub(super) options: Option<Vec<String>>,
    #[serde(default)]
    pub(super) refused: Option<String>,
    /// How many journals it has: those on the device, and those that were added since, which may not be written there yet.
    #[serde(default)]
    pub(super) journals: Option<u32>,
}

/// By mount point.
pub(super) type Notes = BTreeMap<String, Kept>;

/// What cannot be read makes nothing ours.
pub(super) fn read<T: Default + DeserializeOwned>(path: &Path) -> T {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what was noted of mounts cannot be read");
            T::default()
        }),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "what was noted of mounts cannot be read");
            }
            T::default()
        }
    }
}

/// Whole or not at all.
pub(super) fn write<T: Serialize>(path: &Path, notes: &T) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    draft::replace(path, &serde_json::to_vec_pretty(notes)?)
}
