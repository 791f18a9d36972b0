use std::fmt;

use quorate_crds::{KindInfo, Verb};
use quorate_schema::selector::FieldSelector;

/// What a call wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub(super) verb: Verb,
    /// The plural of a kind, or `cluster/<call>`.
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) subresource: String,
    /// Lists and watches that are restricted to one host's records.
    pub(super) node: Option<String>,
}

/// A call about the cluster itself. In a Role it stands as the kind `cluster/<call>`, with the verb `get` for those that only look
/// and `update` for those that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterCall {
    /// Where the members stand.
    Status,
    /// Adding to and taking from the voters.
    Members,
    /// Handing over leadership.
    Leader,
    /// Taking a copy of everything.
    Backup,
    /// Seeing join tokens.
    ListTokens,
    /// Making and revoking join tokens.
    Tokens,
    /// Raising the feature level.
    FeatureLevel,
}

impl ClusterCall {
    fn parts(self) -> (Verb, &'static str) {
        match self {
            Self::Status => (Verb::Get, "cluster/status"),
            Self::Members => (Verb::Update, "cluster/members"),
            Self::Leader => (Verb::Update, "cluster/leader"),
            Self::Backup => (Verb::Get, "cluster/backup"),
            Self::ListTokens => (Verb::Get, "cluster/tokens"),
            Self::Tokens => (Verb::Update, "cluster/tokens"),
            Self::FeatureLevel => (Verb::Update, "cluster/feature-level"),
        }
    }
}

impl Action {
    /// `verb` on the object `name`. `subresource` is empty for the object itself.
    pub fn on(verb: Verb, kind: &KindInfo, name: &str, subresource: &str) -> Self {
        Self {
            verb,
            kind: kind.plural.to_owned(),
            name: Some(name.to_owned()),
            subresource: subresource.to_owned(),
            node: None,
        }
    }

    /// `verb` on every object of the kind with this plural.
    pub(super) fn every(verb: Verb, plural: &str) -> Self {
        Self {
            verb,
            kind: plural.to_owned(),
            name: None,
            subresource: String::new(),
            node: None,
        }
    }

    /// A list or a watch. One that selects a single object by `metadata.name=` needs rights on that object only, as in
    /// Kubernetes; one that selects a host's records by `spec.node=` is what a host is allowed.
    pub fn selecting(verb: Verb, kind: &KindInfo, selector: &FieldSelector) -> Self {
        let required = |path| selector.required_value(path).map(str::to_owned);
        Self {
            verb,
            kind: kind.plural.to_owned(),
            name: required("metadata.name"),
            subresource: String::new(),
            node: required("spec.node"),
        }
    }

    /// A call about the cluster.
    pub fn cluster(call: ClusterCall) -> Self {
        let (verb, kind) = call.parts();
        Self {
            verb,
            kind: kind.to_owned(),
            name: None,
            subresource: String::new(),
            node: None,
        }
    }

    /// Verb, kind, name and subresource; empty where there is none.
    pub fn parts(&self) -> (&'static str, &str, &str, &str) {
        (
            verb_name(self.verb),
            &self.kind,
            self.name.as_deref().unwrap_or_default(),
            &self.subresource,
        )
    }

    /// From what a person typed; `kind` may be a short name or a `cluster/<call>`.
    pub fn parse(
        verb: &str,
        kind: &str,
        name: &str,
        subresource: &str,
    ) -> Result<Self, UnknownVerb> {
        let verb = parse_verb(verb).ok_or_else(|| UnknownVerb(verb.to_owned()))?;
        Ok(Self {
            verb,
            kind: canonical_kind(kind),
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            subresource: subresource.to_owned(),
            node: None,
        })
    }
}

/// Not a verb.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a verb, allowed: get, list, watch, create, update, patch, apply, delete, *")]
pub struct UnknownVerb(String);

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", verb_name(self.verb), self.kind)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        match &self.name {
            Some(name) => write!(f, " {name:?}"),
            None => Ok(()),
        }
    }
}

/// The verb as Roles write it.
pub(super) fn verb_name(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Watch => "watch",
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
        Verb::All => "*",
    }
}

fn parse_verb(text: &str) -> Option<Verb> {
    Some(match text.to_ascii_lowercase().as_str() {
        "get" => Verb::Get,
        "list" => Verb::List,
        "watch" => Verb::Watch,
        "create" => Verb::Create,
        "update" => Verb::Update,
        "patch" | "apply" => Verb::Patch,
        "delete" => Verb::Delete,
        "*" => Verb::All,
        _ => return None,
    })
}

/// The plural of whatever name a kind is called by; what is not a kind stays as it is.
pub(super) fn canonical_kind(kind: &str) -> String {
    match quorate_crds::find(kind) {
        Some(info) => info.plural.to_owned(),
        None => kind.to_ascii_lowercase(),
    }
}
