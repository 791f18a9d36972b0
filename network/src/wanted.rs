//! One network on one host, as it is wanted: what is remembered on disk, and becomes interfaces here.

use crate::firewall::Guard;
use crate::model::{Address, BondOptions, BridgeOptions, Host, Kind, Link, LinkName, Mark, Route};
use crate::plan::{Desired, Refusal, Step, WantedLink, steps};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One network on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its name.
    pub network: String,
    /// The cards that carry it.
    pub cards: Vec<Card>,
    /// The network whose bond or card it shares.
    pub parent: Option<String>,
    /// The bond: its name and options; `primary` is a card's name there.
    pub bond: Option<(LinkName, BondOptions)>,
    /// The VLAN: its name and number.
    pub vlan: Option<(LinkName, u16)>,
    /// The bridge: its name, options, and the cost of the way through what lies below.
    pub bridge: Option<(LinkName, BridgeOptions, u32)>,
    /// The largest packet.
    pub mtu: u32,
    /// The addresses of the topmost interface.
    pub addresses: Vec<Address>,
    /// The way out.
    pub gateway: Option<IpAddr>,
    /// What is open on it; none: this host's firewall does not speak of it.
    #[serde(default)]
    pub guard: Option<Guard>,
    /// How long a change of it may stay without having been kept, in milliseconds.
    pub rollback_after: u64,
}

/// How a card is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// What manifests call it.
    pub name: String,
    /// By its hardware address.
    pub mac: Option<String>,
    /// By where it is plugged in.
    pub path: Option<String>,
    /// By the kernel's name.
    pub device: Option<LinkName>,
}

/// What a network comes to on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The interfaces.
    pub desired: Desired,
    /// Cards that it goes on without for now, and why.
    pub without: Vec<(String, String)>,
}

impl Card {
    /// The interface that it is.
    #[must_use]
    pub fn find<'h>(&self, host: &'h Host) -> Option<&'h LinkName> {
        let is = |name: &LinkName, link: &Link| {
            let mac = link.seen.mac.as_deref();
            let by_mac = self
                .mac
                .as_deref()
                .is_none_or(|own| mac.is_some_and(|mac| mac.eq_ignore_ascii_case(own)));
            let by_path = self.path.is_none() || self.path == link.seen.path;
            let by_name = self.device.as_ref().is_none_or(|own| own == name);
            let by_any = self.mac.is_some() || self.path.is_some() || self.device.is_some();
            by_any && by_mac && by_path && by_name && !link.kind.is_made()
        };
        host.links
            .iter()
            .find(|(name, link)| is(name, link))
            .map(|(name, _)| name)
    }
}

impl Card {
    /// Its name, and how it is looked for.
    fn words(&self) -> String {
        let by = [&self.mac, &self.path, &self.device];
        let by: Vec<&str> = by.into_iter().filter_map(Option::as_deref).collect();
        match by.as_slice() {
            [] => self.name.clone(),
            by => format!("{} ({})", self.name, by.join(", ")),
        }
    }
}

/// The cards that a host has, as manifests name them.
fn there(host: &Host) -> String {
    /// Of a host with very many the first are enough to see what is meant.
    const MOST: usize = 16;
    let cards = host.links.iter().filter(|(_, link)| {
        // What guests and programs make has no place, and most of it no name that stays.
        matches!(link.kind, Kind::Physical) && link.seen.mac.is_some()
    });
    let words: Vec<String> = cards
        .take(MOST)
        .map(|(name, link)| {
            let known = [&link.seen.mac, &link.seen.path];
            let known: Vec<&str> = known.into_iter().filter_map(Option::as_deref).collect();
            format!("{name} ({})", known.join(", "))
        })
        .collect();
    match words.as_slice() {
        [] => "none".to_owned(),
        words => words.join(", "),
    }
}

impl Wanted {
    /// The topmost interface, where that does not depend on what the host has.
    #[must_use]
    pub fn top(&self) -> Option<&LinkName> {
        let bridge = self.bridge.as_ref().map(|(name, ..)| name);
        let vlan = self.vlan.as_ref().map(|(name, _)| name);
        let bond = self.bond.as_ref().map(|(name, _)| name);
        bridge.or(vlan).or(bond)
    }

    /// The interface that has its addresses on that host.
    #[must_use]
    pub fn device<'h>(&'h self, host: &'h Host) -> Option<&'h LinkName> {
        let card = || self.cards.first().and_then(|card| card.find(host));
        self.top().or_else(card)
    }

    /// What it comes to on that host. `former` are this network's addresses so far: those are ours to take away.
    ///
    /// # Errors
    /// When it cannot be so there, or not yet.
    pub fn layout(&self, host: &Host, former: &[Address]) -> Result<Layout, Refusal> {
        if let Some(gateway) = self.gateway
            && !self.addresses.iter().any(|own| own.reaches(gateway))
        {
            return Err(Refusal::NotSupported(format!(
                "the gateway {gateway} is in the subnet of none of the host's addresses on it: correct one of them"
            )));
        }
        let mut without = Vec::new();
        let cards = self.cards_of(host, &mut without)?;
        let base = self.base(host)?;
        let mut stack = Stack {
            wanted: self,
            desired: Desired::default(),
            top: None,
        };
        stack.cards(host, &cards);
        if let Some((name, options)) = &self.bond {
            stack.bond(host, name, options, &cards);
        }
        if let Some((name, id)) = &self.vlan {
            let Some(parent) = base.or_else(|| stack.top.clone()) else {
                return Err(self.nothing_below());
            };
            stack.put(name, Kind::Vlan { parent, id: *id });
        } else if base.is_some() {
            return Err(Refusal::NotSupported(format!(
                "{} shares the cards of another network and has no VLAN of its own: set spec.vlan",
                self.network
            )));
        }
        if let Some((name, options, cost)) = &self.bridge {
            stack.bridge(name, options, *cost);
        }
        let Some(top) = stack.top.clone() else {
            return Err(self.nothing_below());
        };
        let mut desired = stack.desired;
        if let Some(link) = desired.links.get_mut(&top) {
            link.addresses.clone_from(&self.addresses);
        }
        desired.gone = self.gone(host, &mut desired);
        let managed: BTreeSet<Address> = former.iter().chain(&self.addresses).copied().collect();
        for link in desired.links.values_mut() {
            let own = link.addresses.clone();
            link.unwanted = managed
                .iter()
                .filter(|address| !own.contains(address))
                .copied()
                .collect();
        }
        self.routes(host, &top, &mut desired)?;
        self.check(host, &desired)?;
        Ok(Layout { desired, without })
    }

    /// What is left when the network goes.
    ///
    /// # Errors
    /// When something that is not ours is on it.
    pub fn removal(network: &str, host: &Host, former: &[Address]) -> Result<Desired, Refusal> {
        let mut desired = Desired::default();
        let wanted = Self::nothing(network);
        desired.gone = wanted.gone(host, &mut desired);
        for link in desired.links.values_mut() {
            link.unwanted = former.to_vec();
        }
        desired.unwanted_routes = ours_on(host, &desired);
        wanted.check(host, &desired)?;
        Ok(desired)
    }

    fn nothing(network: &str) -> Self {
        Self {
            network: network.to_owned(),
            cards: Vec::new(),
            parent: None,
            bond: None,
            vlan: None,
            bridge: None,
            mtu: 1500,
            addresses: Vec::new(),
            gateway: None,
            guard: None,
            rollback_after: 0,
        }
    }

    fn nothing_below(&self) -> Refusal {
        Refusal::NotSupported(format!(
            "{} has neither cards nor a parent nor a bridge: give it one in the manifest",
            self.network
        ))
    }

    fn cards_of(
        &self,
        host: &Host,
        without: &mut Vec<(String, String)>,
    ) -> Result<Vec<(&Card, LinkName)>, Refusal> {
        let mut cards = Vec::new();
        let mut waits = false;
        for card in &self.cards {
            let Some(name) = card.find(host) else {
                without.push((card.name.clone(), "it is not plugged in".to_owned()));
                continue;
            };
            match self.holder(host, name) {
                Some(other) => {
                    waits = true;
                    without.push((
                        card.name.clone(),
                        format!("the network {other} still has it"),
                    ));
                }
                None => cards.push((card, name.clone())),
            }
        }
        if self.cards.is_empty() || !cards.is_empty() {
            return Ok(cards);
        }
        let words: Vec<String> = without
            .iter()
            .map(|(card, why)| format!("{card}: {why}"))
            .collect();
        if waits {
            return Err(Refusal::Waits(words.join(", ")));
        }
        let names: Vec<String> = self.cards.iter().map(Card::words).collect();
        Err(Refusal::NoCard {
            wanted: names.join(" or "),
            there: there(host),
        })
    }

    /// Which other network has a card.
    fn holder<'h>(&self, host: &'h Host, card: &str) -> Option<&'h str> {
        let link = host.links.get(card)?;
        let master = link
            .master
            .as_ref()
            .and_then(|master| host.links.get(master));
        let marks = [Some(&link.mark), master.map(|master| &master.mark)];
        marks
            .into_iter()
            .flatten()
            .filter_map(Mark::network)
            .find(|holder| *holder != self.network)
    }

    /// The bond or card of the network below.
    fn base(&self, host: &Host) -> Result<Option<LinkName>, Refusal> {
        let Some(parent) = &self.parent else {
            return Ok(None);
        };
        let bond = host
            .of(parent)
            .find(|(_, link)| matches!(link.kind, Kind::Bond(_)));
        let card = || host.of(parent).find(|(_, link)| !link.kind.is_made());
        let Some((name, link)) = bond.or_else(card) else {
            return Err(Refusal::Waits(format!(
                "the network {parent} is not made yet"
            )));
        };
        if link.mtu < self.mtu {
            return Err(Refusal::Waits(format!(
                "{parent} takes packets of {} bytes at most, and {} wants {}: raise the MTU of {parent}",
                link.mtu, self.network, self.mtu
            )));
        }
        if !link.up {
            return Err(Refusal::Waits(format!(
                "the network {parent} is not up yet"
            )));
        }
        Ok(Some(name.clone()))
    }

    /// What is marked as this network's and has no place in it any more. Cards are let go.
    fn gone(&self, host: &Host, desired: &mut Desired) -> BTreeSet<LinkName> {
        let mut gone = BTreeSet::new();
        for (name, link) in host.of(&self.network) {
            if desired.links.contains_key(name) {
                continue;
            }
            if link.kind.is_made() {
                gone.insert(name.clone());
                continue;
            }
            let let_go = WantedLink {
                kind: link.kind.clone(),
                mark: Mark::None,
                up: false,
                mtu: None,
                master: None,
                path_cost: None,
                addresses: Vec::new(),
                unwanted: Vec::new(),
            };
            desired.links.insert(name.clone(), let_go);
        }
        gone
    }

    fn routes(&self, host: &Host, top: &str, desired: &mut Desired) -> Result<(), Refusal> {
        let mut unwanted = ours_on(host, desired);
        if let Some(via) = self.gateway {
            let nowhere = match via {
                IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            };
            let route = Route {
                to: Address {
                    ip: nowhere,
                    prefix: 0,
                },
                via,
                link: top.to_owned(),
                metric: 0,
                ours: true,
            };
            let taken = |other: &&Route| {
                let same = other.via == via && other.link == top;
                other.same_place(&route) && !other.ours && !same
            };
            if let Some(other) = host.routes.iter().find(taken) {
                return Err(Refusal::RouteTaken {
                    link: other.link.clone(),
                });
            }
            unwanted.retain(|other| !other.same_place(&route));
            desired.routes.insert(route);
        }
        desired.unwanted_routes = unwanted;
        Ok(())
    }

    /// Whether only what is ours, or free, or the same already would be changed.
    fn check(&self, host: &Host, desired: &Desired) -> Result<(), Refusal> {
        for (name, link) in &host.links {
            let others = |(other, on_it): &(&LinkName, &Link)| {
                !desired.gone.contains(*other)
                    && !desired.links.contains_key(*other)
                    && on_it.mark.network() != Some(&self.network)
            };
            let wanted = desired.links.get(name);
            let goes = desired.gone.contains(name)
                || wanted.is_some_and(|wanted| replaced(&link.kind, &wanted.kind));
            // A VLAN on a card that goes into a bond hears nothing any more.
            let covered = wanted.is_some_and(|wanted| {
                let into = wanted
                    .master
                    .as_ref()
                    .filter(|_| wanted.master != link.master);
                let master = into.and_then(|master| desired.links.get(master));
                !wanted.up || master.is_some_and(|it| matches!(it.kind, Kind::Bond(_)))
            });
            let mtu = wanted.and_then(|wanted| wanted.mtu).unwrap_or(u32::MAX);
            let mut larger = host.vlans(name).filter(others);
            if let Some((by, _)) = larger.find(|(_, vlan)| vlan.mtu > mtu) {
                return Err(Refusal::Waits(format!(
                    "{by} lies on {name} and takes larger packets than {mtu} bytes: lower its network's MTU first"
                )));
            }
            let ports = host.members(name).find(|on_it| goes && others(on_it));
            let vlans = host
                .vlans(name)
                .find(|on_it| (goes || covered) && others(on_it));
            if let Some((by, _)) = ports.or(vlans) {
                return Err(Refusal::InUse {
                    link: name.clone(),
                    by: by.clone(),
                });
            }
        }
        for (name, link) in &host.links {
            let ours =
                link.mark.network() == Some(&self.network) || desired.links.contains_key(name);
            let taken = |address: &&Address| self.addresses.contains(address);
            if let (false, Some(address)) = (ours, link.addresses.iter().find(taken)) {
                return Err(Refusal::AddressTaken {
                    address: *address,
                    link: name.clone(),
                });
            }
        }
        let used: BTreeSet<&LinkName> = desired
            .links
            .keys()
            .filter(|name| self.is_foreign(host, name))
            .collect();
        if used.is_empty() {
            return Ok(());
        }
        let foreseen = steps(host, desired)
            .map_err(|impossible| Refusal::NotSupported(impossible.to_string()))?;
        match first_touched(&foreseen, &used) {
            Some(link) => Err(Refusal::Foreign {
                link,
                steps: foreseen,
            }),
            None => Ok(()),
        }
    }

    /// Whether somebody else uses it.
    fn is_foreign(&self, host: &Host, name: &LinkName) -> bool {
        let Some(link) = host.links.get(name) else {
            return false;
        };
        if link.mark.network() == Some(&self.network) {
            return false;
        }
        let somebodys = |(_, vlan): (&LinkName, &Link)| vlan.mark.network() != Some(&self.network);
        let in_use = link.master.is_some()
            || !link.addresses.is_empty()
            || host.vlans(name).any(somebodys)
            || host.routes.iter().any(|route| route.link == *name);
        let is_tool = link.kind.is_made() || matches!(link.mark, Mark::Foreign(_));
        is_tool || in_use
    }
}

/// Whether an interface has to be made anew to become the other.
fn replaced(now: &Kind, wanted: &Kind) -> bool {
    match (now, wanted) {
        (Kind::Vlan { .. }, Kind::Vlan { .. }) => now != wanted,
        _ => now.is_made() && std::mem::discriminant(now) != std::mem::discriminant(wanted),
    }
}

/// The first interface of those that is changed in more than its mark.
fn first_touched(steps: &[Step], used: &BTreeSet<&LinkName>) -> Option<LinkName> {
    steps
        .iter()
        .flat_map(|step| &step.changes)
        .filter(|change| !matches!(change, crate::model::Change::Mark(..)))
        .map(crate::model::Change::link)
        .find(|link| used.contains(link))
        .cloned()
}

fn ours_on(host: &Host, desired: &Desired) -> BTreeSet<Route> {
    let touched = desired.touched();
    host.routes
        .iter()
        .filter(|route| route.ours && touched.contains(&route.link))
        .cloned()
        .collect()
}

/// The interfaces of a network, from below.
struct Stack<'w> {
    wanted: &'w Wanted,
    desired: Desired,
    top: Option<LinkName>,
}

impl Stack<'_> {
    fn put(&mut self, name: &str, kind: Kind) {
        let link = WantedLink {
            kind,
            mark: Mark::Network(self.wanted.network.clone()),
            up: true,
            mtu: Some(self.wanted.mtu),
            master: None,
            path_cost: None,
            addresses: Vec::new(),
            unwanted: Vec::new(),
        };
        self.desired.links.insert(name.to_owned(), link);
        self.top = Some(name.to_owned());
    }

    fn cards(&mut self, host: &Host, cards: &[(&Card, LinkName)]) {
        for (_, name) in cards {
            if let Some(link) = host.links.get(name) {
                self.put(name, link.kind.clone());
            }
        }
    }

    fn bond(
        &mut self,
        host: &Host,
        name: &str,
        options: &BondOptions,
        cards: &[(&Card, LinkName)],
    ) {
        for (_, card) in cards {
            if let Some(link) = self.desired.links.get_mut(card) {
                link.master = Some(name.to_owned());
                // A bond sets its members' MTU.
                link.mtu = None;
            }
        }
        let primary = options.primary.as_ref().and_then(|primary| {
            let plugged = self.wanted.cards.iter().find(|card| card.name == *primary);
            plugged.and_then(|card| card.find(host)).cloned()
        });
        let options = BondOptions {
            primary,
            ..options.clone()
        };
        self.put(name, Kind::Bond(options));
    }

    fn bridge(&mut self, name: &str, options: &BridgeOptions, cost: u32) {
        if let Some(below) = self.top.take()
            && let Some(link) = self.desired.links.get_mut(&below)
        {
            link.master = Some(name.to_owned());
            // Without STP nobody asks for it.
            link.path_cost = options.stp.then_some(cost);
        }
        self.put(name, Kind::Bridge(options.clone()));
    }
}
