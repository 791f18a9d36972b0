//! The interfaces of a host, as far as networks are made of them.

mod address;
mod bond;
mod bridge;
mod change;
mod link;

pub use address::{Address, Route};
pub use bond::{
    ArpOptions, ArpValidate, BondMode, BondOptions, FailOverMac, HashPolicy, LacpRate,
    PrimaryReselect,
};
pub use bridge::BridgeOptions;
pub use change::{Change, Impossible};
pub use link::{Kind, Link, LinkName, Mark, Seen};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Every interface of a host, and the routes that lead out over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The interfaces by name.
    pub links: BTreeMap<LinkName, Link>,
    /// Routes of the main table with a gateway.
    pub routes: BTreeSet<Route>,
}

impl Host {
    /// The interfaces directly below that one as members of a bond or ports of a bridge.
    pub fn members<'a>(
        &'a self,
        master: &'a str,
    ) -> impl Iterator<Item = (&'a LinkName, &'a Link)> {
        self.links
            .iter()
            .filter(move |(_, link)| link.master.as_deref() == Some(master))
    }

    /// The VLANs on that interface.
    pub fn vlans<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a LinkName, &'a Link)> {
        self.links.iter().filter(
            move |(_, link)| matches!(&link.kind, Kind::Vlan { parent: below, .. } if below == parent),
        )
    }

    /// The interfaces that are marked as this network's.
    pub fn of<'a>(&'a self, network: &'a str) -> impl Iterator<Item = (&'a LinkName, &'a Link)> {
        self.links
            .iter()
            .filter(move |(_, link)| link.mark.network() == Some(network))
    }
}
