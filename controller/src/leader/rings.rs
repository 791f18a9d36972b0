//! `Node.status.rings`: on which networks a host is heard, coarsely.

use std::net::IpAddr;

use quorate_crds::{LinkState, Name, Network, Time};
use serde_json::{Value, json};

/// What the rings are called, in their order: after the network that this member's address on each lies in.
pub(super) fn names<'n>(
    count: usize,
    addresses: &[String],
    networks: impl Iterator<Item = &'n Network> + Clone,
) -> Vec<Name> {
    (0..count)
        .map(|ring| {
            let own = addresses.get(ring).and_then(|address| host_of(address));
            let network = own.and_then(|own| {
                let mut networks = networks.clone();
                networks
                    .find(|network| contains(network, own))?
                    .metadata
                    .name
                    .clone()
            });
            Name(network.unwrap_or_else(|| format!("ring-{ring}")))
        })
        .collect()
}

/// Says of each ring whether the host is heard on it. Since when is kept where nothing has changed.
pub(super) fn put(node: &mut Value, names: &[Name], silent: impl Fn(usize) -> bool, now: &Time) {
    let before = node["status"]["rings"].take();
    let rings: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(ring, network)| {
            let state = match silent(ring) {
                true => LinkState::Down,
                false => LinkState::Up,
            };
            let known = before.as_array().into_iter().flatten();
            let known = known
                .filter(|known| known["network"] == json!(network))
                .find(|known| known["state"] == json!(state));
            known
                .cloned()
                .unwrap_or_else(|| json!({"network": network, "state": state, "since": now}))
        })
        .collect();
    node["status"]["rings"] = json!(rings);
}

fn host_of(address: &str) -> Option<IpAddr> {
    let (host, _) = address.rsplit_once(':')?;
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

fn contains(network: &Network, address: IpAddr) -> bool {
    let subnet = network.spec.subnet.as_ref().map(|subnet| subnet.as_str());
    let Some((base, prefix)) = subnet.and_then(|subnet| subnet.split_once('/')) else {
        return false;
    };
    match (base.parse(), address, prefix.parse::<u32>()) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address), Ok(prefix @ 0..=32)) => {
            let shift = 32 - prefix;
            u64::from(base.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address), Ok(prefix @ 0..=128)) => {
            let same = base.to_bits() ^ address.to_bits();
            prefix == 0 || same >> (128 - prefix) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use quorate_crds::NetworkSpec;

    use super::*;

    #[test]
    fn a_ring_is_called_after_the_network_that_it_runs_on() {
        let network = |name: &str, subnet: &str| {
            let spec = serde_json::from_value(json!({"subnet": subnet}));
            Network::new(name, spec.unwrap_or_else(|_| NetworkSpec::default()))
        };
        let networks = [
            network("bcn", "10.20.0.0/16"),
            network("sn", "10.10.0.0/16"),
            network("six", "fd00:6::/64"),
        ];
        let addresses = [
            "10.10.0.3:7000",
            "10.20.1.3:7000",
            "[fd00:6::3]:7000",
            "host:7000",
        ];
        let addresses = addresses.map(str::to_owned);
        let names: Vec<String> = names(4, &addresses, networks.iter())
            .into_iter()
            .map(|name| name.to_string())
            .collect();
        assert_eq!(names, ["sn", "bcn", "six", "ring-3"]);
    }

    #[test]
    fn a_ring_that_stays_as_it_is_keeps_its_time() {
        let names = [Name::from("bcn"), Name::from("sn")];
        let (early, late) = (
            Time::from("2026-03-01T12:00:00Z"),
            Time::from("2026-03-01T12:00:09Z"),
        );
        let mut node = json!({"status": {}});
        put(&mut node, &names, |_| false, &early);
        put(&mut node, &names, |ring| ring == 1, &late);
        let rings = &node["status"]["rings"];
        assert_eq!(
            rings[0],
            json!({"network": "bcn", "state": "Up", "since": early})
        );
        assert_eq!(
            rings[1],
            json!({"network": "sn", "state": "Down", "since": late})
        );
    }
}
