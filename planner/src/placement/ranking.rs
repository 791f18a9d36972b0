//! Which of the hosts that fit is the best, and what decided that.

use super::{Guest, Ledger};
use crate::amounts::{bytes, percent};
use crate::networks;
use crate::round::Round;
use quorate_crds::{AffinityTerm, VirtualMachine};

/// How much a host suits a guest: the lower, the better. The first that differs decides; after the
/// last one names do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Its place in the order of the failover domain.
    priority: u32,
    /// Whether the guest was last elsewhere.
    elsewhere: bool,
    /// The weights of those that it wishes away, less those of the company that it wishes for.
    company: i64,
    /// What is missing there of the networks of its cards, in permille of each.
    networks: u64,
    /// How much of the host's memory is promised, in permille.
    load: u64,
}

impl Rank {
    pub(super) fn of(
        round: &Round<'_>,
        ledger: &Ledger<'_>,
        guest: &VirtualMachine,
        host: &str,
    ) -> Self {
        let status = guest.status.as_ref();
        let before = status.and_then(|status| status.placement.as_ref()?.node.as_ref());
        Self {
            priority: priority(round, guest, host),
            elsewhere: before.is_none_or(|before| before.as_str() != host),
            company: -company_weight(ledger, guest, host),
            networks: networks::lacking(round, guest, host),
            load: permille(round, host, ledger.memory(host)),
        }
    }

    /// What sets the host that it is of before that other one.
    pub(super) fn before(
        &self,
        other: &Self,
        round: &Round<'_>,
        guest: &VirtualMachine,
        (host, name): (&str, &str),
    ) -> String {
        if self.priority != other.priority {
            let domain = guest.spec.placement.failover_domain.as_ref();
            let domain = domain.map_or("", |domain| domain.as_str());
            return match other.priority {
                u32::MAX => format!("{name} is not in its failover domain {domain}"),
                _ => format!("its failover domain {domain} prefers it to {name}"),
            };
        }
        if self.elsewhere != other.elsewhere {
            return "it was there before".to_owned();
        }
        if self.company != other.company {
            return weighs(-self.company, -other.company, name);
        }
        if self.networks != other.networks {
            return networks::worse(round, guest, host, name).unwrap_or_default();
        }
        if self.load != other.load {
            return format!(
                "{} of its memory is promised, and {} of {name}'s",
                percent(self.load),
                percent(other.load)
            );
        }
        format!("{name} is as good, and comes later by name")
    }
}

/// How much the guest's failover domain prefers that host: the lower, the more.
pub(crate) fn priority(round: &Round<'_>, guest: &VirtualMachine, host: &str) -> u32 {
    let domain = guest.spec.placement.failover_domain.as_ref();
    let domain = domain.and_then(|domain| round.state.domains.get(domain.as_str()));
    let listed = domain.and_then(|domain| {
        let mut nodes = domain.spec.nodes.iter();
        nodes.find(|one| one.node.as_str() == host)
    });
    listed.map_or(u32::MAX, |one| one.priority)
}

/// How much a guest suits a host, for comparing it with the one that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Liking {
    company: i64,
    priority: i64,
    /// What is missing there of its networks.
    networks: u64,
    /// With the guest itself, which counts on either host, so that a move gains exactly what the way
    /// back would lose.
    load: u64,
}

impl Liking {
    pub(crate) fn of(
        round: &Round<'_>,
        ledger: &Ledger<'_>,
        (name, guest): Guest<'_>,
        host: &str,
    ) -> Self {
        let own = match ledger.is_on(name, host) {
            true => 0,
            false => bytes(&guest.spec.memory),
        };
        Self {
            company: company_weight(ledger, guest, host),
            priority: i64::from(priority(round, guest, host).min(1000)),
            networks: networks::lacking(round, guest, host),
            load: permille(round, host, ledger.memory(host) + own),
        }
    }

    /// Company counts most, then the domain's order, then how much of its networks and of the memory is there.
    fn parts(self) -> [i64; 4] {
        let permille = |part: u64| i64::try_from(part).unwrap_or(i64::MAX);
        [
            100 * self.company,
            -10 * self.priority,
            -permille(self.networks),
            -permille(self.load),
        ]
    }

    /// What a move from there to here gains.
    pub(crate) fn over(self, there: Self) -> i64 {
        let gains = self.parts().into_iter().zip(there.parts());
        gains.map(|(here, there)| here - there).sum()
    }

    /// What of it gains most, in words about the host that it leaves.
    pub(crate) fn because(
        self,
        there: Self,
        round: &Round<'_>,
        guest: &VirtualMachine,
        (host, left): (&str, &str),
    ) -> String {
        let gains = self.parts().into_iter().zip(there.parts());
        let gains = gains.map(|(here, there)| here - there).enumerate();
        match gains.max_by_key(|(at, gain)| (*gain, std::cmp::Reverse(*at))) {
            Some((0, _)) => weighs(self.company, there.company, left),
            Some((1, _)) => format!("its failover domain prefers it to {left}"),
            Some((2, _)) => networks::worse(round, guest, host, left).unwrap_or_default(),
            _ => format!(
                "with it {} of the memory there is promised, and {} of {left}'s",
                percent(self.load),
                percent(there.load)
            ),
        }
    }
}

fn company_weight(ledger: &Ledger<'_>, guest: &VirtualMachine, host: &str) -> i64 {
    let placement = &guest.spec.placement;
    let weight = |terms: &[AffinityTerm]| -> i64 {
        let there = |term: &&AffinityTerm| ledger.is_on(term.guest.as_str(), host);
        terms
            .iter()
            .filter(there)
            .map(|term| i64::from(term.weight))
            .sum()
    };
    weight(&placement.together_with) - weight(&placement.apart_from)
}

fn weighs(there: i64, elsewhere: i64, name: &str) -> String {
    format!("its company weighs {there} there and {elsewhere} on {name}")
}

fn permille(round: &Round<'_>, host: &str, used: u64) -> u64 {
    used.saturating_mul(1000) / round.hosts[host].memory.max(1)
}
