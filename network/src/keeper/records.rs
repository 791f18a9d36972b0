use crate::firewall::{Table, Target};
use crate::model::{Address, Host, LinkName};
use crate::wanted::Wanted;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is remembered of a host's networks, across boots. It is one file, replaced as a whole: every change of it is
/// there or is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Records {
    /// The boot under which it was last written.
    pub boot: String,
    /// What was kept: brought up at boot.
    pub kept: BTreeMap<String, Wanted>,
    /// The change that is on trial.
    pub trial: Option<Trial>,
    /// What was taken back, and is not tried again as it stands.
    pub rejected: BTreeMap<String, Rejected>,
}

impl Records {
    /// The networks as they are to be at present: what was kept, and in its place what is on trial.
    pub fn present(&self) -> impl Iterator<Item = &Wanted> {
        let trial = self.trial.iter().filter(|trial| trial.taken_back.is_none());
        let name = trial.clone().map(|trial| trial.network.clone()).next();
        let tried = trial.filter(|trial| !trial.gone);
        let tried: Vec<&Wanted> = tried.map(|trial| &trial.wanted).collect();
        let kept = self.kept.values();
        let kept = kept.filter(move |wanted| Some(&wanted.network) != name.as_ref());
        let mut all: Vec<&Wanted> = kept.chain(tried).collect();
        all.sort_by(|a, b| a.network.cmp(&b.network));
        all.into_iter()
    }

    /// The firewall for the networks as they are to be at present.
    #[must_use]
    pub fn firewall(&self, host: &Host) -> Table {
        let targets: Vec<Target<'_>> = self
            .present()
            .filter_map(|wanted| {
                Some(Target {
                    network: &wanted.network,
                    device: wanted.device(host)?,
                    addresses: &wanted.addresses,
                    guard: wanted.guard.as_ref()?,
                })
            })
            .collect();
        Table::of(&targets)
    }

    /// The addresses that this network was ever given: ours to take away.
    #[must_use]
    pub fn given(&self, network: &str) -> Vec<Address> {
        let trial = self.trial.iter().filter(|trial| trial.network == network);
        let kept = self.kept.get(network).into_iter();
        trial
            .flat_map(|trial| &trial.given)
            .chain(kept.flat_map(|kept| &kept.addresses))
            .copied()
            .collect()
    }
}

/// A change on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Of this network.
    pub network: String,
    /// What it is to be, or was, when it is to be gone.
    pub wanted: Wanted,
    /// Whether it is to be gone.
    #[serde(default)]
    pub gone: bool,
    /// How the touched interfaces were.
    pub before: Host,
    /// The touched interfaces, also those that were not there.
    pub touched: BTreeSet<LinkName>,
    /// The addresses that may be taken away again.
    pub given: Vec<Address>,
    /// Until when it must be kept, in milliseconds since the boot.
    pub until: u64,
    /// How long that was from the beginning.
    pub patience: u64,
    /// Why it is being taken back, once it is.
    pub taken_back: Option<String>,
}

impl Trial {
    /// A change over one that was not kept: what is gone back to is how it was before both.
    pub(super) fn goes_on_from(&mut self, former: Trial) {
        let earlier = former.touched;
        self.before.links.retain(|name, _| !earlier.contains(name));
        self.before.links.extend(former.before.links);
        self.before
            .routes
            .retain(|route| !earlier.contains(&route.link));
        self.before.routes.extend(former.before.routes);
        self.touched.extend(earlier);
        self.given.extend(former.given);
    }
}

/// What was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// What was tried.
    pub wanted: Wanted,
    /// Why it was taken back.
    pub why: String,
    /// What was tried is to take it away.
    #[serde(default)]
    pub gone: bool,
}
