//! Which host a guest gets: first those that cannot take it are struck out, each with its reason,
//! then the best of the rest is taken.

mod ranking;

use crate::amounts::{bytes, words};
use crate::mistake::{Mistake, made};
use crate::round::Round;
use crate::state::Index;
use crate::volumes::{self, Asking};
use crate::{filesystems, networks, reserve};
use quorate_crds::VirtualMachine;
use ranking::Rank;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use ranking::{Liking, priority};

type Guest<'a> = (&'a str, &'a VirtualMachine);

/// Of how many other hosts it is told why they do not fit.
const MOST_TOLD: usize = 3;

/// What is promised on every host so far.
#[derive(Default)]
pub(crate) struct Ledger<'a> {
    hosts: Index<&'a str, Promised<'a>>,
    /// Where each guest is, or is about to be.
    places: Index<&'a str, BTreeSet<&'a str>>,
    /// Guests that others refuse to share a host with, with those others.
    refusing: Index<&'a str, Vec<&'a str>>,
    /// What would be left after losses.
    spare: reserve::Spare,
}

#[derive(Default)]
struct Promised<'a> {
    guests: BTreeMap<&'a str, &'a VirtualMachine>,
    memory: u64,
    cpus: u64,
}

impl<'a> Ledger<'a> {
    pub(crate) fn of(round: &Round<'a>) -> Self {
        let mut ledger = Self::default();
        for (name, guest) in round.state.guests.iter() {
            for term in &guest.spec.placement.apart_from {
                if term.required {
                    let refusing = ledger.refusing.entry(term.guest.as_str());
                    refusing.or_default().push(name);
                }
            }
        }
        ledger
    }

    pub(crate) fn promise(&mut self, host: &'a str, name: &'a str, guest: &'a VirtualMachine) {
        let promised = self.hosts.entry(host).or_default();
        if promised.guests.insert(name, guest).is_none() {
            promised.memory += bytes(&guest.spec.memory);
            promised.cpus += u64::from(guest.spec.cpus);
            let keeps_away = self.strangers((name, guest)).next().is_some();
            match keeps_away {
                true => self.spare.forget(),
                false => self.spare.promised(host, bytes(&guest.spec.memory)),
            }
            self.places.entry(name).or_default().insert(host);
        }
    }

    pub(crate) fn on(&self, host: &str) -> impl Iterator<Item = Guest<'a>> {
        let guests = self.hosts.get(host).map(|promised| &promised.guests);
        guests
            .into_iter()
            .flatten()
            .map(|(name, guest)| (*name, *guest))
    }

    pub(crate) fn memory(&self, host: &str) -> u64 {
        self.hosts.get(host).map_or(0, |promised| promised.memory)
    }

    pub(crate) fn spare(&self) -> &reserve::Spare {
        &self.spare
    }

    fn cpus(&self, host: &str) -> u64 {
        self.hosts.get(host).map_or(0, |promised| promised.cpus)
    }

    /// Guests that required terms keep apart from this one, whoever asked for it.
    pub(crate) fn strangers<'s>(
        &'s self,
        (name, guest): Guest<'s>,
    ) -> impl Iterator<Item = &'s str> {
        let refusing = self.refusing.get(name).into_iter().flatten().copied();
        let terms = guest.spec.placement.apart_from.iter();
        let own = terms.filter(|term| term.required);
        own.map(|term| term.guest.as_str())
            .chain(refusing)
            .filter(move |other| *other != name)
    }

    pub(crate) fn is_on(&self, guest: &str, host: &str) -> bool {
        let places = self.places.get(guest);
        places.is_some_and(|places| places.contains(host))
    }
}

/// What is asked for besides a place.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'w, 'a> {
    /// Whether there must be room for the loss of a host afterwards.
    pub(crate) keep_reserve: bool,
    /// Hosts that are out of the question, each with the reason.
    pub(crate) refused: &'w BTreeMap<&'a str, String>,
    /// Where the guest comes from, if it is moved: that host is not asked for.
    pub(crate) asking: Asking<'w>,
}

static NOBODY: BTreeMap<&str, String> = BTreeMap::new();

impl Default for Wish<'_, '_> {
    fn default() -> Self {
        Self {
            keep_reserve: false,
            refused: &NOBODY,
            asking: Asking::default(),
        }
    }
}

/// The host that was chosen, with what is needed to say why.
pub(crate) struct Choice<'w, 'a> {
    pub(crate) host: &'a str,
    guest: Guest<'a>,
    wish: Wish<'w, 'a>,
    rank: Rank,
    /// The best of those that would leave no room for a loss, when it would have been better still.
    passed: Option<&'a str>,
    /// The next best.
    next: Option<(Rank, &'a str)>,
}

impl<'a> Choice<'_, 'a> {
    /// What decided.
    pub(crate) fn words(&self, round: &Round<'a>, ledger: &Ledger<'a>) -> String {
        let because = match (self.passed, &self.next) {
            (Some(passed), _) => format!("on {passed} it would leave no room for a loss"),
            (None, Some((rank, other))) => {
                let hosts = (self.host, *other);
                self.rank.before(rank, round, self.guest.1, hosts)
            }
            (None, None) => self.alone(round, ledger),
        };
        format!("{} is the best of the hosts that fit: {because}", self.host)
    }

    /// Why no other host fits.
    fn alone(&self, round: &Round<'a>, ledger: &Ledger<'a>) -> String {
        let (name, guest) = self.guest;
        let mut others = asked(round, self.guest, &self.wish);
        others.retain(|host| *host != self.host);
        if others.is_empty() {
            return match volumes::keepers(round, name, guest) {
                Some(_) => "no other host has its data".to_owned(),
                None => "there is no other host".to_owned(),
            };
        }
        if others.len() > MOST_TOLD {
            return format!("none of the other {} does", others.len());
        }
        let told = others.into_iter().map(|host| {
            let against = self.wish.against(round, ledger, self.guest, host);
            format!("{host}: {}", against.unwrap_or_default())
        });
        let told: Vec<String> = told.collect();
        format!("no other does ({})", told.join("; "))
    }
}

impl<'a> Wish<'_, 'a> {
    /// Whether that host comes into question at all.
    fn asks(&self, host: &str) -> bool {
        self.asking.from != Some(host)
    }

    /// Why that host cannot take the guest, if so.
    fn against(
        &self,
        round: &Round<'a>,
        ledger: &Ledger<'a>,
        guest: Guest<'a>,
        host: &str,
    ) -> Option<String> {
        let refused = self.refused.get(host).cloned();
        refused.or_else(|| obstacle(round, ledger, guest, host, self.asking))
    }
}

/// The hosts that come into question before anything else is asked.
fn asked<'a>(round: &Round<'a>, (name, guest): Guest<'a>, wish: &Wish<'_, 'a>) -> Vec<&'a str> {
    let asked = |host: &&str| wish.asks(host);
    match volumes::keepers(round, name, guest) {
        Some(keepers) => keepers.filter(asked).collect(),
        None => round.hosts.names().filter(asked).collect(),
    }
}

/// The best host, or for every host why it is not.
pub(crate) fn choose<'w, 'a>(
    round: &Round<'a>,
    ledger: &Ledger<'a>,
    (name, guest): Guest<'a>,
    wish: Wish<'w, 'a>,
) -> Result<Choice<'w, 'a>, Vec<String>> {
    let against = |host: &str| wish.against(round, ledger, (name, guest), host);
    let fit = asked(round, (name, guest), &wish).into_iter();
    let fit = fit.filter(|host| against(host).is_none());
    let mut fit: Vec<_> = fit
        .map(|host| (Rank::of(round, ledger, guest, host), host))
        .collect();
    fit.sort();
    let mut lacking: BTreeMap<&str, String> = BTreeMap::new();
    let mut passed = None;
    let mut fit = fit.into_iter();
    while let Some((rank, host)) = fit.next() {
        let lacks = wish
            .keep_reserve
            .then(|| reserve::lacking(round, ledger, (name, guest), host, wish.asking.from))
            .flatten();
        match lacks {
            Some(lacks) => {
                lacking.insert(host, lacks);
                passed = passed.or(Some(host));
            }
            None => {
                return Ok(Choice {
                    host,
                    guest: (name, guest),
                    wish,
                    rank,
                    passed,
                    next: fit.next(),
                });
            }
        }
    }
    // Nobody: only now is it worth the words.
    let told = round.hosts.names().filter(|host| wish.asks(host));
    let told = told.filter_map(|host| {
        let obstacle = lacking.remove(host).or_else(|| against(host))?;
        Some(format!("{host}: {obstacle}"))
    });
    Err(told.collect())
}

/// Why that host cannot take the guest now, if so.
pub(crate) fn obstacle(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    (name, guest): (&str, &VirtualMachine),
    host: &str,
    asking: Asking<'_>,
) -> Option<String> {
    let seen = &round.hosts[host];
    if !seen.online() {
        return Some("is not online".to_owned());
    }
    if !seen.takes_more() {
        return Some(format!("is {:?}", seen.mode));
    }
    if let Some(network) = networks::cut_off(round, guest, host) {
        return Some(format!("is cut off from network {network}"));
    }
    barred(round, guest, host)
        .or_else(|| company(round, ledger, (name, guest), host, asking))
        .or_else(|| volumes::obstacle(round, name, guest, host, asking))
        .or_else(|| filesystems::obstacle(round, guest, host, asking))
        .or_else(|| amounts(round, ledger, (name, guest), host))
}

/// Why the guest's placement never allows that host, if so.
pub(crate) fn barred(round: &Round<'_>, guest: &VirtualMachine, host: &str) -> Option<String> {
    let placement = &guest.spec.placement;
    if let Some(domain) = &placement.failover_domain {
        let Some(known) = round.state.domains.get(domain.as_str()) else {
            return Some(format!("its failover domain {domain} does not exist"));
        };
        if known.spec.restricted && known.spec.nodes.iter().all(|one| one.node.as_str() != host) {
            return Some(format!("is not in the restricted failover domain {domain}"));
        }
    }
    let labels = round.hosts[host].node.metadata.labels.as_ref();
    let can = round.hosts[host].node.status.as_ref();
    let can = can.map_or(&[][..], |status| &status.hypervisors);
    if !can.is_empty() && !can.contains(&guest.spec.hypervisor) {
        return Some(format!(
            "cannot run guests of hypervisor {:?}, only of {}",
            guest.spec.hypervisor,
            can.iter()
                .map(|one| format!("{one:?}"))
                .collect::<Vec<_>>()
                .join(" and ")
        ));
    }
    placement.node_selector.iter().find_map(|(label, value)| {
        let has = labels.and_then(|labels| labels.get(label)) == Some(value);
        (!has).then(|| format!("has no label {label}={value}"))
    })
}

/// Guests with which it must, or must not, share a host.
fn company(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    (name, guest): (&str, &VirtualMachine),
    host: &str,
    asking: Asking<'_>,
) -> Option<String> {
    let placement = &guest.spec.placement;
    for term in placement.apart_from.iter().filter(|term| term.required) {
        if ledger.is_on(term.guest.as_str(), host) {
            return Some(format!(
                "carries {}, from which it is kept apart",
                term.guest
            ));
        }
    }
    let refusing = ledger.refusing.get(name).into_iter().flatten();
    for other in refusing {
        if *other != name && ledger.is_on(other, host) {
            return Some(format!("carries {other}, which is kept apart from it"));
        }
    }
    for term in placement.together_with.iter().filter(|term| term.required) {
        let other = term.guest.as_str();
        let places = ledger.places.get(other).into_iter().flatten();
        // One that comes along from the same host does not hold it there.
        let mut elsewhere =
            places.filter(|place| asking.from != Some(**place) && round.hosts.get(place).is_some());
        if !ledger.is_on(other, host) && elsewhere.next().is_some() {
            return Some(format!(
                "does not carry {}, with which it is kept",
                term.guest
            ));
        }
    }
    None
}

fn amounts(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    (name, guest): (&str, &VirtualMachine),
    host: &str,
) -> Option<String> {
    if ledger.is_on(name, host) || made(Mistake::MemoryIsNotCounted) {
        return None;
    }
    let seen = &round.hosts[host];
    let (need, used) = (bytes(&guest.spec.memory), ledger.memory(host));
    let free = seen.memory.saturating_sub(used);
    if need > free {
        return Some(format!(
            "needs {} of memory; {} of {} are promised, {} are left: {} too little",
            words(need),
            words(used),
            words(seen.memory),
            words(free),
            words(need - free)
        ));
    }
    let limit = seen.cpus * u64::from(round.settings.capacity.cpu_overcommit);
    let cpus = ledger.cpus(host) + u64::from(guest.spec.cpus);
    (cpus > limit).then(|| {
        format!(
            "would have {cpus} virtual processors; {} real ones shared by {} carry {limit}",
            seen.cpus, round.settings.capacity.cpu_overcommit
        )
    })
}
