//! What the kernel does not keep about lockspaces, and a daemon that starts must know: whose they are, under which
//! generation they were stopped or started, and with which boots of their members. It lies in /run, and counts for one boot.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use quorate_crds::Name;
use serde::{Deserialize, Serialize};

use crate::drivers::draft;

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The boot that it is about.
    pub(super) boot: String,
    /// Hosts that the kernel was told of, by their numbers.
    #[serde(default)]
    pub(super) hosts: BTreeMap<u32, Host>,
    /// Lockspaces of ours, by the names that the kernel has for them.
    #[serde(default)]
    pub(super) spaces: BTreeMap<String, Space>,
}

/// A host that the kernel was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) node: Name,
    pub(super) incarnation: Option<u64>,
    pub(super) address: String,
}

/// A lockspace of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Space {
    /// The object that it is for.
    pub(super) filesystem: Name,
    /// The lock table of the filesystem.
    pub(super) table: String,
    /// The number by which the kernel names it when programs ask for locks.
    #[serde(default)]
    pub(super) id: Option<u32>,
    /// The number of this host.
    #[serde(default)]
    pub(super) own: Option<u32>,
    /// The generation in which it was last stopped or started.
    pub(super) generation: Option<u64>,
    pub(super) running: bool,
    /// The form in which this generation settles locks of programs. None: they are refused.
    #[serde(default)]
    pub(super) program_locks: Option<u32>,
    /// The mount was let in.
    pub(super) joined: bool,
    /// The kernel has said that an unmount waits.
    pub(super) leaving: bool,
    /// The members that the kernel has, by their numbers.
    pub(super) members: BTreeMap<u32, Member>,
}

/// A member that the kernel has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) node: Name,
    pub(super) incarnation: Option<u64>,
}

/// Reads them. What another boot has left says nothing, and neither does what cannot be read: then every lockspace is
/// somebody else's, and is left alone.
pub(super) fn read(path: &Path, boot: &str) -> Notes {
    let found = fs::read_to_string(path).ok();
    let found = found.and_then(|text| match serde_json::from_str::<Notes>(&text) {
        Ok(notes) => Some(notes),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what was noted of lockspaces cannot be read");
            None
        }
    });
    found
        .filter(|notes| notes.boot == boot)
        .unwrap_or_else(|| Notes {
            boot: boot.to_owned(),
            ..Notes::default()
        })
}

/// Writes them, whole or not at all.
pub(super) fn write(path: &Path, notes: &Notes) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    draft::replace(path, &serde_json::to_vec_pretty(notes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_count_for_one_boot() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kept/dlm.json");
        let mut notes = read(&path, "one");
        assert_eq!(notes.spaces.len(), 0);
        notes.spaces.insert(
            "images".into(),
            Space {
                filesystem: "images".into(),
                table: "anvil:images".into(),
                id: Some(77),
                own: Some(1),
                program_locks: Some(1),
                generation: Some(4),
                running: true,
                joined: true,
                leaving: false,
                members: BTreeMap::new(),
            },
        );
        write(&path, &notes).expect("written");
        assert_eq!(read(&path, "one"), notes, "a daemon that starts knows it");
        assert_eq!(
            read(&path, "two").spaces.len(),
            0,
            "after a boot it is void"
        );
        fs::write(&path, "{").expect("written");
        assert_eq!(read(&path, "one").spaces.len(), 0);
    }
}
