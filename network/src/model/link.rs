use super::{Address, BondOptions, BridgeOptions};
use serde::{Deserialize, Serialize};

/// The kernel's name of an interface.
pub type LinkName = String;

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub mark: Mark,
    /// Whether it is switched on.
    pub up: bool,
    /// The largest packet.
    pub mtu: u32,
    /// The bond or bridge that it belongs to.
    pub master: Option<LinkName>,
    /// What the way through it costs, as a port of a bridge with STP.
    pub path_cost: Option<u32>,
    /// Its addresses in the kernel's order, without those that the kernel gives it by itself.
    pub addresses: Vec<Address>,
    /// What cannot be configured.
    pub seen: Seen,
}

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A card.
    Physical,
    /// Several cards that work as one.
    Bond(BondOptions),
    /// What is tagged with that number on another interface.
    Vlan {
        /// The other interface.
        parent: LinkName,
        /// The number.
        id: u16,
    },
    /// A switch in the kernel.
    Bridge(BridgeOptions),
    /// Something that networks are not made of: a guest's TAP, a tunnel, the loopback.
    Other(String),
}

impl Kind {
    /// Whether it is made by a request, and not plugged in.
    #[must_use]
    pub fn is_made(&self) -> bool {
        matches!(self, Self::Bond(_) | Self::Vlan { .. } | Self::Bridge(_))
    }
}

/// Whose an interface is. The kernel keeps it as the interface's alias, `quorate:NAME`, where `ip link` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mark {
    /// It has no alias.
    #[default]
    None,
    /// It belongs to that network.
    Network(String),
    /// Somebody else wrote something there.
    Foreign(String),
}

const PREFIX: &str = "quorate:";

impl Mark {
    /// The network, if it is one's.
    #[must_use]
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Network(name) => Some(name),
            Self::None | Self::Foreign(_) => None,
        }
    }

    /// As the kernel has it.
    #[must_use]
    pub fn from_alias(alias: &str) -> Self {
        match alias.strip_prefix(PREFIX) {
            _ if alias.is_empty() => Self::None,
            Some(name) if !name.is_empty() => Self::Network(name.to_owned()),
            _ => Self::Foreign(alias.to_owned()),
        }
    }

    /// As the kernel has it.
    #[must_use]
    pub fn to_alias(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Network(name) => format!("{PREFIX}{name}"),
            Self::Foreign(alias) => alias.clone(),
        }
    }
}

/// What of an interface cannot be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Whether there is a signal.
    pub carrier: bool,
    /// The hardware address that it was built with, or else the present one: `52:54:00:00:00:01`.
    pub mac: Option<String>,
    /// The hardware address that it has at present.
    #[serde(default)]
    pub answers: Option<String>,
    /// How often it lost its signal since it was made.
    #[serde(default)]
    pub downs: Option<u32>,
    /// Where it is plugged in: `pci-0000:03:00.0`.
    pub path: Option<String>,
    /// The card that a bond uses at present.
    pub active: Option<LinkName>,
    /// How often it went down as a member of its bond.
    pub failures: Option<u32>,
    /// Whether its bond takes it for usable.
    pub usable: Option<bool>,
    /// What a card runs at, in Mbit/s.
    #[serde(default)]
    pub speed: Option<u32>,
    /// Whether only one side of it can speak at a time.
    #[serde(default)]
    pub half_duplex: Option<bool>,
    /// How many packets went through it since it was made.
    #[serde(default)]
    pub packets: Option<u64>,
    /// How many more were damaged.
    #[serde(default)]
    pub errors: Option<u64>,
    /// Its addresses that another machine had first, as the kernel has found for IPv6: they do not work.
    #[serde(default)]
    pub doubled: Vec<Address>,
}

#[cfg(test)]
mod tests {
    use super::Mark;

    #[test]
    fn a_mark_is_an_alias() {
        for alias in ["", "quorate:bcn", "uplink to the left switch", "quorate:"] {
            assert_eq!(Mark::from_alias(alias).to_alias(), alias);
        }
        assert_eq!(Mark::from_alias("quorate:bcn").network(), Some("bcn"));
        assert_eq!(Mark::from_alias("quorate:").network(), None);
    }
}
