//! Where agents are found, and what they say about themselves, asked once per version.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use thiserror::Error;

use super::{
    metadata::{Metadata, MetadataError},
    process,
    request::AgentFailure,
};

/// How long an agent may take to describe itself. On a slow and busy machine its language alone takes seconds to start.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_NAME: usize = 64;

/// Why an agent cannot be used. Repeating the call helps only after somebody has changed the machine or the device.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The name is none.
    #[error(
        "{0:?} is no agent's name, allowed: fence_ and then a-z, 0-9 and _, at most 64 letters"
    )]
    Name(String),
    /// It is not installed.
    #[error(
        "{agent} is not installed on this member; install it there (package fence-agents), looked in: {looked_in}"
    )]
    NotInstalled {
        /// The agent.
        agent: String,
        /// The directories.
        looked_in: String,
    },
    /// It cannot be trusted.
    #[error(
        "{path} may be changed by anybody; take the right to write from others before it is run"
    )]
    WritableByOthers {
        /// The program.
        path: String,
    },
    /// It does not describe itself.
    #[error("{agent} does not describe itself: {reason}")]
    Speechless {
        /// The agent.
        agent: String,
        /// What came instead.
        reason: String,
    },
    /// What it says about itself cannot be used.
    #[error("{agent} cannot be used; install another version of it")]
    Metadata {
        /// The agent.
        agent: String,
        /// What is wrong.
        #[source]
        source: MetadataError,
    },
}

/// The agents of this machine.
#[derive(Debug)]
pub struct Catalogue {
    directories: Vec<PathBuf>,
    known: Mutex<BTreeMap<PathBuf, (Version, Arc<Metadata>)>>,
    /// Held by whoever asks an agent: everybody else who wants to know waits for the answer.
    asking: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

/// What changes when an agent is replaced.
type Version = (u64, Option<SystemTime>);

impl Catalogue {
    /// The agents in these directories, the first that has one of a name wins.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self {
            directories,
            known: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// The program of an agent.
    pub fn find(&self, agent: &str) -> Result<PathBuf, AgentError> {
        Ok(self.look_up(agent)?.0)
    }

    fn look_up(&self, agent: &str) -> Result<(PathBuf, Version), AgentError> {
        if !is_name(agent) {
            return Err(AgentError::Name(agent.to_owned()));
        }
        for directory in &self.directories {
            let path = directory.join(agent);
            let Ok(found) = std::fs::metadata(&path) else {
                continue;
            };
            let mode = found.permissions().mode();
            if !found.is_file() || mode & 0o111 == 0 {
                continue;
            }
            if mode & 0o002 != 0 {
                return Err(AgentError::WritableByOthers {
                    path: path.display().to_string(),
                });
            }
            return Ok((path, (found.len(), found.modified().ok())));
        }
        Err(AgentError::NotInstalled {
            agent: agent.to_owned(),
            looked_in: shown(&self.directories),
        })
    }

    /// The program of an agent, and what it says about itself.
    pub async fn describe(&self, agent: &str) -> Result<(PathBuf, Arc<Metadata>), AgentError> {
        let (path, version) = self.look_up(agent)?;
        if let Some(metadata) = self.known_of(&path, version) {
            return Ok((path, metadata));
        }
        let asking = self.asking_of(&path);
        let _one_at_a_time = asking.lock().await;
        if let Some(metadata) = self.known_of(&path, version) {
            return Ok((path, metadata));
        }
        let speechless = |reason: String| AgentError::Speechless {
            agent: agent.to_owned(),
            reason,
        };
        let ended = process::run(&path, &["-o", "metadata"], "", PATIENCE)
            .await
            .map_err(|failure: AgentFailure| speechless(failure.to_string()))?;
        if ended.code != Some(0) {
            return Err(speechless(format!("it ended with {:?}", ended.code)));
        }
        let metadata = Metadata::parse(&ended.output).map_err(|source| AgentError::Metadata {
            agent: agent.to_owned(),
            source,
        })?;
        let metadata = Arc::new(metadata);
        self.known()
            .insert(path.clone(), (version, Arc::clone(&metadata)));
        Ok((path, metadata))
    }

    fn known_of(&self, path: &Path, version: Version) -> Option<Arc<Metadata>> {
        let known = self.known();
        let (of, metadata) = known.get(path)?;
        (*of == version).then(|| Arc::clone(metadata))
    }

    fn asking_of(&self, path: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(asking.entry(path.to_owned()).or_default())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, (Version, Arc<Metadata>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(directories: &[PathBuf]) -> String {
    let shown: Vec<String> = directories
        .iter()
        .map(|directory: &PathBuf| Path::display(directory).to_string())
        .collect();
    shown.join(", ")
}

fn is_name(agent: &str) -> bool {
    agent.len() <= MAX_NAME
        && agent.strip_prefix("fence_").is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_agents_names_are_names() {
        for name in ["fence_ipmilan", "fence_ilo4"] {
            assert!(is_name(name));
        }
        for name in [
            "sh",
            "fence_",
            "fence_../../bin/sh",
            "/usr/sbin/fence_ipmilan",
            "fence_x y",
            "fence_X",
            "fence_é",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_program_that_anybody_may_change_is_not_run() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("fence_x");
        std::fs::write(&path, "#!/bin/sh\n").expect("written");
        let catalogue = Catalogue::new(vec![directory.path().to_owned()]);
        let set = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        set(0o777);
        assert!(matches!(
            catalogue.find("fence_x"),
            Err(AgentError::WritableByOthers { .. })
        ));
        set(0o755);
        assert_eq!(catalogue.find("fence_x").expect("found"), path);
        set(0o644);
        assert!(matches!(
            catalogue.find("fence_x"),
            Err(AgentError::NotInstalled { .. })
        ));
    }
}
