//! Two networks have no address in common, and hosts' addresses lie in their network.

use std::net::IpAddr;

use quorate_schema::ViolationReason;
use serde_json::Value;

use super::{Findings, text};
use crate::{admission::fields, error::Cause, resource::object};

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subnet {
    first: u128,
    last: u128,
    v6: bool,
}

pub(super) fn check(next: &Value, others: &[Value], findings: &mut Findings) {
    let Some(given) = text(next, "/spec/subnet") else {
        return;
    };
    let Some(subnet) = Subnet::parse(given) else {
        return;
    };
    for other in others {
        let Some(taken) = text(other, "/spec/subnet") else {
            continue;
        };
        if Subnet::parse(taken).is_some_and(|taken| taken.overlaps(subnet)) {
            findings.causes.push(Cause::new(
                "spec.subnet",
                ViolationReason::Invalid,
                format!(
                    "found {given}, which overlaps {taken} of network {:?}; allowed: addresses that no other network has",
                    object::name(other)
                ),
            ));
        }
    }
    for field in fields::find(next, "spec.hosts[].address") {
        let address = field.value.as_str().unwrap_or_default();
        if address
            .parse()
            .is_ok_and(|address| !subnet.contains(address))
        {
            findings.causes.push(Cause::new(
                field.path,
                ViolationReason::Invalid,
                format!("found {address}, allowed: an address in {given}"),
            ));
        } else if text(next, "/spec/gateway") == Some(address) {
            findings.causes.push(Cause::new(
                field.path,
                ViolationReason::Duplicate,
                format!("found {address}, which is the gateway; allowed: an address that is free"),
            ));
        }
    }
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (number, v6) = number(address.parse().ok()?);
        let bits = if v6 { 128 } else { 32 };
        let length: u32 = length.parse().ok().filter(|length| *length <= bits)?;
        let hosts = match bits - length {
            128 => u128::MAX,
            free => (1u128 << free) - 1,
        };
        Some(Self {
            first: number & !hosts,
            last: number | hosts,
            v6,
        })
    }

    fn overlaps(self, other: Self) -> bool {
        self.v6 == other.v6 && self.first <= other.last && other.first <= self.last
    }

    fn contains(self, address: IpAddr) -> bool {
        let (number, v6) = number(address);
        v6 == self.v6 && (self.first..=self.last).contains(&number)
    }
}

fn number(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), false),
        IpAddr::V6(address) => (address.to_bits(), true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn network(name: &str, subnet: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {"subnet": subnet}})
    }

    fn problems(next: &Value, others: &[Value]) -> Vec<String> {
        let mut findings = Findings::default();
        check(next, others, &mut findings);
        findings
            .causes
            .into_iter()
            .map(|cause| cause.message)
            .collect()
    }

    #[test]
    fn a_subnet_within_another_networks_is_refused_by_name() {
        let others = [
            network("bcn", "10.20.0.0/16"),
            network("sn", "10.10.0.0/16"),
        ];
        let found = problems(&network("x", "10.20.128.0/24"), &others);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("\"bcn\""), "{found:?}");
        assert!(problems(&network("x", "10.30.0.0/16"), &others).is_empty());
        assert!(problems(&network("x", "fd00::/8"), &others).is_empty());
    }

    #[test]
    fn a_hosts_address_lies_in_the_subnet_and_is_not_the_gateway() {
        let mut next = network("bcn", "10.20.0.0/16");
        next["spec"]["gateway"] = json!("10.20.0.1");
        next["spec"]["hosts"] = json!([
            {"node": "a", "address": "10.20.0.7"},
            {"node": "b", "address": "10.21.0.7"},
            {"node": "c", "address": "10.20.0.1"},
        ]);
        assert_eq!(problems(&next, &[]).len(), 2);
    }
}
