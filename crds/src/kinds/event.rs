//! What happened, for people who ask later.

use super::condition::ObjectReference;
use crate::scalar::{Name, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that happened to an object. Equal ones are counted in one object; old ones expire.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "Event",
    plural = "events",
    derive = "PartialEq",
    doc = "Something that happened to an object. Equal ones are counted in one object; old ones \
           expire.",
    shortname = "ev",
    printcolumn(
        name = "Last",
        type_ = "date",
        json_path = ".spec.lastTimestamp",
        description = "When it last happened."
    ),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        description = "Whether it needs attention."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".spec.reason",
        description = "What happened, as one word."
    ),
    printcolumn(
        name = "Object",
        type_ = "string",
        json_path = ".spec.regarding.name",
        description = "What it happened to."
    ),
    printcolumn(
        name = "Count",
        type_ = "integer",
        json_path = ".spec.count",
        priority = 1,
        description = "How often it happened."
    ),
    printcolumn(
        name = "Note",
        type_ = "string",
        json_path = ".spec.note",
        description = "What happened, for people."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct EventSpec {
    /// What it happened to.
    pub regarding: ObjectReference,
    /// What else took part: the host that a guest moved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<ObjectReference>,
    /// What happened, as one word for programs.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub reason: String,
    /// What happened, for people.
    #[schemars(length(max = 1024))]
    pub note: String,
    /// Whether it needs attention.
    #[serde(rename = "type", default)]
    pub type_: EventType,
    /// How often it happened.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1))]
    pub count: u32,
    /// When it first happened.
    pub first_timestamp: Time,
    /// When it last happened.
    pub last_timestamp: Time,
    /// The program that reports it.
    #[schemars(length(min = 1, max = 128))]
    pub reporting_controller: String,
    /// The machine on which that program runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reporting_node: Option<Name>,
}

/// Whether an event needs attention.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum EventType {
    /// As it should be.
    #[default]
    Normal,
    /// Somebody should look.
    Warning,
}

fn default_count() -> u32 {
    1
}
