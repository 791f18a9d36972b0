//! Whose clock runs apart, from what hosts find of each other's.

use crate::outcome::{Outcome, condition};
use crate::rights::observed;
use crate::round::Round;
use crate::state::SubjectKind;
use crate::{Reason, Why};
use quorate_crds::LinkState;
use std::collections::BTreeMap;

const TYPE: &str = "ClockInSync";

/// Per host, by how much the clock of each other one that answers is ahead, where the two do not agree.
type Apart<'r> = BTreeMap<&'r str, BTreeMap<&'r str, Option<i64>>>;

pub(super) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let mut seen: Apart<'_> = BTreeMap::new();
    for (subject, records) in round.state.records.iter() {
        if subject.kind != SubjectKind::Network {
            continue;
        }
        for (host, record) in records {
            let links = observed(&round.hosts, record).map(|status| &status.links);
            for link in links.into_iter().flatten() {
                let there = round.hosts.get(link.node.as_str());
                let answers = matches!(link.state, Some(LinkState::Up | LinkState::Degraded));
                if !answers || !there.is_some_and(|there| there.online()) {
                    continue;
                }
                let ahead = seen.entry(host).or_default();
                let known = ahead.entry(link.node.as_str()).or_default();
                *known = known.or(link.clock_ahead);
            }
        }
    }
    for host in round.hosts.values().filter(|host| host.online()) {
        let Some(others) = seen.get(host.name) else {
            continue;
        };
        let apart: Vec<(&str, i64)> = others
            .iter()
            .filter_map(|(other, ahead)| Some((*other, (*ahead)?)))
            .collect();
        // Where most others agree with it, it is the others' clock that is wrong.
        let so = apart.len() * 2 <= others.len();
        let why = match so {
            true => Why {
                reason: Reason::ClocksAgree,
                message: "its clock agrees with most of the others'".to_owned(),
            },
            false => Why {
                reason: Reason::ClockApart,
                message: words(&apart),
            },
        };
        let status = outcome
            .nodes
            .entry(host.name.to_owned())
            .or_insert_with(|| host.node.status.clone().unwrap_or_default());
        let before = status.conditions.iter().find(|one| one.type_ == TYPE);
        let changed = before.is_none_or(|one| one.reason != why.reason.as_str());
        condition(&mut status.conditions, TYPE, so, &why, round.now);
        if changed && !so {
            let regarding = quorate_crds::ObjectReference {
                kind: "Node".to_owned(),
                name: host.name.into(),
                uid: None,
            };
            outcome.event(round.now, regarding, &why);
        }
    }
}

fn words(apart: &[(&str, i64)]) -> String {
    let words: Vec<String> = apart
        .iter()
        .map(|(other, ahead)| {
            let (seconds, side) = match ahead.is_negative() {
                true => (ahead.unsigned_abs(), "ahead of"),
                false => (ahead.unsigned_abs(), "behind"),
            };
            // Tenths, so that a clock that creeps is not told of all the time.
            format!(
                "{}.{} s {side} {other}'s",
                seconds / 1_000,
                seconds % 1_000 / 100
            )
        })
        .collect();
    format!("its clock is {}", words.join(", "))
}
