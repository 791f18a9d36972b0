use super::LinkName;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// How the cards of a bond work together. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondOptions {
    /// How they share the work.
    pub mode: BondMode,
    /// The card that is used while it works.
    pub primary: Option<LinkName>,
    /// When that one takes over again.
    pub primary_reselect: PrimaryReselect,
    /// How often links are looked at; 0 with `arp`.
    pub miimon: u32,
    /// Whether drivers are asked for the carrier.
    pub use_carrier: bool,
    /// How long a link must be up before it is used.
    pub up_delay: u32,
    /// How long it must be down before it is given up.
    pub down_delay: u32,
    /// Watch by asking addresses.
    pub arp: Option<ArpOptions>,
    /// Whose hardware address the bond has.
    pub fail_over_mac: FailOverMac,
    /// Announcements after a fail-over.
    pub gratuitous_arps: u8,
    /// What a packet's card is computed from.
    pub hash_policy: HashPolicy,
    /// How often the switch is asked, with LACP only.
    pub lacp_rate: Option<LacpRate>,
}

impl Default for BondOptions {
    fn default() -> Self {
        Self {
            mode: BondMode::ActiveBackup,
            primary: None,
            primary_reselect: PrimaryReselect::Always,
            miimon: 100,
            use_carrier: true,
            up_delay: 0,
            down_delay: 0,
            arp: None,
            fail_over_mac: FailOverMac::None,
            gratuitous_arps: 1,
            hash_policy: HashPolicy::Layer2,
            lacp_rate: None,
        }
    }
}

impl BondOptions {
    /// Whether the kernel changes one into the other only while the bond is down and empty.
    #[must_use]
    pub fn needs_rebuilding(&self, other: &Self) -> bool {
        self.mode != other.mode
            || self.fail_over_mac != other.fail_over_mac
            || self.lacp_rate != other.lacp_rate
    }
}

/// How cards are watched by asking addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArpOptions {
    /// How often.
    pub interval: u32,
    /// Whom.
    pub targets: Vec<Ipv4Addr>,
    /// Whose answers are checked.
    pub validate: ArpValidate,
}

/// How cards share the work, in the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BondMode {
    /// In turn.
    BalanceRr,
    /// One works, the others stand by.
    ActiveBackup,
    /// By a hash of the addresses.
    BalanceXor,
    /// All send everything.
    Broadcast,
    /// As agreed with the switch.
    Lacp,
    /// Sending is balanced by load.
    BalanceTlb,
    /// Both ways are balanced by load.
    BalanceAlb,
}

/// When the primary takes over again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrimaryReselect {
    /// As soon as it is up.
    Always,
    /// When it is faster.
    Better,
    /// When the one in use fails.
    Failure,
}

/// Whose answers are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArpValidate {
    /// Any traffic counts.
    None,
    /// The active card's.
    Active,
    /// Those standing by.
    Backup,
    /// All.
    All,
}

/// Whose hardware address a bond has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailOverMac {
    /// All get the same.
    None,
    /// That of the active card.
    Active,
    /// The first card's, handed over.
    Follow,
}

/// What a packet's card is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashPolicy {
    /// Hardware addresses.
    Layer2,
    /// Hardware and IP addresses.
    Layer23,
    /// IP addresses and ports.
    Layer34,
    /// Another, which we never set.
    Other,
}

/// How often the switch is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LacpRate {
    /// Every 30 seconds.
    Slow,
    /// Every second.
    Fast,
}
