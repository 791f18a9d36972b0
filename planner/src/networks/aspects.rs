//! What is to be said of a network as a whole, from what its hosts say.

use super::turns::Turn;
use crate::outcome::{Outcome, condition};
use crate::rights::{Answer, Host, answer};
use crate::round::Round;
use crate::state::{Record, Subject, SubjectKind};
use crate::{Reason, Why};
use quorate_crds::{
    Condition, ConditionStatus, LinkState, Network, NetworkStatus, NodePlanStatus, PeerLink,
};
use std::collections::BTreeMap;

/// The longest message of a condition.
const LONGEST: usize = 1000;

/// What is gathered of one network.
pub(super) struct Aspects<'r> {
    name: &'r str,
    network: &'r Network,
    /// Hosts whose turn it is, and those that wait, with what they wait for.
    at_work: Vec<&'r str>,
    waiting: Vec<(&'r str, String)>,
    taken_back: Vec<String>,
    /// Hosts that cannot make it so, and why.
    refused: Vec<String>,
    /// What hosts that are there say of their ways to others that are there.
    links: Vec<(&'r str, &'r PeerLink)>,
    online: Vec<&'r str>,
    /// Names that are not written; none when there is nothing to name.
    unnamed: Option<Vec<String>>,
}

impl<'r> Aspects<'r> {
    pub(super) fn of(name: &'r str, network: &'r Network) -> Self {
        Self {
            name,
            network,
            at_work: Vec::new(),
            waiting: Vec::new(),
            taken_back: Vec::new(),
            refused: Vec::new(),
            links: Vec::new(),
            online: Vec::new(),
            unnamed: None,
        }
    }

    /// Takes which names are not written.
    pub(super) fn names(&mut self, clashes: &[String]) {
        self.unnamed = Some(clashes.to_vec());
    }

    /// Takes what a host says.
    pub(super) fn look(
        &mut self,
        host: &Host<'r>,
        record: Option<&'r Record>,
        seen: Option<&'r NodePlanStatus>,
    ) {
        if !host.online() {
            return;
        }
        self.online.push(host.name);
        if let (Some(record), Some(status)) = (record, seen) {
            let stalled = status.conditions.iter().find(|one| one.type_ == "Stalled");
            if let (Answer::Ended(..), Some(stalled)) = (answer(record), stalled) {
                let text = format!("{}: {}", host.name, stalled.message);
                if stalled.reason == "RolledBack" {
                    self.taken_back.push(text);
                } else {
                    let (host, reason) = (host.name, &stalled.reason);
                    let text = format!("{host} says {reason}: {}", stalled.message);
                    self.refused.push(text);
                }
            }
            if matches!(answer(record), Answer::Nothing | Answer::Working) {
                self.at_work.push(host.name);
            }
            let links = status.links.iter().map(|link| (host.name, link));
            self.links.extend(links);
        }
    }

    /// Takes whether it is a host's turn.
    pub(super) fn turn(&mut self, host: &'r str, turn: &Turn) {
        match turn {
            Turn::Free => {}
            Turn::Next => self.at_work.insert(0, host),
            Turn::Waits(why) => self.waiting.push((host, why.clone())),
        }
    }

    /// Says it.
    pub(super) fn settle(
        mut self,
        round: &Round<'_>,
        outcome: &mut Outcome,
        status: &mut NetworkStatus,
    ) {
        self.links
            .retain(|(_, link)| self.online.contains(&link.node.as_str()));
        let mut says = Says {
            round,
            outcome,
            name: self.name,
            conditions: std::mem::take(&mut status.conditions),
        };
        self.ready(&mut says, status);
        self.changing(&mut says);
        self.redundant(&mut says, status);
        self.clean(&mut says, status);
        self.paths(&mut says);
        self.largest_packet(&mut says);
        self.addresses(&mut says, status);
        self.unique(&mut says);
        self.firewall(&mut says, status);
        status.conditions = says.conditions;
    }

    fn ready(&self, says: &mut Says<'_, '_>, status: &NetworkStatus) {
        if !self.refused.is_empty() {
            let message = self.refused.join("; ");
            return says.tell("Ready", false, why(Reason::NetworkNotMade, message));
        }
        if status.hosts.is_empty() {
            return;
        }
        let broken: Vec<String> = status
            .hosts
            .iter()
            .filter(|seen| seen.state == Some(LinkState::Down))
            .map(|seen| match &seen.message {
                Some(message) => format!("{} ({message})", seen.node),
                None => seen.node.to_string(),
            })
            .collect();
        let (reason, message) = if broken.is_empty() {
            let message = "it works on every host that takes part".to_owned();
            (Reason::NetworkReady, message)
        } else {
            let message = format!("it does not work on {}", broken.join(" and "));
            (Reason::NetworkDown, message)
        };
        says.outcome.why("Network", self.name, reason, &message);
        says.put("Ready", broken.is_empty(), why(reason, message));
    }

    fn changing(&mut self, says: &mut Says<'_, '_>) {
        let known = says.known("Changing").is_some();
        self.at_work.dedup();
        let at_work = self.at_work.join(" and ");
        match self.waiting.first() {
            None if known && !self.at_work.is_empty() => {
                let message = format!("{at_work} is at work on it");
                says.put("Changing", true, why(Reason::NetworkChanging, message));
            }
            None => says.forget("Changing"),
            Some((_, first)) => {
                let names: Vec<&str> = self.waiting.iter().map(|(name, _)| *name).collect();
                let wait = if names.len() == 1 { "waits" } else { "wait" };
                let message = format!("{} {wait}: {first}", names.join(" and "));
                let reason = if self.at_work.is_empty() {
                    Reason::NetworkChangeWaits
                } else {
                    Reason::NetworkChanging
                };
                says.tell("Changing", true, why(reason, message));
            }
        }
        if self.taken_back.is_empty() {
            says.forget("RolledBack");
        } else {
            let message = self.taken_back.join("; ");
            says.tell("RolledBack", true, why(Reason::NetworkRolledBack, message));
        }
    }

    /// What of a bond is missing, and what of it comes and goes.
    fn redundant(&self, says: &mut Says<'_, '_>, status: &NetworkStatus) {
        if self.network.spec.bond.is_none() || status.hosts.is_empty() {
            says.forget("Redundant");
            says.forget("Flapping");
            return;
        }
        let mut missing = Vec::new();
        let mut flapping = Vec::new();
        for host in &status.hosts {
            for link in &host.links {
                let words = format!("{} of {}", link.nic, host.node);
                if link.flapping == Some(true) {
                    flapping.push(words.clone());
                }
                if link.state.is_some_and(|state| state != LinkState::Up) {
                    missing.push(words);
                }
            }
        }
        let whole = "every card of it works on every host".to_owned();
        says.aspect(
            "Redundant",
            (Reason::CardsWork, whole),
            (
                Reason::CardLost,
                missing,
                "does not work, or not for long enough to be trusted",
            ),
        );
        if flapping.is_empty() {
            says.forget("Flapping");
        } else {
            let message = format!("{}: it goes up and down", flapping.join(", "));
            says.tell("Flapping", true, why(Reason::CardFlaps, message));
        }
    }

    /// What is damaged on its way through a card.
    fn clean(&self, says: &mut Says<'_, '_>, status: &NetworkStatus) {
        let links = status.hosts.iter().flat_map(|host| {
            let links = host.links.iter();
            links.map(move |link| (host.node.as_str(), link))
        });
        let mut told = false;
        let mut against = Vec::new();
        for (host, link) in links {
            told |= link.speed.is_some() || link.errors.is_some();
            let card = &link.nic;
            if let Some(errors) = link.errors {
                against.push(format!(
                    "{errors} of a million packets are damaged at {card} of {host}"
                ));
            }
            if link.half_duplex == Some(true) {
                against.push(format!("{card} of {host} runs at half duplex"));
            }
        }
        if !told && against.is_empty() {
            return says.forget("CardsClean");
        }
        let all = "no card damages packets".to_owned();
        says.aspect(
            "CardsClean",
            (Reason::CardsClean, all),
            (Reason::CardErrs, against, ""),
        );
    }

    fn unique(&self, says: &mut Says<'_, '_>) {
        let Some(clashes) = &self.unnamed else {
            return says.forget("NamesUnique");
        };
        let all = "every name stands for one address".to_owned();
        says.aspect(
            "NamesUnique",
            (Reason::NamesUnique, all),
            (Reason::NameTwice, clashes.clone(), ""),
        );
    }

    fn paths(&self, says: &mut Says<'_, '_>) {
        if self.links.is_empty() {
            return says.forget("PathsWork");
        }
        let broken = self.links.iter().filter_map(|(host, link)| {
            let node = &link.node;
            match (link.state?, link.loss.unwrap_or(0)) {
                (LinkState::Up, _) => None,
                (LinkState::Down, _) => Some(format!("{host} does not hear {node}")),
                (LinkState::Degraded, loss) => Some(format!(
                    "{loss} % of what {host} asks {node} is not answered"
                )),
            }
        });
        let all = "every host hears every other one".to_owned();
        says.aspect(
            "PathsWork",
            (Reason::PathsWork, all),
            (Reason::PathBroken, broken.collect(), ""),
        );
    }

    fn largest_packet(&self, says: &mut Says<'_, '_>) {
        if self.links.is_empty() {
            return says.forget("MtuConsistent");
        }
        let wanted = self.network.spec.mtu;
        let small = self.links.iter().filter_map(|(host, link)| {
            let mtu = link.mtu.filter(|mtu| *mtu < wanted)?;
            Some(format!(
                "from {host} to {} packets of {mtu} bytes pass, and larger ones do not",
                link.node
            ))
        });
        let all = format!("packets of {wanted} bytes pass between all hosts");
        says.aspect(
            "MtuConsistent",
            (Reason::MtuPasses, all),
            (Reason::MtuTooLarge, small.collect(), ""),
        );
    }

    /// Another machine that has a host's address is heard in its place.
    fn addresses(&self, says: &mut Says<'_, '_>, status: &NetworkStatus) {
        if self.links.iter().all(|(_, link)| link.mac.is_none()) {
            return says.forget("AddressesUnique");
        }
        let own: BTreeMap<&str, _> = status
            .hosts
            .iter()
            .map(|seen| (seen.node.as_str(), seen))
            .collect();
        let twice = self.links.iter().filter_map(|(host, link)| {
            let mac = link.mac.as_ref()?;
            let seen = own.get(link.node.as_str())?;
            let known = seen.macs.is_empty() || seen.macs.contains(mac);
            let address = seen.address.as_deref().unwrap_or("its address");
            (!known).then(|| {
                format!(
                    "{mac} answers {host} for {address}, and is no card of {}",
                    link.node
                )
            })
        });
        let all = "every address is answered for by its own host".to_owned();
        says.aspect(
            "AddressesUnique",
            (Reason::AddressesUnique, all),
            (Reason::AddressTwice, twice.collect(), ""),
        );
    }

    fn firewall(&self, says: &mut Says<'_, '_>, status: &NetworkStatus) {
        if status.hosts.iter().all(|seen| seen.firewall.is_none()) {
            return says.forget("FirewallKept");
        }
        let without = status.hosts.iter().filter_map(|seen| {
            let why = seen
                .message
                .as_deref()
                .unwrap_or("it is not as it should be");
            (seen.firewall == Some(false)).then(|| format!("{}: {why}", seen.node))
        });
        let all = "only the ports in use are open on every host".to_owned();
        says.aspect(
            "FirewallKept",
            (Reason::FirewallKept, all),
            (Reason::FirewallNotKept, without.collect(), ""),
        );
    }
}

fn why(reason: Reason, message: String) -> Why {
    let message = message.chars().take(LONGEST).collect();
    Why { reason, message }
}

/// Puts conditions, and tells of those that turn bad.
struct Says<'s, 'r> {
    round: &'s Round<'r>,
    outcome: &'s mut Outcome,
    name: &'s str,
    conditions: Vec<Condition>,
}

impl Says<'_, '_> {
    fn known(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|one| one.type_ == type_)
    }

    fn forget(&mut self, type_: &str) {
        self.conditions.retain(|one| one.type_ != type_);
    }

    fn put(&mut self, type_: &str, so: bool, why: Why) {
        condition(&mut self.conditions, type_, so, &why, self.round.now);
    }

    /// With an event, where the condition is new or was another one.
    fn tell(&mut self, type_: &str, so: bool, why: Why) {
        let status = if so {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        let before = self
            .known(type_)
            .filter(|one| one.status == status && one.reason == why.reason.as_str());
        if before.is_none_or(|one| one.message != why.message) {
            let subject = Subject::new(SubjectKind::Network, self.name);
            let now = self.round.now;
            self.outcome.event(now, subject.reference(), &why);
        }
        self.outcome
            .why("Network", self.name, why.reason, &why.message);
        self.put(type_, so, why);
    }

    /// What is well when nothing is against it.
    fn aspect(
        &mut self,
        type_: &str,
        (good, all): (Reason, String),
        (bad, against, end): (Reason, Vec<String>, &str),
    ) {
        if against.is_empty() {
            return self.put(type_, true, why(good, all));
        }
        let end = if end.is_empty() {
            String::new()
        } else {
            format!(": {end}")
        };
        self.tell(type_, false, why(bad, against.join("; ") + &end));
    }
}
