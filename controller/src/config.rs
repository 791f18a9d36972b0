//! Reading `quorated.yaml`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use quorate_identity::MemberConfig;
use thiserror::Error;

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
    fn a_misspelt_field_is_named() {
        let error = loaded("name: node1\ndataDri: /x\n").expect_err("refused");
        assert!(error.to_string().contains("dataDri"), "{error}");
    }
}
