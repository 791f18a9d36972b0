use std::{collections::BTreeSet, fmt};

use quorate_crds::{Rule as Written, Verb};

use super::{
    Action, Granted,
    action::{canonical_kind, verb_name},
};

/// Every kind, but no call about the cluster: as in Kubernetes, what is not an object has to be named.
const ANY: &str = "*";
const ANY_CLUSTER_CALL: &str = "cluster/*";
const CLUSTER_CALL: &str = "cluster/";

/// The verbs that [`Verb::All`] stands for.
pub(super) const VERBS: [Verb; 7] = [
    Verb::Get,
    Verb::List,
    Verb::Watch,
    Verb::Create,
    Verb::Update,
    Verb::Patch,
    Verb::Delete,
];

/// A rule in the form in which it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    kinds: BTreeSet<String>,
    verbs: BTreeSet<Verb>,
    /// Empty: all.
    names: BTreeSet<String>,
    /// With the empty string for the object itself.
    subresources: BTreeSet<String>,
}

impl From<&Written> for Rule {
    fn from(rule: &Written) -> Self {
        let verbs = if rule.verbs.contains(&Verb::All) {
            VERBS.into_iter().collect()
        } else {
            rule.verbs.iter().copied().collect()
        };
        let subresources = if rule.subresources.is_empty() {
            BTreeSet::from([String::new()])
        } else {
            rule.subresources.iter().cloned().collect()
        };
        Self {
            kinds: rule.kinds.iter().map(|kind| canonical_kind(kind)).collect(),
            verbs,
            names: rule.names.iter().map(ToString::to_string).collect(),
            subresources,
        }
    }
}

impl Rule {
    pub(super) fn new<'a>(
        kinds: impl IntoIterator<Item = &'a str>,
        verbs: impl IntoIterator<Item = Verb>,
        subresources: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            kinds: kinds.into_iter().map(str::to_owned).collect(),
            verbs: verbs.into_iter().collect(),
            names: BTreeSet::new(),
            subresources: subresources.into_iter().map(str::to_owned).collect(),
        }
    }

    pub(super) fn allows(&self, action: &Action) -> bool {
        let name = match &action.name {
            Some(name) => self.names.is_empty() || self.names.contains(name),
            None => self.names.is_empty(),
        };
        let verb = match action.verb {
            Verb::All => self.verbs.len() == VERBS.len(),
            verb => self.verbs.contains(&verb),
        };
        name && verb && self.has_kind(&action.kind) && self.has_subresource(&action.subresource)
    }

    /// Something that this rule allows and `held` together do not.
    pub(super) fn excess(&self, held: &[&Self]) -> Option<Action> {
        for kind in &self.kinds {
            for verb in &self.verbs {
                for subresource in &self.subresources {
                    let fitting: Vec<&&Self> = held
                        .iter()
                        .filter(|rule| {
                            rule.has_kind(kind)
                                && rule.verbs.contains(verb)
                                && rule.has_subresource(subresource)
                        })
                        .collect();
                    if fitting.iter().any(|rule| rule.names.is_empty()) {
                        continue;
                    }
                    let excess = |name: Option<&String>| Action {
                        verb: *verb,
                        kind: kind.clone(),
                        name: name.cloned(),
                        subresource: subresource.clone(),
                        node: None,
                    };
                    if self.names.is_empty() {
                        return Some(excess(None));
                    }
                    let missing = self
                        .names
                        .iter()
                        .find(|name| !fitting.iter().any(|rule| rule.names.contains(*name)));
                    if missing.is_some() {
                        return Some(excess(missing));
                    }
                }
            }
        }
        None
    }

    /// The rule in Kubernetes' words.
    pub(super) fn granted(&self) -> Granted {
        let mut resources = Vec::new();
        for kind in &self.kinds {
            for part in &self.subresources {
                resources.push(match part.as_str() {
                    "" => kind.clone(),
                    part => format!("{kind}/{part}"),
                });
            }
        }
        Granted {
            verbs: self.verbs.iter().copied().map(verb_name).collect(),
            resources,
            names: self.names.iter().cloned().collect(),
        }
    }

    fn has_kind(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
            || if kind.starts_with(CLUSTER_CALL) {
                self.kinds.contains(ANY_CLUSTER_CALL)
            } else {
                self.kinds.contains(ANY)
            }
    }

    fn has_subresource(&self, subresource: &str) -> bool {
        self.subresources.contains(subresource) || self.subresources.contains(ANY)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |texts: &BTreeSet<String>| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            texts.join(",")
        };
        if self.verbs.len() == VERBS.len() {
            f.write_str("*")?;
        } else {
            let verbs: Vec<&str> = self.verbs.iter().copied().map(verb_name).collect();
            f.write_str(&verbs.join(","))?;
        }
        write!(f, " {}", join(&self.kinds))?;
        if !self.names.is_empty() {
            write!(f, " named {}", join(&self.names))?;
        }
        let parts: BTreeSet<String> = self
            .subresources
            .iter()
            .map(|part| {
                if part.is_empty() {
                    "object".to_owned()
                } else {
                    part.clone()
                }
            })
            .collect();
        if !self.subresources.contains(ANY) && parts != BTreeSet::from(["object".to_owned()]) {
            write!(f, " ({})", join(&parts))?;
        }
        Ok(())
    }
}
