//! What a status says about one aspect of an object, and how kinds refer to one another.

use crate::scalar::{Name, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One aspect of an object's state, with the reason in a form for programs and in one for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect: `Ready`, `InSync`, `RingDegraded`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub type_: String,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// Why, as one word for programs. Every reason is listed in the book with what to do about it.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// Why, and what to do about it, for people.
    #[schemars(length(min = 0, max = 32768))]
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// The generation of the spec that this was said about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// How the names of conditions end that say that something is wrong. All others are named for the good state.
const TROUBLES: [&str; 21] = [
    "Blocked",
    "Contradicted",
    "Degraded",
    "Deleting",
    "Failed",
    "Frozen",
    "Growing",
    "Lost",
    "Orphaned",
    "OverProvisioned",
    "Pressure",
    "RecoveryExhausted",
    "RestartPending",
    "ShuttingDown",
    "Skewed",
    "SpaceLow",
    "SplitBrain",
    "Stale",
    "Stalled",
    "Suspect",
    "Withdrawn",
];

/// Whether a condition of this type is bad news when it is true.
pub fn names_trouble(type_: &str) -> bool {
    TROUBLES.iter().any(|word| type_.ends_with(word))
}

/// Whether a condition holds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody can tell at present.
    Unknown,
}

/// One value of a Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The Secret.
    pub secret: Name,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Another object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Its kind.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// Its uid, when exactly that object is meant and no later one of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}
