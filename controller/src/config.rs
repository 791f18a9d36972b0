//! Reading `quorated.yaml`.

use std::{
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use quorate_identity::MemberConfig;
use thiserror::Error;

/// Below, healthy members would depose each other; above, a cluster would stand still for long when its leader is lost.
const ELECTION_TIMEOUTS: RangeInclusive<u32> = 250..=30_000;

/// Why a configuration cannot be used. Trying again does not help.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the member's configuration {path}; `quorate init` or `quorate join` writes it"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not a configuration.
    #[error("{path} is not a member's configuration: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

/// The configuration in `path`.
pub fn load(path: &Path) -> Result<MemberConfig, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let malformed = |reason: String| ConfigError::Malformed {
        path: path.to_owned(),
        reason,
    };
    let config: MemberConfig =
        serde_saphyr::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    if config.addresses.is_empty() {
        return Err(malformed(
            "addresses is empty, allowed: how the other members reach this one, host:port, one per ring"
                .into(),
        ));
    }
    if config.listen.is_empty() {
        return Err(malformed(
            "listen is empty, allowed: at least one address and port".into(),
        ));
    }
    if let Some(timeout) = config.election_timeout_ms
        && !ELECTION_TIMEOUTS.contains(&timeout)
    {
        return Err(malformed(format!(
            "electionTimeoutMs is {timeout}, allowed: {} to {}",
            ELECTION_TIMEOUTS.start(),
            ELECTION_TIMEOUTS.end()
        )));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<MemberConfig, ConfigError> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("quorated.yaml");
        fs::write(&path, text).expect("written");
        load(&path)
    }

    #[test]
    fn a_short_configuration_is_enough() {
        let config = loaded(
            "name: node1\ndataDir: /var/lib/quorate\npkiDir: /etc/quorate/pki\naddresses: [node1:7443]\n",
        )
        .expect("usable");
        assert_eq!(config.listen[0].port(), 7443);
    }

    #[test]
    fn a_time_to_wait_for_a_leader_is_refused_when_no_cluster_could_live_with_it() {
        let with = |timeout: u32| {
            loaded(&format!(
                "name: node1\ndataDir: /x\npkiDir: /y\naddresses: [node1:7443]\nelectionTimeoutMs: {timeout}\n"
            ))
        };
        assert_eq!(with(5000).expect("usable").election_timeout_ms, Some(5000));
        for refused in [50, 60_000] {
            let error = with(refused).expect_err("refused").to_string();
            assert!(error.contains("250 to 30000"), "{error}");
        }
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let error = loaded("name: node1\ndataDri: /x\n").expect_err("refused");
        assert!(error.to_string().contains("dataDri"), "{error}");
    }
}
