//! What hosts find of their networks: cards, and the ways to each other. The figures are as coarse as hosts report them.

use std::collections::BTreeMap;

use quorate_crds::{LinkState, Node, NodePlan, NodeState};
use quorate_store::{Bucket, View};
use serde::de::DeserializeOwned;

use super::Page;

/// A figure with its words, and its series.
struct Family {
    name: &'static str,
    words: &'static str,
    series: Vec<(String, String)>,
}

impl Family {
    fn new(name: &'static str, words: &'static str) -> Self {
        Self {
            name,
            words,
            series: Vec::new(),
        }
    }

    fn put(&mut self, labels: &str, value: impl ToString) {
        self.series.push((labels.to_owned(), value.to_string()));
    }
}

/// Writes all of them, of hosts that are there.
pub(super) fn write(page: &mut Page, view: &View) {
    figures(page, &all(view, "nodes"), &all(view, "nodeplans"));
}

fn figures(page: &mut Page, nodes: &BTreeMap<String, Node>, plans: &BTreeMap<String, NodePlan>) {
    let mut works = Family::new(
        "quorate_network_up",
        "Whether the network works on the host, be it with fewer cards than it has.",
    );
    let mut cards = Family::new(
        "quorate_network_card_up",
        "Whether the card has a signal and its bond uses it, or would.",
    );
    let mut failures = Family::new(
        "quorate_network_card_failures",
        "How often the card lost its signal since the host started.",
    );
    let mut speeds = Family::new("quorate_network_card_speed_mbits", "What the card runs at.");
    let mut errors = Family::new(
        "quorate_network_card_errors_per_million",
        "How many of a million packets the card has damaged lately, as a power of ten.",
    );
    let mut ways = Family::new(
        "quorate_network_way_up",
        "Whether the host hears the other one over the network.",
    );
    let mut losses = Family::new(
        "quorate_network_way_loss_percent",
        "How much of what the host asks the other one is not answered.",
    );
    let mut trips = Family::new(
        "quorate_network_way_round_trip_seconds_at_most",
        "How long an answer takes at most.",
    );
    for plan in plans.values() {
        let there = |host: &str| {
            let status = nodes.get(host)?.status.as_ref()?;
            let online = status.state == Some(NodeState::Online);
            online.then_some(status.incarnation)
        };
        let host = plan.spec.node.as_str();
        let Some((status, incarnation)) = plan.status.as_ref().zip(there(host)) else {
            continue;
        };
        let assigned = plan.spec.assignment.as_ref();
        // What a former boot said is over.
        let Some(assigned) = assigned.filter(|it| it.active && status.incarnation == incarnation)
        else {
            continue;
        };
        let Some(seen) = &status.network else {
            continue;
        };
        let network = format!("network=\"{}\",node=\"{host}\"", assigned.object.name);
        if let Some(state) = seen.state {
            works.put(&network, u8::from(state != LinkState::Down));
        }
        for card in &seen.links {
            let labels = format!("{network},card=\"{}\"", card.nic);
            if let Some(state) = card.state {
                cards.put(&labels, u8::from(state == LinkState::Up));
                errors.put(&labels, card.errors.unwrap_or(0));
            }
            if let Some(count) = card.failures {
                failures.put(&labels, count);
            }
            if let Some(speed) = card.speed {
                speeds.put(&labels, speed);
            }
        }
        for way in &status.links {
            let labels = format!("{network},peer=\"{}\"", way.node);
            let Some(state) = way.state.filter(|_| there(way.node.as_str()).is_some()) else {
                continue;
            };
            ways.put(&labels, u8::from(state != LinkState::Down));
            losses.put(
                &labels,
                match state {
                    LinkState::Down => 100,
                    _ => way.loss.unwrap_or(0),
                },
            );
            let took = way.round_trip.as_ref().filter(|_| state != LinkState::Down);
            if let Some(Ok(took)) = took.map(|took| took.parse()) {
                trips.put(&labels, took.as_secs_f64());
            }
        }
    }
    for family in [works, cards, failures, speeds, errors, ways, losses, trips] {
        page.heading(family.name, family.words);
        for (labels, value) in family.series {
            page.series(family.name, &labels, &value);
        }
    }
}

fn all<T: DeserializeOwned>(view: &View, resource: &str) -> BTreeMap<String, T> {
    let stored = view.list(&Bucket::new(resource), None, usize::MAX);
    stored
        .into_iter()
        .filter_map(|(key, stored)| {
            let object = serde_json::from_slice(&stored.value).ok()?;
            Some((key.name.to_string(), object))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn nodes(states: [&str; 2]) -> BTreeMap<String, Node> {
        let hosts = ["an1", "an2"].into_iter().zip(states);
        hosts
            .map(|(host, state)| {
                let node = json!({
                    "apiVersion": "quorate.dev/v1alpha1", "kind": "Node",
                    "metadata": {"name": host}, "spec": {},
                    "status": {"state": state, "incarnation": 2},
                });
                let node = serde_json::from_value(node).expect("a Node");
                (host.to_owned(), node)
            })
            .collect()
    }

    fn plan(host: &str, incarnation: u64, status: &Value) -> (String, NodePlan) {
        let mut status = status.clone();
        status["incarnation"] = json!(incarnation);
        let plan = json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan",
            "metadata": {"name": format!("{host}.network.sn")},
            "spec": {
                "node": host, "incarnation": 2, "term": 1, "planGeneration": 1,
                "assignment": {
                    "object": {"kind": "Network", "name": "sn"}, "epoch": 0, "active": true,
                    "network": {"device": "bond-sn"},
                },
            },
            "status": status,
        });
        let plan = serde_json::from_value(plan).expect("a NodePlan");
        (host.to_owned(), plan)
    }

    fn page(nodes: &BTreeMap<String, Node>, plans: [(String, NodePlan); 1]) -> String {
        let mut page = Page::default();
        figures(&mut page, nodes, &BTreeMap::from(plans));
        page.0
    }

    #[test]
    fn cards_and_ways_of_hosts_that_are_there_are_figures() {
        let status = json!({
            "network": {"node": "an1", "state": "Degraded", "links": [
                {"nic": "sn1", "state": "Up", "failures": 3, "speed": 10_000, "errors": 100},
                {"nic": "sn2", "state": "Down"},
            ]},
            "links": [{"node": "an2", "state": "Degraded", "loss": 10, "roundTrip": "4ms"}],
        });
        let both = nodes(["Online", "Online"]);
        let told = page(&both, [plan("an1", 2, &status)]);
        let card = |card: &str| format!("network=\"sn\",node=\"an1\",card=\"{card}\"");
        let (sn1, sn2) = (card("sn1"), card("sn2"));
        let way = "network=\"sn\",node=\"an1\",peer=\"an2\"";
        for line in [
            "quorate_network_up{network=\"sn\",node=\"an1\"} 1".to_owned(),
            format!("quorate_network_card_up{{{sn1}}} 1"),
            format!("quorate_network_card_up{{{sn2}}} 0"),
            format!("quorate_network_card_failures{{{sn1}}} 3"),
            format!("quorate_network_card_speed_mbits{{{sn1}}} 10000"),
            format!("quorate_network_card_errors_per_million{{{sn1}}} 100"),
            format!("quorate_network_card_errors_per_million{{{sn2}}} 0"),
            format!("quorate_network_way_up{{{way}}} 1"),
            format!("quorate_network_way_loss_percent{{{way}}} 10"),
            format!("quorate_network_way_round_trip_seconds_at_most{{{way}}} 0.004"),
        ] {
            assert!(told.lines().any(|found| found == line), "{line}: {told}");
        }
        let alone = page(&nodes(["Online", "Fenced"]), [plan("an1", 2, &status)]);
        assert!(
            !alone.contains("peer="),
            "of a host that is gone nothing is said: {alone}"
        );
        for (states, incarnation) in [(["Fenced", "Online"], 2), (["Online", "Online"], 1)] {
            let told = page(&nodes(states), [plan("an1", incarnation, &status)]);
            assert!(!told.contains("node="), "it is over what an1 said: {told}");
        }
    }

    #[test]
    fn a_way_that_is_broken_loses_all_and_has_no_round_trip() {
        let status = json!({
            "network": {"node": "an1", "state": "Up"},
            "links": [{"node": "an2", "state": "Down", "loss": 10, "roundTrip": "4ms"}],
        });
        let told = page(&nodes(["Online", "Online"]), [plan("an1", 2, &status)]);
        assert!(told.contains("peer=\"an2\"} 100\n"), "{told}");
        assert!(!told.contains("round_trip_seconds_at_most{"), "{told}");
    }
}
