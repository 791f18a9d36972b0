use bytes::Bytes;
use jiff::Timestamp;
use quorate_identity::SecretHash;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What tokens of one sort are for.
pub trait Purpose: Clone + Send + Serialize + DeserializeOwned + Sync + 'static {
    /// Where their records are.
    const BUCKET: &'static str;
    /// What people call them; with a hyphen for the space, also the command that makes them.
    const CALLED: &'static str;
}

/// Whom a join token lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Invitee {
    /// A `quorated`.
    Member {
        /// A voter that runs no workload.
        witness: bool,
    },
    /// A host.
    Node {
        /// The host's name.
        name: String,
    },
    /// A person.
    User(Person),
}

/// A user with its groups: whom an access token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// The user's name.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl Purpose for Invitee {
    const BUCKET: &'static str = "_jointokens";
    const CALLED: &'static str = "join token";
}

impl Purpose for Person {
    const BUCKET: &'static str = "_accesstokens";
    const CALLED: &'static str = "access token";
}

impl Invitee {
    /// The name that the token fixes; a member brings its own.
    pub fn name(&self) -> &str {
        match self {
            Self::Member { .. } => "",
            Self::Node { name } | Self::User(Person { name, .. }) => name,
        }
    }
}

/// What the cluster keeps of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<P> {
    /// What it is for.
    pub purpose: P,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Timestamp,
    /// Who made it.
    pub created_by: String,
    pub(super) secret_hash: String,
    /// A token of another history is good for nothing: a restored cluster has forgotten which were used or revoked.
    pub(super) history_id: String,
}

impl<P: Purpose> Record<P> {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("strings and times always serialise")
            .into()
    }

    /// None when it is not readable: then it is good for nothing.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    pub(super) fn secret(&self) -> Option<SecretHash> {
        SecretHash::parse(&self.secret_hash)
    }
}
