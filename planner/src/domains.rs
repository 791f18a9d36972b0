//! Failover domains: who uses them, and which of their hosts can take guests.

use crate::outcome::{Outcome, condition};
use crate::round::Round;
use crate::{Reason, Why};
use quorate_crds::{FailoverDomain, Name};
use std::collections::BTreeMap;

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    if round.state.domains.iter().next().is_none() {
        return;
    }
    let mut users: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, guest) in round.state.guests.iter() {
        if let Some(domain) = &guest.spec.placement.failover_domain {
            *users.entry(domain.as_str()).or_default() += 1;
        }
    }
    for (name, domain) in round.state.domains.iter() {
        let old = domain.status.clone().unwrap_or_default();
        let mut status = old.clone();
        status.observed_generation = domain.metadata.generation;
        status.guests = Some(users.get(name).copied().unwrap_or(0));
        status.available = available(round, domain);
        let why = describe(domain, &status.available);
        outcome.why("FailoverDomain", name, why.reason, &why.message);
        let ready = why.reason == Reason::HostsAvailable;
        condition(&mut status.conditions, "Ready", ready, &why, round.now);
        outcome.status("FailoverDomain", name, &old, &status);
    }
}

/// Its hosts that take guests now, the most preferred first.
fn available(round: &Round<'_>, domain: &FailoverDomain) -> Vec<Name> {
    let nodes = domain.spec.nodes.iter();
    let known = nodes.filter(|one| {
        let host = round.hosts.get(one.node.as_str());
        host.is_some_and(|host| host.takes_more())
    });
    let mut known: Vec<_> = known.map(|one| (one.priority, one.node.clone())).collect();
    known.sort();
    known.into_iter().map(|(_, node)| node).collect()
}

fn describe(domain: &FailoverDomain, available: &[Name]) -> Why {
    let (have, all) = (available.len(), domain.spec.nodes.len());
    let others = match domain.spec.restricted {
        true => "guests run on no other",
        false => "other hosts take its guests when need be",
    };
    Why {
        reason: match have {
            0 => Reason::NoHostAvailable,
            _ => Reason::HostsAvailable,
        },
        message: format!("{have} of its {all} hosts can take guests; {others}"),
    }
}
