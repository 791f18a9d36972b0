//! What one host must make so. Only the planner writes it.

use super::assignment::Assignment;
use super::node_plan_status::NodePlanStatus;
use crate::scalar::Name;
use crate::shape::rules;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One record of a host's plan. The record that is named like the host is the plan's head; every
/// other one assigns one object, so that a change of one guest costs one guest's bytes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "NodePlan",
    plural = "nodeplans",
    derive = "PartialEq",
    doc = "One record of a host's plan. The record that is named like the host is the plan's \
           head; every other one assigns one object, so that a change of one guest costs one \
           guest's bytes.",
    status = "NodePlanStatus",
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".spec.node",
        description = "The host."
    ),
    printcolumn(
        name = "Generation",
        type_ = "integer",
        json_path = ".spec.planGeneration",
        description = "The generation of the plan."
    ),
    printcolumn(
        name = "Object",
        type_ = "string",
        json_path = ".spec.assignment.object.name",
        description = "What is assigned."
    ),
    printcolumn(
        name = "Active",
        type_ = "boolean",
        json_path = ".spec.assignment.active",
        description = "Whether it is to be active."
    ),
    printcolumn(
        name = "Observed",
        type_ = "integer",
        json_path = ".status.observedPlanGeneration",
        description = "The generation that the host has made so."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct NodePlanSpec {
    /// The host.
    #[schemars(transform = rules(&[
        ("self == oldSelf", "a record stays with its host: delete it and create another")
    ]))]
    pub node: Name,
    /// The incarnation that may act on it.
    pub incarnation: u64,
    /// The term of the leader that planned it.
    pub term: u64,
    /// The generation in which this record last changed; in the head, the newest of all.
    pub plan_generation: u64,
    /// In the head: something was withdrawn in this generation. A host whose newest plan is older
    /// does not know of it, and activates nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_valid_generation: Option<u64>,
    /// In the head: how many other records there are, so that a host knows when it has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u32>,
    /// What is assigned. The head has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
}
