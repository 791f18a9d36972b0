//! A card carries one network (NET-6): it is never in two bonds or two bridges. Networks that share cards say so
//! by `parent`.

use std::collections::{BTreeMap, BTreeSet};

use quorate_schema::ViolationReason;
use serde_json::Value;

use super::Findings;
use crate::{admission::fields, error::Cause, resource::object};

/// Which cards a network takes: on hosts that it names, and on all others.
struct Cards<'a> {
    elsewhere: BTreeSet<&'a str>,
    named: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

pub(super) fn check(next: &Value, others: &[Value], findings: &mut Findings) {
    let cards = Cards::of(next);
    for other in others {
        let taken = Cards::of(other);
        if let Some((card, host)) = cards.clash(&taken) {
            let name = object::name(other);
            let place = host.map_or("all hosts".to_owned(), |host| format!("host {host:?}"));
            findings.causes.push(Cause::new(
                path_of(next, card),
                ViolationReason::Duplicate,
                format!(
                    "found card {card:?}, which carries network {name:?} on {place}; allowed: a card of its own, or `parent: {name}` to share it"
                ),
            ));
        }
    }
}

impl<'a> Cards<'a> {
    fn of(network: &'a Value) -> Self {
        let general = texts(network, "/spec/nics");
        let only_listed = network.pointer("/spec/onlyListed") == Some(&Value::Bool(true));
        let named = network
            .pointer("/spec/hosts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|host| {
                let own = texts(host, "/nics");
                let cards = if own.is_empty() { general.clone() } else { own };
                Some((host.get("node")?.as_str()?, cards))
            })
            .collect();
        Self {
            elsewhere: if only_listed {
                BTreeSet::new()
            } else {
                general
            },
            named,
        }
    }

    fn on(&self, host: &str) -> &BTreeSet<&'a str> {
        self.named.get(host).unwrap_or(&self.elsewhere)
    }

    /// A card that both take, and on which host; none for hosts that neither names.
    fn clash<'b>(&self, other: &Cards<'b>) -> Option<(&'a str, Option<&'b str>)>
    where
        'a: 'b,
    {
        let common = |a: &BTreeSet<&'a str>, b: &BTreeSet<&'b str>| {
            a.iter().find(|card| b.contains(*card)).copied()
        };
        if let Some(card) = common(&self.elsewhere, &other.elsewhere) {
            return Some((card, None));
        }
        self.named
            .keys()
            .chain(other.named.keys())
            .find_map(|host| Some((common(self.on(host), other.on(host))?, Some(*host))))
    }
}

fn texts<'a>(value: &'a Value, pointer: &str) -> BTreeSet<&'a str> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn path_of(network: &Value, card: &str) -> String {
    ["spec.nics[]", "spec.hosts[].nics[]"]
        .into_iter()
        .flat_map(|pattern| fields::find(network, pattern))
        .find(|field| field.value == card)
        .map_or_else(|| "spec.nics".to_owned(), |field| field.path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(next: &Value, other: Value) -> Vec<String> {
        let mut findings = Findings::default();
        check(next, &[other], &mut findings);
        findings
            .causes
            .into_iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect()
    }

    #[test]
    fn a_card_in_two_networks_is_refused_and_the_way_to_share_it_is_named() {
        let next = json!({"spec": {"nics": ["bcn1", "eth9"]}});
        let other = json!({"metadata": {"name": "bcn"}, "spec": {"nics": ["bcn1", "bcn2"]}});
        let found = problems(&next, other);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("spec.nics[0]: "), "{found:?}");
        assert!(found[0].contains("parent: bcn"), "{found:?}");
    }

    #[test]
    fn the_same_name_on_different_hosts_is_another_card() {
        let next =
            json!({"spec": {"nics": ["eth1"], "onlyListed": true, "hosts": [{"node": "a"}]}});
        let elsewhere =
            json!({"spec": {"nics": ["eth1"], "onlyListed": true, "hosts": [{"node": "b"}]}});
        assert!(problems(&next, elsewhere).is_empty());
        let everywhere = json!({"metadata": {"name": "n"}, "spec": {"nics": ["eth1"]}});
        assert!(problems(&next, everywhere)[0].contains("host \"a\""));
    }
}
