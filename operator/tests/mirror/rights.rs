//! Access control by the manifests that are installed: what they do not grant is refused, and what is granted for nothing is
//! found at the end.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) verb: String,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Nothing stands for all.
    namespace: Option<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    verbs: Vec<String>,
}

/// The rights of the operator, and what was made of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    rules: Vec<Rule>,
    used: BTreeSet<(usize, String, String)>,
    pub(crate) refused: Vec<Asked>,
}

/// The manifests of a file.
pub(crate) fn manifests(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the manifest is there");
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).expect("it is YAML"))
        .collect()
}

/// A file of deploy/kubernetes.
pub(crate) fn deployed(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/kubernetes")
        .join(file)
}

impl Rights {
    /// What deploy/kubernetes grants to the operator.
    pub(crate) fn deployed() -> Self {
        let manifests = manifests(&deployed("operator/rights.yaml"));
        let bound: BTreeSet<String> = manifests
            .iter()
            .filter(|manifest| manifest["subjects"][0]["name"] == "quorate-operator")
            .map(|binding| {
                binding["roleRef"]["name"]
                    .as_str()
                    .expect("a role")
                    .to_owned()
            })
            .collect();
        let roles = manifests.iter().filter(|manifest| {
            manifest["rules"].is_array()
                && bound.contains(manifest["metadata"]["name"].as_str().expect("a name"))
        });
        let rules = roles.flat_map(|role| {
            let namespace = role["metadata"]["namespace"].as_str();
            let rules = role["rules"].as_array().expect("rules");
            rules.iter().map(move |rule| Rule {
                namespace: namespace.map(ToOwned::to_owned),
                groups: texts(&rule["apiGroups"]),
                resources: texts(&rule["resources"]),
                names: texts(&rule["resourceNames"]),
                verbs: texts(&rule["verbs"]),
            })
        });
        Self {
            rules: rules.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn allows(&mut self, asked: &Asked) -> bool {
        let granted = self.rules.iter().position(|rule| {
            rule.namespace
                .as_ref()
                .is_none_or(|it| *it == asked.namespace)
                && rule.groups.contains(&asked.group)
                && rule.resources.contains(&asked.resource)
                && rule.verbs.contains(&asked.verb)
                && (rule.names.is_empty() || rule.names.contains(&asked.name))
        });
        match granted {
            Some(rule) => {
                let used = (rule, asked.resource.clone(), asked.verb.clone());
                self.used.insert(used);
            }
            None => self.refused.push(asked.clone()),
        }
        granted.is_some()
    }

    /// Every verb of every rule that nobody has made use of, for any of its resources.
    pub(crate) fn unused_verbs(&self) -> Vec<String> {
        let verbs = self.rules.iter().enumerate().flat_map(|(at, rule)| {
            rule.verbs
                .iter()
                .map(move |verb| (at, &rule.resources[0], verb))
        });
        verbs
            .filter(|(at, _, verb)| {
                !self
                    .used
                    .iter()
                    .any(|(rule, _, used)| rule == at && used == *verb)
            })
            .map(|(_, resource, verb)| format!("{verb} {resource} …"))
            .collect()
    }

    /// Resources that are listed in vain.
    pub(crate) fn unused_resources(&self) -> Vec<String> {
        let listed = self.rules.iter().flat_map(|rule| &rule.resources);
        listed
            .filter(|resource| !resource.ends_with("/status"))
            .filter(|resource| !self.used.iter().any(|(_, used, _)| used == *resource))
            .cloned()
            .collect()
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().expect("text").to_owned())
        .collect()
}
