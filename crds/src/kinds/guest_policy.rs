//! Where a guest runs, and what happens when it fails, starts, stops and moves.

use crate::scalar::{Duration, Name};
use crate::shape::{keyed, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a guest may run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// The FailoverDomain. None: any host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover_domain: Option<Name>,
    /// Labels that its host must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Guests that it should share a host with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["guest"]))]
    pub together_with: Vec<AffinityTerm>,
    /// Guests that it should not share a host with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["guest"]))]
    pub apart_from: Vec<AffinityTerm>,
    /// How much it takes to move it while it runs: 100000 means only the loss of its host or a
    /// better host of a domain with failback.
    #[schemars(range(min = 0, max = 100000))]
    pub stickiness: u32,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            failover_domain: None,
            node_selector: BTreeMap::new(),
            together_with: Vec::new(),
            apart_from: Vec::new(),
            stickiness: 100000,
        }
    }
}

/// Another guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffinityTerm {
    /// The guest.
    pub guest: Name,
    /// Rather not run at all than against this.
    #[serde(default)]
    pub required: bool,
    /// How much it counts, when it is not required.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
}

/// What happens when a guest fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "!self.relocate || self.onCrash != 'Preserve'",
        "a guest that is preserved for a look cannot be relocated: set relocate to false, or \
         onCrash to Restart",
    ),
    (
        "!has(self.heartbeat)",
        "the agent inside a guest is not asked whether it lives: leave heartbeat out, and let \
         guestWatchdog end a guest that hangs",
    )
]))]
pub struct Recovery {
    /// When it crashes.
    pub on_crash: OnCrash,
    /// When it is switched off from inside.
    pub on_guest_power_off: OnGuestPowerOff,
    /// How often it is restarted where it is, within the window, before it is moved to another
    /// host.
    #[schemars(range(min = 0, max = 100))]
    pub max_restarts: u32,
    /// The window: older failures are forgotten.
    pub restart_window: Duration,
    /// Whether it may be moved to another host at all.
    pub relocate: bool,
    /// Within which time the end of a guest is noticed although its hypervisor tells nobody of it.
    pub detect_within: Duration,
    /// How long its agent may be silent before it counts as hung. Refused as long as agents are not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Duration>,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            on_crash: OnCrash::Restart,
            on_guest_power_off: OnGuestPowerOff::Stop,
            max_restarts: 2,
            restart_window: Duration::from("10m"),
            relocate: true,
            detect_within: Duration::from("10s"),
            heartbeat: None,
        }
    }
}

/// When a guest crashes.
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
pub enum OnCrash {
    /// It is restarted, or moved after too many times.
    #[default]
    Restart,
    /// It stays down, and is reported.
    Stop,
    /// It is kept as it is for a person to look at.
    Preserve,
}

/// When a guest is switched off from inside.
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
pub enum OnGuestPowerOff {
    /// It stays off until somebody starts it.
    #[default]
    Stop,
    /// It is started again.
    Restart,
}

/// When a guest is started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Start {
    /// Guests that are started before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["guest"]))]
    pub after: Vec<StartAfter>,
    /// How long to wait when its turn has come.
    pub delay: Duration,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            after: Vec::new(),
            delay: Duration::from("0s"),
        }
    }
}

/// A guest that is started before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartAfter {
    /// The guest.
    pub guest: Name,
    /// When it counts as started.
    #[serde(default)]
    pub until: StartedWhen,
    /// Do not start without it.
    #[serde(default)]
    pub required: bool,
    /// How long to wait after it.
    #[serde(default = "default_delay")]
    pub delay: Duration,
}

/// When a guest counts as started.
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
pub enum StartedWhen {
    /// When it runs.
    #[default]
    Running,
    /// When its agent answers.
    Ready,
}

/// How a guest is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Shutdown {
    /// How it is asked.
    pub method: ShutdownMethod,
    /// How long it may take.
    pub timeout: Duration,
    /// What happens afterwards.
    pub then: ShutdownThen,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            method: ShutdownMethod::Any,
            timeout: Duration::from("5m"),
            then: ShutdownThen::Destroy,
        }
    }
}

/// How a guest is asked to stop.
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
pub enum ShutdownMethod {
    /// By its agent when that answers, otherwise by the power button.
    #[default]
    Any,
    /// By its agent.
    Agent,
    /// By the power button.
    PowerButton,
}

/// What happens to a guest that does not stop.
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
pub enum ShutdownThen {
    /// It is switched off.
    #[default]
    Destroy,
    /// It is waited for, and reported.
    Wait,
}

/// How a guest is moved while it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Migration {
    /// Whether it may be moved while it runs: also when its host is drained or shut down.
    pub allow: bool,
    /// How long it may stand still.
    pub max_downtime: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// What happens then.
    pub on_timeout: OnMigrationTimeout,
    /// Compress its memory on the way.
    pub compress: bool,
}

impl Default for Migration {
    fn default() -> Self {
        Self {
            allow: true,
            max_downtime: Duration::from("300ms"),
            timeout: Duration::from("10m"),
            on_timeout: OnMigrationTimeout::Cancel,
            compress: false,
        }
    }
}

/// What happens when a migration takes too long.
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
pub enum OnMigrationTimeout {
    /// It stays where it is.
    #[default]
    Cancel,
    /// It stands still until all of its memory is there.
    Suspend,
}

fn default_weight() -> u32 {
    50
}

fn default_delay() -> Duration {
    Duration::from("0s")
}
