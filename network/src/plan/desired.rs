use crate::model::{Address, Host, Kind, LinkName, Mark, Route};
use std::collections::{BTreeMap, BTreeSet};

/// What the interfaces that a change touches should be. All others stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// These, so.
    pub links: BTreeMap<LinkName, WantedLink>,
    /// These not at all.
    pub gone: BTreeSet<LinkName>,
    /// These routes.
    pub routes: BTreeSet<Route>,
    /// Not these routes.
    pub unwanted_routes: BTreeSet<Route>,
}

/// What one interface should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLink {
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub mark: Mark,
    /// Whether it is switched on.
    pub up: bool,
    /// Its largest packet. None: it does not matter.
    pub mtu: Option<u32>,
    /// The bond or bridge that it belongs to.
    pub master: Option<LinkName>,
    /// What the way through it costs. None: it does not matter.
    pub path_cost: Option<u32>,
    /// These addresses.
    pub addresses: Vec<Address>,
    /// Not these addresses. Others are somebody else's, and stay.
    pub unwanted: Vec<Address>,
}

impl Desired {
    /// Every interface that may be changed.
    #[must_use]
    pub fn touched(&self) -> BTreeSet<LinkName> {
        self.links.keys().chain(&self.gone).cloned().collect()
    }

    /// Of the host, what may be changed: what must be kept to be able to take it back.
    #[must_use]
    pub fn before(&self, host: &Host) -> Host {
        let touched = self.touched();
        let near = |route: &&Route| {
            touched.contains(&route.link) || self.routes.iter().any(|own| own.same_place(route))
        };
        Host {
            links: host
                .links
                .iter()
                .filter(|(name, _)| touched.contains(*name))
                .map(|(name, link)| (name.clone(), link.clone()))
                .collect(),
            routes: host.routes.iter().filter(near).cloned().collect(),
        }
    }

    /// The way back: the interfaces of `before` as they were, those that were not there gone. Of addresses, only those
    /// that were there or that `given` lists are ours to change.
    #[must_use]
    pub fn back(
        now: &Host,
        before: &Host,
        touched: &BTreeSet<LinkName>,
        given: &[Address],
    ) -> Self {
        let links = before.links.iter().map(|(name, link)| {
            let wanted = WantedLink {
                kind: link.kind.clone(),
                mark: link.mark.clone(),
                up: link.up,
                mtu: Some(link.mtu),
                master: link.master.clone(),
                path_cost: link.path_cost,
                addresses: link.addresses.clone(),
                unwanted: given
                    .iter()
                    .filter(|address| !link.addresses.contains(address))
                    .copied()
                    .collect(),
            };
            (name.clone(), wanted)
        });
        let links: BTreeMap<LinkName, WantedLink> = links.collect();
        Self {
            gone: touched
                .iter()
                .filter(|name| !links.contains_key(*name))
                .cloned()
                .collect(),
            links,
            routes: before.routes.clone(),
            unwanted_routes: now
                .routes
                .iter()
                .filter(|route| route.ours && touched.contains(&route.link))
                .filter(|route| !before.routes.contains(route))
                .cloned()
                .collect(),
        }
    }
}
