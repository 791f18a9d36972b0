//! A host: how it is made safe, what it keeps for itself and which cards it has.

use super::node_status::NodeStatus;
use crate::scalar::{CpuSet, Duration, Label, MacAddress, Name, Size};
use crate::shape::{keyed, rules};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A machine that carries guests, storage or services. Its name is its host name.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "Node",
    plural = "nodes",
    derive = "PartialEq",
    doc = "A machine that carries guests, storage or services. Its name is its host name.",
    shortname = "no",
    shortname = "host",
    status = "NodeStatus",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "What the host does."
    ),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        description = "What people want of it."
    ),
    printcolumn(
        name = "Guests",
        type_ = "integer",
        json_path = ".status.allocated.guests",
        description = "How many guests run on it."
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".status.allocated.memory",
        description = "Memory promised to guests."
    ),
    printcolumn(
        name = "Allocatable",
        type_ = "string",
        json_path = ".status.allocatable.memory",
        priority = 1,
        description = "Memory that may be promised to guests."
    ),
    printcolumn(
        name = "Site",
        type_ = "string",
        json_path = ".spec.site",
        priority = 1,
        description = "Where it stands."
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.versions.quorate",
        priority = 1,
        description = "The software that it runs."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Its number, from which networks with `addressing: NodeNumber` derive its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65534))]
    pub number: Option<u32>,
    /// What people want of the host.
    pub mode: NodeMode,
    /// Where it stands. Replicas of a volume are kept on different sites where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub site: Option<String>,
    /// Its network cards, by names that are the same on all hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["name"]))]
    pub nics: Vec<Nic>,
    /// How it is made safe when it is lost.
    pub fencing: NodeFencing,
    /// The watchdog that resets it when it is not well.
    pub watchdog: Watchdog,
    /// What it keeps for itself.
    pub reserve: Reserve,
}

/// What people want of a host.
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
pub enum NodeMode {
    /// It carries whatever the planner gives it.
    #[default]
    Active,
    /// It keeps what it has and gets nothing new.
    Cordoned,
    /// It carries nothing: guests are moved off, and stay off.
    Drained,
    /// It is drained, stops its storage and leaves. It is not fenced when it goes away.
    Withdrawn,
    /// It is left alone: what runs, runs on, and nothing is started, stopped or moved there.
    Maintenance,
}

/// A network card, pinned so that it keeps its name whatever the kernel calls it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    (
        "(has(self.mac) ? 1 : 0) + (has(self.path) ? 1 : 0) + (has(self.device) ? 1 : 0) == 1",
        "a network card is found by exactly one of mac, path and device",
    )
]))]
pub struct Nic {
    /// What Networks call it: `bcn1`.
    pub name: Label,
    /// Find it by its hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    /// Find it by where it is plugged in: `pci-0000:03:00.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub path: Option<String>,
    /// Find it by the kernel's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub device: Option<String>,
    /// The board that it sits on. Two cards of one board fail together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub board: Option<String>,
}

/// How a host is made safe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeFencing {
    /// Tried in this order, then again from the first, for ever.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = keyed(&["name"]))]
    pub levels: Vec<FenceLevel>,
    /// How long others wait before they fence this host, so that it wins when both sides shoot at
    /// once.
    pub delay: Duration,
    /// Accept that the host cannot be fenced: whatever it held stays down until a person confirms
    /// that it is off.
    pub unprotected: bool,
}

impl Default for NodeFencing {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            delay: Duration::from("0s"),
            unprotected: false,
        }
    }
}

/// Devices that make a host safe together. The level succeeds when all of them confirm that they
/// are off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FenceLevel {
    /// Its name: `ipmi`.
    pub name: Label,
    /// All of them are switched off, then seen to be off, then switched on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = keyed(&["device", "plug"]))]
    pub devices: Vec<FenceTarget>,
}

/// One outlet, power supply or management board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FenceTarget {
    /// The FenceDevice.
    pub device: Name,
    /// The outlet or machine on that device. Empty where the device has just one.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub plug: String,
    /// Parameters for the agent that differ from the device's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// The watchdog that resets a host when it is not well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Watchdog {
    /// Which watchdog is used.
    pub mode: WatchdogMode,
    /// The identity that the hardware must report, where a host has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub identity: Option<String>,
    /// After how long without feeding it resets the host.
    pub timeout: Duration,
    /// Believe the kernel's software watchdog when a fence level relies on it. A hung kernel may
    /// not fire it.
    pub softdog_is_evidence: bool,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self {
            mode: WatchdogMode::Auto,
            identity: None,
            timeout: Duration::from("30s"),
            softdog_is_evidence: false,
        }
    }
}

/// Which watchdog is used.
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
pub enum WatchdogMode {
    /// The hardware's when there is one, otherwise the kernel's software watchdog.
    #[default]
    Auto,
    /// The hardware's; without one the host is not ready.
    Hardware,
    /// The kernel's software watchdog.
    Software,
    /// None.
    Disabled,
}

/// What a host keeps for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Reserve {
    /// Memory that no guest gets.
    pub memory: Size,
    /// Processors on which no guest runs.
    pub cpus: CpuSet,
}

impl Default for Reserve {
    fn default() -> Self {
        Self {
            memory: Size::from("2Gi"),
            cpus: CpuSet::from("0"),
        }
    }
}
