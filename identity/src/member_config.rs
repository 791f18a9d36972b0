//! How a member is set up: its configuration file and the one-time note that founds or joins a cluster.
//!
//! These types live beside the certificates because two programs share them: `quorate init` and
//! `quorate join` write them, `quorated` reads them.
//!
//! A member never founds a cluster by accident. An empty data directory alone is refused at start; the
//! directory must hold a [`Bootstrap`] note, which only `quorate init` and `quorate join` write and
//! which is consumed by the first start. A member whose disk was lost therefore stops and says so
//! instead of coming up as an empty cluster that forgot everything.

use std::{
    fs, io,
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of the note in the data directory.
pub const BOOTSTRAP_FILE: &str = "bootstrap.json";

/// What `quorated.yaml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberConfig {
    /// The member's name: a host name or whatever people call the machine.
    pub name: String,
    /// Where the store lives. Never on storage that Quorate manages.
    pub data_dir: PathBuf,
    /// Certificates, keys and the keyring for secrets.
    pub pki_dir: PathBuf,
    /// Where the API listens; one entry per ring, or one wildcard.
    #[serde(default = "default_listen")]
    pub listen: Vec<SocketAddr>,
    /// How others reach this member: `host:port`, one per ring, the best first.
    pub addresses: Vec<String>,
    /// Where the audit log is written.
    #[serde(default = "default_audit_dir")]
    pub audit_dir: PathBuf,
    /// Where fence agents are found; the first directory that has one of a name wins.
    #[serde(default = "default_agent_dirs")]
    pub agent_dirs: Vec<PathBuf>,
    /// For how many milliseconds a leader may be silent before this member asks for an election. Left out, it is what suits a cluster
    /// on one site; where ways are long or machines slow it is more, and the same on all members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election_timeout_ms: Option<u32>,
}

fn default_listen() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], 7443))]
}

/// Where the fence-agents package puts its programs.
#[must_use]
pub fn default_agent_dirs() -> Vec<PathBuf> {
    vec![PathBuf::from("/usr/sbin")]
}

fn default_audit_dir() -> PathBuf {
    PathBuf::from("/var/log/quorate")
}

/// What the first start of a member has to do. Written once, consumed once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Bootstrap {
    /// Become the first member of a new cluster.
    Found {
        /// What people call the cluster.
        cluster_name: String,
        /// A random UUID, made by `quorate init`.
        cluster_id: String,
        /// A random UUID: the first history of this cluster.
        history_id: String,
        /// A voter that runs no workload.
        witness: bool,
    },
    /// Become a further member of a cluster that has granted it.
    Join {
        /// The id granted by the cluster; never used before.
        member_id: u64,
        /// The cluster that granted it.
        cluster_id: String,
        /// The history it was granted in.
        history_id: String,
        /// A voter that runs no workload.
        witness: bool,
    },
}

/// Why a note could not be read or written.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// The file system refused. May succeed once its reason is gone.
    #[error("cannot access {path}")]
    Io {
        /// The note.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The note is not one. Trying again does not help: run `quorate init` or `quorate join` again.
    #[error(
        "{path} is not a bootstrap note; remove it and run `quorate init` or `quorate join` again"
    )]
    Malformed {
        /// The note.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: serde_json::Error,
    },
}

impl Bootstrap {
    /// The note in `data_dir`, if there is one.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, BootstrapError> {
        let path = data_dir.join(BOOTSTRAP_FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| BootstrapError::Malformed { path, source }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BootstrapError::Io { path, source }),
        }
    }

    /// Leaves the note in `data_dir`. Fails when there is one already.
    pub fn write(&self, data_dir: &Path) -> Result<(), BootstrapError> {
        let path = data_dir.join(BOOTSTRAP_FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|source| BootstrapError::Malformed {
            path: path.clone(),
            source,
        })?;
        let io = |source| BootstrapError::Io {
            path: path.clone(),
            source,
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        file.write_all(&text).map_err(io)?;
        file.sync_all().map_err(io)
    }

    /// Removes the note once the store it asked for is on disk.
    pub fn consume(data_dir: &Path) -> Result<(), BootstrapError> {
        let path = data_dir.join(BOOTSTRAP_FILE);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(BootstrapError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Bootstrap {
        Bootstrap::Found {
            cluster_name: "anvil".into(),
            cluster_id: "c".into(),
            history_id: "h".into(),
            witness: false,
        }
    }

    #[test]
    fn a_note_is_read_once_and_then_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Bootstrap::read(dir.path()).expect("readable"), None);

        note().write(dir.path()).expect("written");
        assert_eq!(Bootstrap::read(dir.path()).expect("readable"), Some(note()));

        Bootstrap::consume(dir.path()).expect("removed");
        Bootstrap::consume(dir.path()).expect("removing twice is no error");
        assert_eq!(Bootstrap::read(dir.path()).expect("readable"), None);
    }

    #[test]
    fn a_second_note_never_replaces_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        note().write(dir.path()).expect("written");
        note()
            .write(dir.path())
            .expect_err("the first note is still there");
    }

    #[test]
    fn a_damaged_note_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(BOOTSTRAP_FILE), "{").expect("written");
        let error = Bootstrap::read(dir.path()).expect_err("not a note");
        assert!(error.to_string().contains("quorate join"), "{error}");
    }
}
