//! Where guests prefer to run.

use super::condition::Condition;
use crate::scalar::Name;
use crate::shape::{atomic, keyed};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An ordered choice of hosts for guests.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "FailoverDomain",
    plural = "failoverdomains",
    derive = "PartialEq",
    doc = "An ordered choice of hosts for guests.",
    shortname = "fd",
    status = "FailoverDomainStatus",
    printcolumn(
        name = "Restricted",
        type_ = "boolean",
        json_path = ".spec.restricted",
        description = "Whether guests may run on no other host."
    ),
    printcolumn(
        name = "Failback",
        type_ = "boolean",
        json_path = ".spec.failback",
        description = "Whether guests return to a better host."
    ),
    printcolumn(
        name = "Guests",
        type_ = "integer",
        json_path = ".status.guests",
        description = "How many guests use it."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverDomainSpec {
    /// The hosts, with how much they are preferred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["node"]))]
    pub nodes: Vec<DomainNode>,
    /// Guests run on no host but these.
    pub restricted: bool,
    /// A guest returns, by live migration, when a host that is preferred more is back and its
    /// storage is in sync.
    pub failback: bool,
}

/// A host of a domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainNode {
    /// The host.
    pub node: Name,
    /// The lower, the more it is preferred. Equal ones are chosen by load.
    #[serde(default = "default_priority")]
    #[schemars(range(min = 1, max = 100))]
    pub priority: u32,
}

/// Who uses a domain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverDomainStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// How many guests use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guests: Option<u32>,
    /// Its hosts that can take guests now, the most preferred first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = atomic)]
    pub available: Vec<Name>,
}

fn default_priority() -> u32 {
    1
}
