use crate::drivers::{LibvirtSettings, WatchdogFound};
use crate::lease::find_watchdog;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What `node.yaml` says; `quorate join` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// The host's name, as its certificate says it.
    pub name: String,
    /// Members to begin with, `host:port`. Which there are at present the cluster says.
    pub endpoints: Vec<String>,
    /// Where `ca.crt`, `node.crt` and `node.key` lie; without it, beside the configuration.
    #[serde(default)]
    pub pki_dir: PathBuf,
    /// What outlives the daemon and not the boot: always below /run.
    #[serde(default = "default_run_dir")]
    pub run_dir: PathBuf,
    /// Which watchdog is used.
    #[serde(default)]
    pub watchdog: WatchdogChoice,
    /// How libvirt is reached, here and on the other hosts.
    #[serde(default)]
    pub libvirt: LibvirtSettings,
}

/// Which watchdog is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WatchdogChoice {
    /// Hardware if there is any, or else the kernel's own.
    #[default]
    Auto,
    /// The one that calls itself so.
    Identity(String),
    /// None.
    None,
}

fn default_run_dir() -> PathBuf {
    PathBuf::from("/run/quorate-node")
}

/// Why a configuration cannot be used. Trying again does not help.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the host's configuration {path}; `quorate join` writes it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not a configuration.
    #[error("{path} is not a host's configuration: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

impl NodeConfig {
    /// The configuration in `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let malformed = |reason: String| ConfigError::Malformed {
            path: path.to_owned(),
            reason,
        };
        let mut config: Self =
            serde_saphyr::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if config.name.is_empty() {
            return Err(malformed(
                "name is empty, allowed: the name that the host joined with".to_owned(),
            ));
        }
        if config.endpoints.is_empty() {
            return Err(malformed(
                "endpoints is empty, allowed: at least one member, host:port".to_owned(),
            ));
        }
        let beside = path.parent().unwrap_or(Path::new("."));
        // What is relative is relative to the file, and not to wherever the program was started.
        config.pki_dir = beside.join(&config.pki_dir);
        config.run_dir = beside.join(&config.run_dir);
        Ok(config)
    }

    /// The watchdog that this host is to use, if it has one.
    ///
    /// # Errors
    /// When the one that was chosen is not there.
    pub fn find_watchdog(&self) -> io::Result<Option<WatchdogFound>> {
        match &self.watchdog {
            WatchdogChoice::Auto => find_watchdog(None),
            WatchdogChoice::Identity(identity) => find_watchdog(Some(identity)),
            WatchdogChoice::None => Ok(None),
        }
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.pki_dir.join("ca.crt")
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.pki_dir.join("node.crt")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.pki_dir.join("node.key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<NodeConfig, ConfigError> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node.yaml");
        fs::write(&path, text).expect("written");
        let mut config = NodeConfig::load(&path)?;
        assert_eq!(config.certificate(), dir.path().join("node.crt"));
        config.pki_dir = PathBuf::new();
        Ok(config)
    }

    #[test]
    fn what_joining_wrote_is_enough() {
        let config = loaded("name: an1\nendpoints: [an1:7443, \"an2:7443\"]\n").expect("usable");
        assert_eq!(config.name, "an1");
        assert_eq!(config.run_dir, Path::new("/run/quorate-node"));
        assert_eq!(config.watchdog, WatchdogChoice::Auto);
    }

    #[test]
    fn a_watchdog_is_chosen_by_what_it_calls_itself() {
        let text = "name: an1\nendpoints: [an1:7443]\nwatchdog: {identity: iTCO_wdt}\n";
        let config = loaded(text).expect("usable");
        let chosen = WatchdogChoice::Identity("iTCO_wdt".into());
        assert_eq!(config.watchdog, chosen);
        let text = "name: an1\nendpoints: [an1:7443]\nwatchdog: none\n";
        assert_eq!(loaded(text).expect("usable").watchdog, WatchdogChoice::None);
    }

    #[test]
    fn a_lab_may_send_its_guests_in_the_clear() {
        let text = "name: an1\nendpoints: [an1:7443]\nlibvirt: {peer: \"qemu+tcp://{}/system\", encrypted: false}\n";
        let libvirt = loaded(text).expect("usable").libvirt;
        assert_eq!(libvirt.peer, "qemu+tcp://{}/system");
        assert!(!libvirt.encrypted);
        let text = "name: an1\nendpoints: [an1:7443]\n";
        let libvirt = loaded(text).expect("usable").libvirt;
        assert_eq!(libvirt, LibvirtSettings::default());
        assert!(libvirt.encrypted);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = loaded("name: an1\nendpoint: [x]\n").expect_err("refused");
        assert!(error.to_string().contains("endpoint"), "{error}");
        let error = loaded("name: an1\nendpoints: []\n").expect_err("refused");
        assert!(error.to_string().contains("at least one member"), "{error}");
        let error = NodeConfig::load(Path::new("/nonexistent")).expect_err("refused");
        assert!(error.to_string().contains("quorate join"), "{error}");
    }
}
