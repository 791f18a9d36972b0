//! A device that can switch a host off, or prove that it is off.

use super::condition::{Condition, SecretKey};
use crate::scalar::{Duration, Name, Time};
use crate::shape::{keyed, rules, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A device that can switch hosts off: a management board, a switched power outlet, a hypervisor.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "FenceDevice",
    plural = "fencedevices",
    derive = "PartialEq",
    doc = "A device that can switch hosts off: a management board, a switched power outlet, a \
           hypervisor.",
    shortname = "fence",
    status = "FenceDeviceStatus",
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        description = "How it works."
    ),
    printcolumn(
        name = "Agent",
        type_ = "string",
        json_path = ".spec.agent",
        description = "The program that drives it."
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "Whether it would work."
    ),
    printcolumn(
        name = "Last test",
        type_ = "date",
        json_path = ".status.lastPoll",
        description = "When it last answered."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "(self.type == 'Agent' || self.type == 'Dummy') == has(self.agent)",
        "agent names the program that drives the device: it is required for the types Agent and \
         Dummy and allowed for no other",
    )
]))]
pub struct FenceDeviceSpec {
    /// How it works.
    #[serde(rename = "type")]
    pub type_: FenceDeviceType,
    /// The program of the fence-agents package that drives it: `fence_ipmilan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 7, max = 64), regex(pattern = r"^fence_[a-z0-9_]+$"))]
    pub agent: Option<String>,
    /// What the agent is told, by the names that its own metadata lists: `ip`, `username`,
    /// `lanplus`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Parameters whose values are secret.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = keyed(&["name"]))]
    pub secret_parameters: Vec<SecretParameter>,
    /// How long the agent may take for one request.
    pub timeout: Duration,
    /// How often a request that failed is repeated before the device counts as failed.
    #[schemars(range(min = 0, max = 10))]
    pub retries: u32,
    /// How long to wait after switching, before the device is asked whether it did.
    pub power_wait: Duration,
    /// How often the device is asked for its state. By default the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_interval: Option<Duration>,
    /// How often it is tested in full, as far as that is harmless. Without it, on demand only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_interval: Option<Duration>,
    /// The members that can reach it. None listed: all of them, never the victim itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = set)]
    pub run_on: Vec<Name>,
}

impl Default for FenceDeviceSpec {
    fn default() -> Self {
        Self {
            type_: FenceDeviceType::Agent,
            agent: None,
            parameters: BTreeMap::new(),
            secret_parameters: Vec::new(),
            timeout: Duration::from("20s"),
            retries: 1,
            power_wait: Duration::from("0s"),
            poll_interval: None,
            test_interval: None,
            run_on: Vec::new(),
        }
    }
}

/// How a fence device works.
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
pub enum FenceDeviceType {
    /// A program of the fence-agents package drives it.
    #[default]
    Agent,
    /// The host's own watchdog: it is believed only after its time has surely passed.
    Watchdog,
    /// A person who looks, and confirms by name.
    Manual,
    /// A program that only pretends. For tests; the status says so.
    Dummy,
}

/// A parameter whose value is secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretParameter {
    /// The parameter: `password`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9_-]+$"))]
    pub name: String,
    /// Where its value is.
    pub from: SecretKey,
}

/// Whether a fence device would work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FenceDeviceStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Contradicted`, `TestOnly`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = keyed(&["type"]))]
    pub conditions: Vec<Condition>,
    /// Whether it would work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<FenceDeviceState>,
    /// When it last answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_poll: Option<Time>,
    /// When it was last tested in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_test: Option<Time>,
    /// When it last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Time>,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_error: Option<String>,
    /// What the agent says about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentMetadata>,
    /// The members from which it answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = set)]
    pub reachable_from: Vec<Name>,
    /// The state of each outlet in use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), transform = keyed(&["plug"]))]
    pub outlets: Vec<OutletStatus>,
}

/// Whether a fence device would work.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum FenceDeviceState {
    /// It was not asked yet.
    Unknown,
    /// It answered when it was last asked.
    Ready,
    /// It did not answer, or refused.
    Failed,
    /// It said off, and the host was heard afterwards. Look for swapped cables.
    Contradicted,
}

/// What an agent says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentMetadata {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub name: Option<String>,
    /// What it drives.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// The parameters that it takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = set)]
    pub parameters: Vec<String>,
}

/// The state of one outlet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutletStatus {
    /// The outlet.
    #[schemars(length(max = 63))]
    pub plug: String,
    /// The host that it feeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Whether it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
}

/// Whether an outlet or machine is on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum PowerState {
    /// It is on.
    PoweredOn,
    /// It is off.
    PoweredOff,
    /// The device did not say.
    Unknown,
}
