//! Which clusters there are.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::Deserialize;
use thiserror::Error;

/// The file that the operator is started with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// All clusters.
    pub clusters: Vec<ClusterConfig>,
    /// The cluster of objects that name none. Where there is only one cluster, that one.
    #[serde(default)]
    pub default_cluster: Option<String>,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterConfig {
    /// What objects in Kubernetes call it.
    pub name: String,
    /// The members' addresses, `host:port`.
    pub endpoints: Vec<String>,
    /// The Secret in the operator's namespace that holds `ca.crt`, `tls.crt` and `tls.key`.
    pub credentials_secret: String,
}

/// Why the configuration cannot be used. Correct the file.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no YAML, or has fields that mean nothing.
    #[error("{path} is no configuration")]
    Malformed {
        /// Which file.
        path: String,
        /// Where and why.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// It makes no sense.
    #[error("{path}: {problem}")]
    Wrong {
        /// Which file.
        path: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

impl Config {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: shown.clone(),
            source,
        })?;
        Self::parse(&text, &shown)
    }

    fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let config: Self =
            serde_saphyr::from_str(text).map_err(|source| ConfigError::Malformed {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        match config.problem() {
            None => Ok(config),
            Some(problem) => Err(ConfigError::Wrong {
                path: path.to_owned(),
                problem,
            }),
        }
    }

    /// The cluster of objects that name none.
    #[must_use]
    pub fn default_cluster(&self) -> Option<&str> {
        match (self.default_cluster.as_deref(), self.clusters.as_slice()) {
            (Some(name), _) => Some(name),
            (None, [only]) => Some(&only.name),
            (None, _) => None,
        }
    }

    fn problem(&self) -> Option<String> {
        if self.clusters.is_empty() {
            return Some("it names no cluster".to_owned());
        }
        let mut seen = BTreeSet::new();
        for cluster in &self.clusters {
            let name = &cluster.name;
            // It is the value of a label, and stands before a slash in an annotation.
            if name.is_empty() || quorate_schema::names::check_label_value(name).is_err() {
                return Some(format!(
                    "{name:?} is no name of a cluster: at most 63 letters, digits or any of . _ - are allowed"
                ));
            }
            if !seen.insert(name) {
                return Some(format!("cluster {name:?} is there twice"));
            }
            if cluster.endpoints.is_empty() {
                return Some(format!("cluster {name:?} has no endpoints"));
            }
        }
        match &self.default_cluster {
            Some(name) if !seen.contains(name) => {
                Some(format!("defaultCluster {name:?} is none of the clusters"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "config.yaml").map_err(|error| error.to_string())
    }

    fn cluster(name: &str) -> String {
        format!("{{name: {name}, endpoints: [an01], credentialsSecret: {name}}}")
    }

    #[test]
    fn the_only_cluster_is_the_default_one() {
        let one = parse(&format!("clusters: [{}]", cluster("east"))).expect("fine");
        assert_eq!(one.default_cluster(), Some("east"));

        let two = format!("clusters: [{}, {}]", cluster("east"), cluster("west"));
        assert_eq!(parse(&two).expect("fine").default_cluster(), None);
        let chosen = parse(&format!("{two}\ndefaultCluster: west")).expect("fine");
        assert_eq!(chosen.default_cluster(), Some("west"));
    }

    #[test]
    fn a_configuration_that_makes_no_sense_is_refused_with_what_is_wrong() {
        for (text, problem) in [
            ("clusters: []".to_owned(), "names no cluster"),
            (
                format!("clusters: [{0}, {0}]", cluster("a")),
                "is there twice",
            ),
            (format!("clusters: [{}]", cluster("a/b")), "is no name"),
            (
                format!("clusters: [{}]\ndefaultCluster: b", cluster("a")),
                "none of the clusters",
            ),
            (
                "clusters: [{name: a, endpoints: [], credentialsSecret: a}]".to_owned(),
                "no endpoints",
            ),
            ("cluster: []".to_owned(), "is no configuration"),
        ] {
            let error = parse(&text).expect_err("refused");
            assert!(error.contains(problem), "{error}");
        }
    }
}
