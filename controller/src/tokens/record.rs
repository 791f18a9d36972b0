use bytes::Bytes;
use jiff::Timestamp;
use quorate_identity::SecretHash;
use serde::{Deserialize, Serialize};

/// Whom a token lets in.
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
    User {
        /// The name in the certificate.
        name: String,
        /// The groups in it.
        groups: Vec<String>,
    },
}

impl Invitee {
    /// The name that the token fixes; a member brings its own.
    pub fn name(&self) -> &str {
        match self {
            Self::Member { .. } => "",
            Self::Node { name } | Self::User { name, .. } => name,
        }
    }
}

/// What the cluster keeps of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whom it lets in.
    pub invitee: Invitee,
    /// Until when.
    pub expires: Timestamp,
    /// Who made it.
    pub created_by: String,
    pub(super) secret_hash: String,
    /// A token of another history lets nobody in: a restored cluster has forgotten which were used.
    pub(super) history_id: String,
}

impl Record {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("strings and times always serialise")
            .into()
    }

    /// None when it is not readable: then it lets nobody in.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    pub(super) fn secret(&self) -> Option<SecretHash> {
        SecretHash::parse(&self.secret_hash)
    }
}
