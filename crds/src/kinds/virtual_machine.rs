//! A guest. Ten lines are enough; everything else has a default that suits most guests.

use super::guest_hardware::{Cpu, Disk, Display, GuestNic};
use super::guest_policy::{Migration, Placement, Recovery, Shutdown, Start};
use super::virtual_machine_status::VirtualMachineStatus;
use crate::scalar::Size;
use crate::shape::{atomic, keyed, rules};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A guest, made highly available.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "VirtualMachine",
    plural = "virtualmachines",
    derive = "PartialEq",
    doc = "A guest, made highly available.",
    shortname = "vm",
    status = "VirtualMachineStatus",
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "What it does."
    ),
    printcolumn(
        name = "Node",
        type_ = "string",
        json_path = ".status.node",
        description = "Where it runs."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether it is as it should be."
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".spec.memory",
        description = "Its memory."
    ),
    printcolumn(
        name = "CPUs",
        type_ = "integer",
        json_path = ".spec.cpus",
        description = "Its processors."
    ),
    printcolumn(
        name = "Domain",
        type_ = "string",
        json_path = ".spec.failoverDomain",
        priority = 1,
        description = "Where it prefers to run."
    ),
    printcolumn(
        name = "Restarts",
        type_ = "integer",
        json_path = ".status.restartCount",
        priority = 1,
        description = "How often it was restarted after failures, of late."
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".status.agent.addresses[0]",
        priority = 1,
        description = "An address that its agent told."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    (
        "!has(self.maxCpus) || self.maxCpus >= self.cpus",
        "maxCpus must not be smaller than cpus",
    ),
    (
        "!has(self.cpu.topology) || self.cpu.topology.sockets * self.cpu.topology.cores * \
         self.cpu.topology.threads == (has(self.maxCpus) ? self.maxCpus : self.cpus)",
        "sockets times cores times threads must be the number of processors (maxCpus, or else \
         cpus)",
    ),
    (
        "self.firmware == 'Bios' || self.hypervisor == 'Kvm' || self.hypervisor == 'Qemu'",
        "firmware Uefi and UefiSecure need the hypervisor Kvm or Qemu",
    )
]))]
pub struct VirtualMachineSpec {
    /// Whether it should run.
    #[serde(default)]
    pub desired_state: DesiredState,
    /// Whether Quorate acts on it. Otherwise it is only watched.
    #[serde(default = "default_managed")]
    pub managed: bool,
    /// Whether it is recovered when it or its host fails, and counted when room for the loss of a
    /// host is kept.
    #[serde(default = "default_protected")]
    pub protected: bool,
    /// The higher, the earlier it is recovered, and the more its host weighs in the head start.
    #[serde(default = "default_priority")]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: u32,
    /// Its memory.
    pub memory: Size,
    /// The most that it can be given while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<Size>,
    /// Its processors.
    #[serde(default = "default_cpus")]
    #[schemars(range(min = 1, max = 1024))]
    pub cpus: u32,
    /// The most that it can be given while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_cpus: Option<u32>,
    /// How its processors look, and where they run.
    #[serde(default)]
    pub cpu: Cpu,
    /// What runs it.
    #[serde(default)]
    pub hypervisor: Hypervisor,
    /// The machine type. By default the newest one that every host has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub machine: Option<String>,
    /// What it starts with.
    #[serde(default)]
    pub firmware: Firmware,
    /// Where it looks for a system, in this order.
    #[serde(default = "default_boot")]
    #[schemars(length(max = 4), transform = atomic)]
    pub boot: Vec<BootSource>,
    /// Its disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["name"]))]
    pub disks: Vec<Disk>,
    /// Its network cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = keyed(&["name"]))]
    pub nics: Vec<GuestNic>,
    /// Its screen.
    #[serde(default)]
    pub display: Display,
    /// Give it a serial console.
    #[serde(default = "default_serial_console")]
    pub serial_console: bool,
    /// What its hardware clock shows.
    #[serde(default)]
    pub clock: GuestClock,
    /// Whether the agent inside is used.
    #[serde(default)]
    pub agent: AgentUse,
    /// Give it a watchdog, and do this when it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_watchdog: Option<WatchdogAction>,
    /// Where it may run.
    #[serde(default)]
    pub placement: Placement,
    /// What happens when it fails.
    #[serde(default)]
    pub recovery: Recovery,
    /// When it is started.
    #[serde(default)]
    pub start: Start,
    /// How it is stopped.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// How it is moved while it runs.
    #[serde(default)]
    pub migration: Migration,
    /// Start it also when the other guests then no longer fit on the hosts that the loss of one
    /// leaves.
    #[serde(default)]
    pub without_reserve: bool,
    /// The libvirt domain to take over, running or not, without a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub adopt: Option<String>,
    /// A fragment of libvirt XML that is merged over the rendered one: for what this kind cannot
    /// say. Nothing checks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub raw_domain: Option<String>,
    /// How many old definitions are archived.
    #[serde(default = "default_keep_definitions")]
    #[schemars(range(min = 0, max = 1000))]
    pub keep_definitions: u32,
}

/// Whether a guest should run.
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
pub enum DesiredState {
    /// It should.
    #[default]
    Running,
    /// It should not.
    Stopped,
    /// It should stand still, in memory.
    Paused,
}

/// What runs a guest.
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
pub enum Hypervisor {
    /// The kernel's own, with hardware help.
    #[default]
    Kvm,
    /// Emulation, without hardware help.
    Qemu,
    /// Xen with full virtualisation (HVM).
    Xen,
    /// Xen with a guest that knows it.
    XenParavirtual,
}

/// What a guest starts with.
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
pub enum Firmware {
    /// A BIOS.
    #[default]
    Bios,
    /// UEFI.
    Uefi,
    /// UEFI with Secure Boot.
    UefiSecure,
}

/// Where a guest looks for a system.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum BootSource {
    /// Its disks, in their order.
    Disk,
    /// Its media.
    Cdrom,
    /// The network.
    Network,
}

/// What a guest's hardware clock shows.
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
pub enum GuestClock {
    /// UTC.
    #[default]
    Utc,
    /// The host's local time, as Windows expects.
    Localtime,
}

/// Whether the agent inside is used.
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
pub enum AgentUse {
    /// When it answers.
    #[default]
    WhenPresent,
    /// The guest counts as ready only when it answers.
    Required,
    /// Never.
    Never,
}

/// What happens when a guest's watchdog fires.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum WatchdogAction {
    /// It is reset.
    Reset,
    /// It is switched off, and recovered as after a crash.
    PowerOff,
    /// It is stopped for a person to look at.
    Pause,
}

fn default_managed() -> bool {
    true
}

fn default_protected() -> bool {
    true
}

fn default_priority() -> u32 {
    100
}

fn default_cpus() -> u32 {
    1
}

fn default_boot() -> Vec<BootSource> {
    vec![BootSource::Disk, BootSource::Cdrom, BootSource::Network]
}

fn default_serial_console() -> bool {
    true
}

fn default_keep_definitions() -> u32 {
    10
}
