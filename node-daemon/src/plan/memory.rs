use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What the daemon knows of this boot when it is started again. It lies in /run: another boot begins with nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Remembered {
    /// The boot that all this is about.
    pub boot_id: String,
    /// What was granted to it.
    pub incarnation: u64,
    /// The newest generation of the plan that was seen.
    pub generation: u64,
    /// The newest term of a leader that planned.
    pub term: u64,
    /// Per guest, the epoch under which it was last started or received here. Written before it is, so that a guest is
    /// never started twice under one epoch.
    pub begun: BTreeMap<String, u64>,
}

/// Why nothing could be remembered.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// The file system refused. It is tried again; until then nothing is acknowledged and nothing started.
    #[error("cannot access {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is damaged. Only a reboot of the host makes sure that nothing is started twice.
    #[error("{path} is damaged; drain this host and boot it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: serde_json::Error,
    },
}

/// Where [`Remembered`] is kept.
pub trait Memory: Send + Sync {
    /// What was last written, if anything was in this boot.
    fn load(&self) -> BoxFuture<'_, Result<Option<Remembered>, MemoryError>>;

    /// Replaces it. When this returns, a daemon that is killed and started again will find it.
    fn save<'a>(&'a self, remembered: &'a Remembered) -> BoxFuture<'a, Result<(), MemoryError>>;
}

/// A file in /run, replaced as a whole.
#[derive(Clone, Debug)]
pub struct FileMemory {
    path: PathBuf,
}

impl FileMemory {
    /// At that path.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn io(path: &Path, source: io::Error) -> MemoryError {
        MemoryError::Io {
            path: path.to_owned(),
            source,
        }
    }
}

impl Memory for FileMemory {
    fn load(&self) -> BoxFuture<'_, Result<Option<Remembered>, MemoryError>> {
        Box::pin(async move {
            match tokio::fs::read(&self.path).await {
                Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| {
                    MemoryError::Damaged {
                        path: self.path.clone(),
                        source,
                    }
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Self::io(&self.path, error)),
            }
        })
    }

    fn save<'a>(&'a self, remembered: &'a Remembered) -> BoxFuture<'a, Result<(), MemoryError>> {
        Box::pin(async move {
            let text = serde_json::to_vec(remembered).map_err(|source| MemoryError::Damaged {
                path: self.path.clone(),
                source,
            })?;
            let fresh = self.path.with_extension("new");
            tokio::fs::write(&fresh, text)
                .await
                .map_err(|error| Self::io(&fresh, error))?;
            // /run does not outlive the kernel, so the rename alone is enough.
            tokio::fs::rename(&fresh, &self.path)
                .await
                .map_err(|error| Self::io(&self.path, error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_daemon_finds_what_its_predecessor_wrote_and_says_when_it_is_damaged() {
        let dir = tempfile::tempdir().expect("a directory");
        let memory = FileMemory::new(dir.path().join("node.json"));
        assert_eq!(memory.load().await.expect("readable"), None);

        let remembered = Remembered {
            boot_id: "b".into(),
            incarnation: 3,
            generation: 7,
            term: 2,
            begun: BTreeMap::from([("web".to_owned(), 5)]),
        };
        memory.save(&remembered).await.expect("written");
        assert_eq!(memory.load().await.expect("readable"), Some(remembered));

        std::fs::write(dir.path().join("node.json"), "{").expect("written");
        let error = memory.load().await.expect_err("not readable");
        assert!(error.to_string().contains("boot it again"), "{error}");
    }
}
