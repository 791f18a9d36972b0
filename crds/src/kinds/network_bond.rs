//! How several network cards work as one, with every option that the kernel's driver has.

use crate::scalar::{Duration, IpAddress, Label};
use crate::shape::{rules, set};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How several cards work as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "self.mode == 'ActiveBackup' || !has(self.primary)",
        "bond.primary is for the mode ActiveBackup only",
    ),
    (
        "!has(self.arp) || self.mode in ['ActiveBackup', 'BalanceRr', 'BalanceXor', 'Broadcast']",
        "bond.arp works with the modes ActiveBackup, BalanceRr, BalanceXor and Broadcast only",
    ),
    ("self.mode == 'Lacp' || !has(self.lacpRate)", "bond.lacpRate is for the mode Lacp only")
]))]
pub struct Bond {
    /// The kernel's name for it, as where the host has it already. By default `bond-NETWORK`, shortened where it must
    /// be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 15),
        regex(pattern = r"^[a-zA-Z][-a-zA-Z0-9_.]*$")
    )]
    pub name: Option<String>,
    /// How the cards share the work.
    pub mode: BondMode,
    /// The card that is used while it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Label>,
    /// When the primary takes over again.
    pub primary_reselect: PrimaryReselect,
    /// How often the links are looked at (`miimon`).
    pub link_check: Duration,
    /// Ask the driver for the carrier rather than the card's registers.
    pub use_carrier: bool,
    /// How long a link must be up again before it is used, so that a switch that is still starting
    /// does not take the traffic.
    pub up_delay: Duration,
    /// How long a link must be down before it is given up.
    pub down_delay: Duration,
    /// Watch by asking addresses, in place of watching links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arp: Option<ArpMonitor>,
    /// Whose hardware address the bond has.
    pub fail_over_mac: FailOverMac,
    /// How many announcements follow a fail-over (`num_grat_arp`).
    #[schemars(range(min = 0, max = 255))]
    pub gratuitous_arps: u32,
    /// What decides which card a packet takes, in modes that balance by it.
    pub hash_policy: HashPolicy,
    /// How often the switch is asked, in mode Lacp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacp_rate: Option<LacpRate>,
}

impl Default for Bond {
    fn default() -> Self {
        Self {
            name: None,
            mode: BondMode::ActiveBackup,
            primary: None,
            primary_reselect: PrimaryReselect::Always,
            link_check: Duration::from("100ms"),
            use_carrier: true,
            up_delay: Duration::from("2m"),
            down_delay: Duration::from("0s"),
            arp: None,
            fail_over_mac: FailOverMac::None,
            gratuitous_arps: 1,
            hash_policy: HashPolicy::Layer2,
            lacp_rate: None,
        }
    }
}

/// How cards share the work.
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
pub enum BondMode {
    /// One works, the others stand by.
    #[default]
    ActiveBackup,
    /// In turn.
    BalanceRr,
    /// By a hash of the addresses.
    BalanceXor,
    /// All send everything.
    Broadcast,
    /// As agreed with the switch (802.3ad).
    Lacp,
    /// Sending is balanced by load.
    BalanceTlb,
    /// Sending and receiving are balanced by load.
    BalanceAlb,
}

/// When the primary takes over again.
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
pub enum PrimaryReselect {
    /// As soon as it is up again.
    #[default]
    Always,
    /// When it is faster than the one in use.
    Better,
    /// When the one in use fails.
    Failure,
}

/// Watch the links by asking addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ArpMonitor {
    /// How often.
    pub interval: Duration,
    /// Whom.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = set)]
    pub targets: Vec<IpAddress>,
    /// Whose answers are checked.
    pub validate: ArpValidate,
}

impl Default for ArpMonitor {
    fn default() -> Self {
        Self {
            interval: Duration::from("100ms"),
            targets: Vec::new(),
            validate: ArpValidate::None,
        }
    }
}

/// Whose answers are checked.
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
pub enum ArpValidate {
    /// Any traffic counts.
    #[default]
    None,
    /// The active card's.
    Active,
    /// The standing by cards'.
    Backup,
    /// All cards'.
    All,
}

/// Whose hardware address a bond has.
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
pub enum FailOverMac {
    /// All cards get the same.
    #[default]
    None,
    /// Always that of the active card.
    Active,
    /// The first card's, handed over in a fail-over.
    Follow,
}

/// What a packet's card is computed from.
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
pub enum HashPolicy {
    /// Hardware addresses.
    #[default]
    Layer2,
    /// Hardware and IP addresses.
    #[serde(rename = "Layer2+3")]
    Layer23,
    /// IP addresses and ports.
    #[serde(rename = "Layer3+4")]
    Layer34,
}

/// How often the switch is asked.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum LacpRate {
    /// Every 30 seconds.
    Slow,
    /// Every second.
    Fast,
}
