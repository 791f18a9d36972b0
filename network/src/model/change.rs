//! One request to the kernel, and what it does to a host.
//!
//! The planner uses the effects to foresee a whole plan; tests against a real kernel hold them true.

use super::{Address, BondOptions, BridgeOptions, Host, Kind, Link, LinkName, Mark, Route, Seen};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// One request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Make an interface, switched off and marked.
    Create(LinkName, Kind, Mark),
    /// Take an interface away.
    Delete(LinkName),
    /// Mark whose it is.
    Mark(LinkName, Mark),
    /// Switch it on.
    Up(LinkName),
    /// Switch it off.
    Down(LinkName),
    /// Set its largest packet.
    Mtu(LinkName, u32),
    /// Put it into a bond or bridge.
    Join(LinkName, LinkName),
    /// Take it out.
    Release(LinkName),
    /// Set those of a bond's options that can be set while it is used.
    Bond(LinkName, BondOptions),
    /// Set all options of a bond that is switched off and empty.
    Refit(LinkName, BondOptions),
    /// Set a bridge's options.
    Bridge(LinkName, BridgeOptions),
    /// Set what the way through a port costs.
    PathCost(LinkName, u32),
    /// Give it an address.
    AddAddress(LinkName, Address),
    /// Take an address away.
    RemoveAddress(LinkName, Address),
    /// Make a way through a gateway, in place of one to the same.
    SetRoute(Route),
    /// Take a way away.
    RemoveRoute(Route),
}

impl Change {
    /// The interface that is changed.
    #[must_use]
    pub fn link(&self) -> &LinkName {
        match self {
            Self::Create(link, ..)
            | Self::Delete(link)
            | Self::Mark(link, _)
            | Self::Up(link)
            | Self::Down(link)
            | Self::Mtu(link, _)
            | Self::Join(link, _)
            | Self::Release(link)
            | Self::Bond(link, _)
            | Self::Refit(link, _)
            | Self::Bridge(link, _)
            | Self::PathCost(link, _)
            | Self::AddAddress(link, _)
            | Self::RemoveAddress(link, _) => link,
            Self::SetRoute(route) | Self::RemoveRoute(route) => &route.link,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(link, Kind::Bond(options), _) => {
                write!(out, "make the bond {link} ({:?})", options.mode)
            }
            Self::Create(link, Kind::Vlan { parent, id }, _) => {
                write!(out, "make {link}, VLAN {id} on {parent}")
            }
            Self::Create(link, ..) => write!(out, "make the bridge {link}"),
            Self::Delete(link) => write!(out, "remove {link}"),
            Self::Mark(link, Mark::Network(network)) => {
                write!(out, "mark {link} as the network {network}'s")
            }
            Self::Mark(link, _) => write!(out, "take the mark off {link}"),
            Self::Up(link) => write!(out, "switch {link} on"),
            Self::Down(link) => write!(out, "switch {link} off"),
            Self::Mtu(link, mtu) => write!(out, "set the MTU of {link} to {mtu}"),
            Self::Join(link, master) => write!(out, "put {link} into {master}"),
            Self::Release(link) => write!(out, "take {link} out of what it is in"),
            Self::Bond(link, options) | Self::Refit(link, options) => {
                write!(
                    out,
                    "set the options of the bond {link} ({:?})",
                    options.mode
                )
            }
            Self::Bridge(link, _) => write!(out, "set the options of the bridge {link}"),
            Self::PathCost(link, cost) => write!(out, "set the path cost of {link} to {cost}"),
            Self::AddAddress(link, address) => write!(out, "give {link} the address {address}"),
            Self::RemoveAddress(link, address) => write!(out, "take {address} off {link}"),
            Self::SetRoute(route) => {
                write!(
                    out,
                    "route {} via {} on {}",
                    route.to, route.via, route.link
                )
            }
            Self::RemoveRoute(route) => {
                write!(out, "remove the route to {} via {}", route.to, route.via)
            }
        }
    }
}

/// The kernel refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the kernel would not {change}: {why}")]
pub struct Impossible {
    /// What.
    pub change: String,
    /// Why.
    pub why: &'static str,
}

impl Host {
    /// Does it, as the kernel would.
    ///
    /// # Errors
    /// When the kernel would refuse it; nothing is changed then.
    pub fn change(&mut self, change: &Change) -> Result<(), Impossible> {
        self.try_change(change).map_err(|why| Impossible {
            change: change.to_string(),
            why,
        })
    }

    fn link_mut(&mut self, name: &str) -> Result<&mut Link, &'static str> {
        self.links.get_mut(name).ok_or("there is no such interface")
    }

    fn try_change(&mut self, change: &Change) -> Result<(), &'static str> {
        match change {
            Change::Create(name, kind, mark) => self.create(name, kind, mark),
            Change::Delete(name) => self.delete(name),
            Change::Mark(name, mark) => {
                self.link_mut(name)?.mark = mark.clone();
                Ok(())
            }
            Change::Up(name) => self.switch_on(name),
            Change::Down(name) => self.switch_off(name),
            Change::Mtu(name, mtu) => self.set_mtu(name, *mtu),
            Change::Join(name, master) => self.join(name, master),
            Change::Release(name) => self.release(name),
            Change::Bond(name, options) => self.set_bond(name, options),
            Change::Refit(name, options) => self.refit(name, options),
            Change::Bridge(name, options) => match &mut self.link_mut(name)?.kind {
                Kind::Bridge(now) => {
                    *now = options.clone();
                    Ok(())
                }
                _ => Err("it is no bridge"),
            },
            Change::PathCost(name, cost) => {
                let link = self.link_mut(name)?;
                if link.path_cost.is_none() {
                    return Err("it is in no bridge");
                }
                link.path_cost = Some(*cost);
                Ok(())
            }
            Change::AddAddress(name, address) => {
                let link = self.link_mut(name)?;
                if !link.addresses.contains(address) {
                    link.addresses.push(*address);
                }
                Ok(())
            }
            Change::RemoveAddress(name, address) => self.remove_address(name, *address),
            Change::SetRoute(route) => {
                let link = self.links.get(&route.link).ok_or("no such interface")?;
                if !link.up {
                    return Err("the interface is switched off");
                }
                if !link.addresses.iter().any(|own| own.reaches(route.via)) {
                    return Err("the gateway is in none of the interface's subnets");
                }
                self.routes.retain(|other| !other.same_place(route));
                self.routes.insert(route.clone());
                Ok(())
            }
            Change::RemoveRoute(route) => {
                self.routes
                    .retain(|other| !other.same_place(route) || other.via != route.via);
                Ok(())
            }
        }
    }

    fn create(&mut self, name: &str, kind: &Kind, mark: &Mark) -> Result<(), &'static str> {
        if self.links.contains_key(name) {
            return Err("the name is taken");
        }
        let mtu = match kind {
            Kind::Vlan { parent, .. } => self.link_mut(parent)?.mtu,
            Kind::Bond(_) | Kind::Bridge(_) => 1500,
            Kind::Physical | Kind::Other(_) => return Err("cards are plugged in, not made"),
        };
        let link = Link {
            kind: kind.clone(),
            mark: mark.clone(),
            up: false,
            mtu,
            master: None,
            path_cost: None,
            addresses: Vec::new(),
            seen: Seen::default(),
        };
        self.links.insert(name.to_owned(), link);
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), &'static str> {
        if !self.link_mut(name)?.kind.is_made() {
            return Err("cards are plugged out, not removed");
        }
        let members: Vec<LinkName> = self.members(name).map(|(name, _)| name.clone()).collect();
        for member in members {
            self.release(&member)?;
        }
        let vlans: Vec<LinkName> = self.vlans(name).map(|(name, _)| name.clone()).collect();
        for vlan in vlans {
            self.delete(&vlan)?;
        }
        self.routes.retain(|route| route.link != name);
        self.links.remove(name);
        Ok(())
    }

    fn switch_on(&mut self, name: &str) -> Result<(), &'static str> {
        if let Kind::Vlan { parent, .. } = &self.link_mut(name)?.kind {
            let parent = parent.clone();
            if !self.link_mut(&parent)?.up {
                return Err("what it lies on is switched off");
            }
        }
        self.link_mut(name)?.up = true;
        let vlans: Vec<LinkName> = self.vlans(name).map(|(name, _)| name.clone()).collect();
        for vlan in vlans {
            self.switch_on(&vlan)?;
        }
        Ok(())
    }

    fn switch_off(&mut self, name: &str) -> Result<(), &'static str> {
        self.link_mut(name)?.up = false;
        self.routes.retain(|route| route.link != name);
        let vlans: Vec<LinkName> = self.vlans(name).map(|(name, _)| name.clone()).collect();
        for vlan in vlans {
            self.switch_off(&vlan)?;
        }
        Ok(())
    }

    fn set_mtu(&mut self, name: &str, mtu: u32) -> Result<(), &'static str> {
        let link = self.link_mut(name)?;
        if let Kind::Vlan { parent, .. } = &link.kind {
            let parent = parent.clone();
            if self.link_mut(&parent)?.mtu < mtu {
                return Err("what it lies on takes no packets of that size");
            }
        }
        let is_bond = matches!(self.link_mut(name)?.kind, Kind::Bond(_));
        self.link_mut(name)?.mtu = mtu;
        for link in self.links.values_mut() {
            let member = is_bond && link.master.as_deref() == Some(name);
            let vlan = matches!(&link.kind, Kind::Vlan { parent, .. } if parent == name);
            if member || (vlan && link.mtu > mtu) {
                link.mtu = mtu;
            }
        }
        Ok(())
    }

    fn join(&mut self, name: &str, master: &str) -> Result<(), &'static str> {
        let over = self.link_mut(master)?;
        let (kind, mtu) = (over.kind.clone(), over.mtu);
        let link = self.link_mut(name)?;
        if link.master.is_some() {
            return Err("it is in another already");
        }
        match kind {
            Kind::Bond(_) if link.up => return Err("it is switched on"),
            Kind::Bond(_) => {
                link.up = true;
                link.mtu = mtu;
            }
            Kind::Bridge(_) => link.path_cost = Some(100),
            Kind::Physical | Kind::Vlan { .. } | Kind::Other(_) => {
                return Err("that is neither a bond nor a bridge");
            }
        }
        link.master = Some(master.to_owned());
        Ok(())
    }

    fn release(&mut self, name: &str) -> Result<(), &'static str> {
        let Some(master) = self.link_mut(name)?.master.take() else {
            return Ok(());
        };
        let from_bond = self
            .links
            .get(&master)
            .is_some_and(|master| matches!(master.kind, Kind::Bond(_)));
        self.link_mut(name)?.path_cost = None;
        if from_bond {
            self.switch_off(name)?;
        }
        Ok(())
    }

    fn set_bond(&mut self, name: &str, options: &BondOptions) -> Result<(), &'static str> {
        match &mut self.link_mut(name)?.kind {
            Kind::Bond(now) if now.needs_rebuilding(options) => Err("it is in use"),
            Kind::Bond(now) => {
                *now = options.clone();
                Ok(())
            }
            _ => Err("it is no bond"),
        }
    }

    fn refit(&mut self, name: &str, options: &BondOptions) -> Result<(), &'static str> {
        let empty = self.members(name).next().is_none();
        let link = self.link_mut(name)?;
        match &mut link.kind {
            Kind::Bond(_) if link.up || !empty => Err("it is in use"),
            Kind::Bond(now) => {
                *now = options.clone();
                Ok(())
            }
            _ => Err("it is no bond"),
        }
    }

    fn remove_address(&mut self, name: &str, address: Address) -> Result<(), &'static str> {
        let link = self.link_mut(name)?;
        let Some(place) = link.addresses.iter().position(|own| *own == address) else {
            return Ok(());
        };
        let first = !link.addresses[..place]
            .iter()
            .any(|own| own.same_subnet(&address));
        link.addresses.remove(place);
        // With the first of a subnet go the others of it, as long as nobody tells the kernel to promote them.
        if first && address.ip.is_ipv4() {
            link.addresses.retain(|own| !own.same_subnet(&address));
        }
        let left = link.addresses.clone();
        self.routes
            .retain(|route| route.link != name || left.iter().any(|own| own.reaches(route.via)));
        Ok(())
    }
}
