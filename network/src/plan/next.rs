//! The next step.

use super::{Desired, Step, WantedLink};
use crate::model::{Address, Change, Host, Impossible, Kind, Link, LinkName, Mark, Route};
use std::collections::BTreeSet;

/// More steps than any plan has: a host that does not come to rest by then never will.
const MOST: usize = 200;

/// All steps that are foreseen.
///
/// # Errors
/// When one of them is foreseen to be refused by the kernel.
pub fn steps(host: &Host, desired: &Desired) -> Result<Vec<Step>, Impossible> {
    let mut host = host.clone();
    let mut steps = Vec::new();
    while let Some(step) = next(&host, desired) {
        for change in &step.changes {
            host.change(change)?;
        }
        steps.push(step);
        if steps.len() > MOST {
            return Err(Impossible {
                change: "come to rest".to_owned(),
                why: "the steps undo each other",
            });
        }
    }
    Ok(steps)
}

/// The next step, or none when the host is as it should be.
#[must_use]
pub fn next(host: &Host, desired: &Desired) -> Option<Step> {
    let case = Case { host, desired };
    let changes = case
        .prepare()
        .or_else(|| case.switch())
        .or_else(|| case.tidy())?;
    Some(Step { changes })
}

struct Case<'a> {
    host: &'a Host,
    desired: &'a Desired,
}

impl<'a> Case<'a> {
    /// Wanted interfaces, what lies below before what lies on it.
    fn upwards(&self) -> Vec<(&'a LinkName, &'a WantedLink)> {
        let mut links: Vec<_> = self.desired.links.iter().collect();
        links.sort_by_key(|(name, _)| self.height(name, MOST));
        links
    }

    fn height(&self, name: &str, patience: usize) -> usize {
        let below = self.desired.links.iter().filter(|(other, link)| {
            link.master.as_deref() == Some(name)
                || matches!(self.desired.links.get(name).map(|own| &own.kind),
                    Some(Kind::Vlan { parent, .. }) if parent == *other)
        });
        if patience == 0 {
            return 0;
        }
        below
            .map(|(other, _)| 1 + self.height(other, patience - 1))
            .max()
            .unwrap_or(0)
    }

    /// What takes nothing away.
    fn prepare(&self) -> Option<Vec<Change>> {
        let mut switch = None;
        for (name, wanted) in self.upwards() {
            let Some(now) = self.host.links.get(name) else {
                if self.may_be_made(wanted) {
                    let mark = wanted.mark.clone();
                    return Some(vec![Change::Create(
                        name.clone(),
                        wanted.kind.clone(),
                        mark,
                    )]);
                }
                continue;
            };
            if !same_kind(&now.kind, &wanted.kind) {
                continue;
            }
            if now.mark != wanted.mark && !matches!(wanted.mark, Mark::None) {
                return Some(vec![Change::Mark(name.clone(), wanted.mark.clone())]);
            }
            if let Some(change) = soft_options(name, now, wanted) {
                return Some(vec![change]);
            }
            if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu > now.mtu)
                && self.takes(now, mtu)
            {
                return Some(vec![Change::Mtu(name.clone(), mtu)]);
            }
            if let Some(master) = &wanted.master {
                if now.master.is_none() && self.is_free(name, now, master) {
                    return Some(self.join(name, now, master, wanted.up));
                }
                if now.master.as_ref() != Some(master) {
                    continue;
                }
            }
            if wanted.up && !now.up && self.lies_on_up(now) {
                return Some(vec![Change::Up(name.clone())]);
            }
            if let Some(cost) = wanted.path_cost
                && now.path_cost.is_some_and(|now| now != cost)
            {
                return Some(vec![Change::PathCost(name.clone(), cost)]);
            }
            let switch = *switch.get_or_insert_with(|| self.needs_switch());
            if switch || !now.up || now.master != wanted.master {
                continue;
            }
            if let Some(address) = missing(now, wanted) {
                return Some(vec![Change::AddAddress(name.clone(), address)]);
            }
        }
        if switch.unwrap_or_else(|| self.needs_switch()) {
            return None;
        }
        let route = self.missing_routes(self.host).into_iter().next()?;
        Some(vec![Change::SetRoute(route)])
    }

    /// Whether an interface can be made beside everything that there is.
    fn may_be_made(&self, wanted: &WantedLink) -> bool {
        match &wanted.kind {
            Kind::Bond(_) | Kind::Bridge(_) => true,
            Kind::Vlan { parent, .. } => {
                let now = self.host.links.get(parent);
                now.is_some_and(|now| {
                    self.desired
                        .links
                        .get(parent)
                        .is_none_or(|wanted| same_kind(&now.kind, &wanted.kind))
                })
            }
            Kind::Physical | Kind::Other(_) => false,
        }
    }

    /// Whether an interface can get that MTU: a VLAN's is bounded by what it lies on, a bond's member has its bond's.
    fn takes(&self, now: &Link, mtu: u32) -> bool {
        let in_bond = now.master.as_ref().is_some_and(|master| {
            let master = self.host.links.get(master);
            master.is_some_and(|master| matches!(master.kind, Kind::Bond(_)))
        });
        match &now.kind {
            _ if in_bond => false,
            Kind::Vlan { parent, .. } => {
                let parent = self.host.links.get(parent);
                parent.is_some_and(|parent| parent.mtu >= mtu)
            }
            _ => true,
        }
    }

    fn lies_on_up(&self, now: &Link) -> bool {
        match &now.kind {
            Kind::Vlan { parent, .. } => {
                self.host.links.get(parent).is_some_and(|parent| parent.up)
            }
            _ => true,
        }
    }

    /// Whether nothing is lost when it joins its master at once.
    fn is_free(&self, name: &LinkName, now: &Link, master: &LinkName) -> bool {
        let Some((over, wanted)) = self
            .host
            .links
            .get(master)
            .zip(self.desired.links.get(master))
        else {
            return false;
        };
        let into_bond = match (&over.kind, &wanted.kind) {
            (Kind::Bond(now), Kind::Bond(wanted)) if !now.needs_rebuilding(wanted) => true,
            (Kind::Bridge(_), Kind::Bridge(_)) => false,
            _ => return false,
        };
        let unused =
            now.addresses.is_empty() && !self.host.routes.iter().any(|route| route.link == *name);
        unused && (!into_bond || self.host.vlans(name).next().is_none())
    }

    /// Whether something has to be taken from where it is needed at present.
    fn needs_switch(&self) -> bool {
        self.desired.links.iter().any(|(name, wanted)| {
            let Some(now) = self.host.links.get(name) else {
                return wanted.kind.is_made();
            };
            !same_kind(&now.kind, &wanted.kind)
                || hard_options(now, wanted)
                || self.must_move(now, wanted)
                || clash(now, wanted)
                || wanted
                    .addresses
                    .iter()
                    .any(|address| self.elsewhere(name, address).is_some())
        })
    }

    fn must_move(&self, now: &Link, wanted: &WantedLink) -> bool {
        match (&now.master, &wanted.master) {
            (now, Some(wanted)) => now.as_ref() != Some(wanted),
            // What is let go may wait, what is used alone from now on may not.
            (Some(_), None) => wanted.up,
            (None, None) => false,
        }
    }

    /// A bond takes only what is switched off.
    fn join(&self, name: &LinkName, now: &Link, master: &LinkName, up: bool) -> Vec<Change> {
        let wanted = self.desired.links.get(master).map(|wanted| &wanted.kind);
        let into_bond = matches!(wanted, Some(Kind::Bond(_)));
        let mut changes = Vec::new();
        if now.up && into_bond {
            changes.push(Change::Down(name.clone()));
        }
        changes.push(Change::Join(name.clone(), master.clone()));
        if up && (into_bond || !now.up) {
            changes.push(Change::Up(name.clone()));
        }
        changes
    }

    fn elsewhere(&self, name: &LinkName, address: &Address) -> Option<&'a LinkName> {
        self.host
            .links
            .iter()
            .find(|(other, link)| *other != name && link.addresses.contains(address))
            .map(|(other, _)| other)
    }

    /// Everything that must happen in one breath.
    fn switch(&self) -> Option<Vec<Change>> {
        if !self.needs_switch() {
            return None;
        }
        let mut draft = Draft {
            host: self.host.clone(),
            changes: Vec::new(),
        };
        let links = self.upwards();
        for (name, wanted) in &links {
            for address in &wanted.addresses {
                if let Some(other) = self.elsewhere(name, address) {
                    draft.make(Change::RemoveAddress(other.clone(), *address));
                }
            }
            if let Some(now) = self.host.links.get(*name) {
                for address in wanted.unwanted.iter().filter(|_| clash(now, wanted)) {
                    draft.make(Change::RemoveAddress((*name).clone(), *address));
                }
                if now.master.is_some() && self.must_move(now, wanted) {
                    draft.make(Change::Release((*name).clone()));
                }
            }
        }
        for (name, wanted) in links.iter().rev() {
            let Some(now) = draft.host.links.get(*name) else {
                continue;
            };
            if !same_kind(&now.kind, &wanted.kind) && now.kind.is_made() {
                draft.make(Change::Delete((*name).clone()));
            }
        }
        for (name, wanted) in &links {
            self.rebuild(&mut draft, name, wanted);
        }
        for (name, wanted) in &links {
            if let Some(mtu) = wanted.mtu {
                draft.raise(name, mtu);
            }
            if let Some(now) = draft.host.links.get(*name)
                && now.master == wanted.master
            {
                for address in &wanted.addresses {
                    draft.make(Change::AddAddress((*name).clone(), *address));
                }
            }
        }
        // What somebody else had on an interface that was switched off meanwhile.
        for (name, before) in &self.host.links {
            let lost = self.lost(&draft.host, name, before);
            for address in lost {
                draft.make(Change::AddAddress(name.clone(), address));
            }
        }
        for route in self.host.routes.iter().chain(&self.desired.routes) {
            let kept = draft.host.routes.contains(route)
                || self.desired.unwanted_routes.contains(route)
                || self
                    .desired
                    .routes
                    .iter()
                    .any(|wanted| wanted.same_place(route) && wanted != route);
            let usable = draft.host.links.get(&route.link).is_some_and(|link| {
                link.up && link.addresses.iter().any(|own| own.reaches(route.via))
            });
            if !kept && usable {
                draft.make(Change::SetRoute(route.clone()));
            }
        }
        (!draft.changes.is_empty()).then_some(draft.changes)
    }

    /// Brings one interface into its place, while nothing lies on it yet that is wanted there.
    fn rebuild(&self, draft: &mut Draft, name: &LinkName, wanted: &WantedLink) {
        if !draft.host.links.contains_key(name) && wanted.kind.is_made() {
            draft.make(Change::Create(
                name.clone(),
                wanted.kind.clone(),
                wanted.mark.clone(),
            ));
        }
        let refit = |now: &Link| hard_options(now, wanted);
        if let Kind::Bond(options) = &wanted.kind
            && draft.host.links.get(name).is_some_and(refit)
        {
            let members: Vec<LinkName> = draft
                .host
                .members(name)
                .map(|(name, _)| name.clone())
                .collect();
            for member in &members {
                draft.make(Change::Release(member.clone()));
            }
            draft.make(Change::Down(name.clone()));
            draft.make(Change::Refit(name.clone(), options.clone()));
            draft.make(Change::Up(name.clone()));
            // Those that stay come back at once, those that are let go need not.
            for member in members {
                let stays = self
                    .desired
                    .links
                    .get(&member)
                    .is_none_or(|wanted| wanted.master.as_ref() == Some(name));
                if stays && !self.desired.gone.contains(&member) {
                    draft.make(Change::Join(member, name.clone()));
                }
            }
        }
        let joins: Vec<LinkName> = self
            .desired
            .links
            .iter()
            .filter(|(_, link)| link.master.as_ref() == Some(name))
            .map(|(name, _)| name.clone())
            .collect();
        for member in joins {
            let Some(now) = draft.host.links.get(&member) else {
                continue;
            };
            if now.master.is_none() {
                for change in self.join(&member, now, name, true) {
                    draft.make(change);
                }
            }
        }
        let Some(now) = draft.host.links.get(name) else {
            return;
        };
        if wanted.up && !now.up {
            draft.make(Change::Up(name.clone()));
        }
    }

    /// Addresses that the host had there and that nobody wants to go.
    fn lost(&self, draft: &Host, name: &LinkName, before: &Link) -> Vec<Address> {
        let Some(now) = draft.links.get(name) else {
            return Vec::new();
        };
        let leaves = |address: &Address| {
            let unwanted = self
                .desired
                .links
                .get(name)
                .is_some_and(|wanted| wanted.unwanted.contains(address));
            let moved = self
                .desired
                .links
                .iter()
                .any(|(other, wanted)| other != name && wanted.addresses.contains(address));
            unwanted || moved
        };
        before
            .addresses
            .iter()
            .filter(|address| !now.addresses.contains(address) && !leaves(address))
            .copied()
            .collect()
    }

    fn missing_routes(&self, host: &Host) -> Vec<Route> {
        self.desired
            .routes
            .iter()
            .filter(|route| {
                let there = host.routes.iter().any(|other| {
                    other.same_place(route) && other.via == route.via && other.link == route.link
                });
                let usable = host.links.get(&route.link).is_some_and(|link| {
                    link.up && link.addresses.iter().any(|own| own.reaches(route.via))
                });
                !there && usable
            })
            .cloned()
            .collect()
    }

    /// What is not needed any more.
    fn tidy(&self) -> Option<Vec<Change>> {
        let unwanted = |route: &&Route| self.desired.unwanted_routes.contains(*route);
        if let Some(route) = self.host.routes.iter().find(unwanted) {
            return Some(vec![Change::RemoveRoute(route.clone())]);
        }
        for (name, wanted) in self.upwards().into_iter().rev() {
            let Some(now) = self.host.links.get(name) else {
                continue;
            };
            let unwanted = |address: &&Address| wanted.unwanted.contains(*address);
            if let Some(address) = now.addresses.iter().find(unwanted) {
                return Some(vec![Change::RemoveAddress(name.clone(), *address)]);
            }
            if wanted.master.is_none() && now.master.is_some() {
                return Some(vec![Change::Release(name.clone())]);
            }
        }
        self.tidy_gone().or_else(|| self.tidy_links())
    }

    /// What lies on top goes first.
    fn tidy_gone(&self) -> Option<Vec<Change>> {
        let there: BTreeSet<&LinkName> = self
            .desired
            .gone
            .iter()
            .filter(|name| self.host.links.contains_key(*name))
            .collect();
        let carries = |name: &LinkName| {
            let vlans = self.host.vlans(name).next().is_some();
            let link = self.host.links.get(name);
            let master = link.and_then(|link| link.master.as_ref());
            vlans || master.is_some_and(|master| there.contains(master))
        };
        let name = there
            .iter()
            .find(|name| !carries(name))
            .or_else(|| there.first())?;
        Some(vec![Change::Delete((*name).clone())])
    }

    fn tidy_links(&self) -> Option<Vec<Change>> {
        for (name, wanted) in self.upwards().into_iter().rev() {
            let Some(now) = self.host.links.get(name) else {
                continue;
            };
            if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu < now.mtu)
                && self.takes(now, mtu)
            {
                return Some(vec![Change::Mtu(name.clone(), mtu)]);
            }
            if !wanted.up && now.up && now.master.is_none() {
                return Some(vec![Change::Down(name.clone())]);
            }
            if now.mark != wanted.mark {
                return Some(vec![Change::Mark(name.clone(), wanted.mark.clone())]);
            }
        }
        None
    }
}

/// What is foreseen while a switch is put together.
struct Draft {
    host: Host,
    changes: Vec<Change>,
}

impl Draft {
    /// What the kernel would refuse is left out: the steps after this one see what is still missing.
    fn make(&mut self, change: Change) {
        let mut after = self.host.clone();
        if after.change(&change).is_ok() && after != self.host {
            self.host = after;
            self.changes.push(change);
        }
    }

    fn raise(&mut self, name: &LinkName, mtu: u32) {
        let below = self.host.links.get(name).is_some_and(|link| link.mtu < mtu);
        if below {
            self.make(Change::Mtu(name.clone(), mtu));
        }
    }
}

fn same_kind(now: &Kind, wanted: &Kind) -> bool {
    match (now, wanted) {
        (Kind::Bond(_), Kind::Bond(_)) | (Kind::Bridge(_), Kind::Bridge(_)) => true,
        (Kind::Vlan { .. }, Kind::Vlan { .. }) => now == wanted,
        // A card is a card, whatever its driver calls itself.
        (Kind::Physical | Kind::Other(_), Kind::Physical | Kind::Other(_)) => true,
        _ => false,
    }
}

fn soft_options(name: &LinkName, now: &Link, wanted: &WantedLink) -> Option<Change> {
    match (&now.kind, &wanted.kind) {
        (Kind::Bond(now), Kind::Bond(wanted)) if now != wanted && !now.needs_rebuilding(wanted) => {
            Some(Change::Bond(name.clone(), wanted.clone()))
        }
        (Kind::Bridge(now), Kind::Bridge(wanted)) if now != wanted => {
            Some(Change::Bridge(name.clone(), wanted.clone()))
        }
        _ => None,
    }
}

fn hard_options(now: &Link, wanted: &WantedLink) -> bool {
    match (&now.kind, &wanted.kind) {
        (Kind::Bond(now), Kind::Bond(wanted)) => now.needs_rebuilding(wanted),
        _ => false,
    }
}

/// An address that is to go would take wanted ones of its subnet with it.
fn clash(now: &Link, wanted: &WantedLink) -> bool {
    now.addresses
        .iter()
        .filter(|address| wanted.unwanted.contains(address))
        .any(|address| {
            let others = wanted.addresses.iter().chain(&now.addresses);
            others
                .filter(|other| *other != address && !wanted.unwanted.contains(other))
                .any(|other| other.same_subnet(address))
        })
}

fn missing(now: &Link, wanted: &WantedLink) -> Option<Address> {
    wanted
        .addresses
        .iter()
        .find(|address| !now.addresses.contains(address))
        .copied()
}
