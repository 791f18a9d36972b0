use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

/// Where a member keeps its keys: what `quorate init` and `quorate join` write and `quorated` reads.
///
/// ```text
/// ca.crt        the cluster's authority, for everybody
/// ca.key        its key: every member has it
/// member.crt    this member's certificate and the authority's
/// member.key    its key
/// secrets.json  the keyring that encrypts Secrets at rest
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkiDir(PathBuf);

impl PkiDir {
    /// The directory at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Creates it, closed to others, unless it is there.
    pub fn create(&self) -> Result<(), FileError> {
        files::create_dir(&self.0)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The authority's certificate.
    pub fn ca_certificate(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    /// The authority's key.
    pub fn ca_key(&self) -> PathBuf {
        self.0.join("ca.key")
    }

    /// The member's own chain.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("member.crt")
    }

    /// The member's own key.
    pub fn key(&self) -> PathBuf {
        self.0.join("member.key")
    }

    /// The keyring for Secrets.
    pub fn keyring(&self) -> PathBuf {
        self.0.join("secrets.json")
    }
}
