//! What a trial comes to: what would be left undone, what would be down meanwhile, what would be
//! different.

use super::hosts::Hosts;
use super::{Forecast, Step};
use crate::{Objects, Why};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Something that would not be as it should, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// Why, as one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Whether it was like that before anything was supposed.
    pub already: bool,
}

/// A time in which a guest that is wanted would not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// The guest.
    pub guest: String,
    /// Its beginning, counted from the supposition.
    #[serde(serialize_with = "super::seconds")]
    pub from: SignedDuration,
    /// Its end; none when it does not run at the end either.
    pub until: Option<SignedDuration>,
}

/// Something that would be different at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// What of it: `node`, `state`, `inSync`.
    pub field: String,
    /// How it is; empty when it is nothing.
    pub before: String,
    /// How it would be.
    pub after: String,
}

/// Which guests ran when.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    ran: BTreeSet<String>,
    since: BTreeMap<String, Timestamp>,
    over: Vec<(String, Timestamp, Timestamp)>,
}

impl Watched {
    pub(super) fn of(objects: &Objects, hosts: &Hosts) -> Self {
        let guests = objects.keys().filter(|(kind, _)| kind == "VirtualMachine");
        let ran = guests.filter(|(_, name)| hosts.runs(name));
        Self {
            ran: ran.map(|(_, name)| name.clone()).collect(),
            ..Self::default()
        }
    }

    pub(super) fn look(&mut self, objects: &Objects, hosts: &Hosts, now: Timestamp) {
        for ((kind, name), guest) in objects {
            if kind != "VirtualMachine" || !self.ran.contains(name) {
                continue;
            }
            match (wanted(guest) && !hosts.runs(name), self.since.get(name)) {
                (true, None) => {
                    self.since.insert(name.clone(), now);
                }
                (false, Some(since)) => {
                    // A guest that moves while it runs is nowhere for a moment of no length.
                    if *since < now {
                        self.over.push((name.clone(), *since, now));
                    }
                    self.since.remove(name);
                }
                _ => {}
            }
        }
    }
}

pub(super) struct End<'a> {
    pub(super) before: &'a Objects,
    pub(super) after: &'a Objects,
    pub(super) reasons: &'a BTreeMap<String, Vec<Why>>,
    pub(super) watched: Watched,
    pub(super) start: Timestamp,
}

pub(super) fn outlook(end: End<'_>, steps: Vec<Step>, settled: bool) -> Forecast {
    let mut down = Vec::new();
    let mut degraded = Vec::new();
    for ((kind, name), object) in end.after {
        let key = (kind.clone(), name.clone());
        let before = end.before.get(&key);
        let about = match kind.as_str() {
            "VirtualMachine" if wanted(object) && !runs(object) => "Scheduled",
            "Volume" => "InSync",
            "Node" if is_not(object, "Drained") => "Drained",
            "Node" => "Ready",
            _ => continue,
        };
        let failing = |object: &Value| is_not(object, about);
        if kind != "VirtualMachine" && !failing(object) {
            continue;
        }
        let said = condition(object, about).map(|(_, reason, message)| (reason, message));
        let nearest = end
            .reasons
            .get(&format!("{kind}/{name}"))
            .and_then(|reasons| reasons.first())
            .map(|why| (why.reason.to_string(), why.message.clone()));
        let (reason, message) = nearest.or(said).unwrap_or_default();
        let left = Left {
            kind: kind.clone(),
            name: name.clone(),
            reason,
            message,
            already: match kind.as_str() {
                "VirtualMachine" => before.is_some_and(|before| wanted(before) && !runs(before)),
                _ => before.is_some_and(failing),
            },
        };
        match kind.as_str() {
            "VirtualMachine" => down.push(left),
            _ => degraded.push(left),
        }
    }
    let span = |at: &Timestamp| at.duration_since(end.start);
    let over = end.watched.over.iter();
    let mut outages: Vec<Outage> = over
        .map(|(guest, from, until)| Outage {
            guest: guest.clone(),
            from: span(from),
            until: Some(span(until)),
        })
        .collect();
    outages.extend(end.watched.since.iter().map(|(guest, from)| Outage {
        guest: guest.clone(),
        from: span(from),
        until: None,
    }));
    outages.sort_by(|a, b| (a.from, &a.guest).cmp(&(b.from, &b.guest)));
    Forecast {
        took: steps.last().map_or(SignedDuration::ZERO, |step| step.at),
        steps,
        down,
        degraded,
        outages,
        changes: changes(end.before, end.after),
        settled,
    }
}

/// The fields of a status that people compare.
fn compared(kind: &str) -> &'static [&'static str] {
    match kind {
        "VirtualMachine" => &["state", "node"],
        "Volume" => &["inSync"],
        "Node" => &["state"],
        _ => &[],
    }
}

fn changes(before: &Objects, after: &Objects) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, new) in after {
        let (kind, name) = key;
        for field in compared(kind) {
            let old = before.get(key).map(|old| words(&old["status"][field]));
            let (old, new) = (old.unwrap_or_default(), words(&new["status"][field]));
            if old != new {
                changes.push(Change {
                    kind: kind.clone(),
                    name: name.clone(),
                    field: (*field).to_owned(),
                    before: old,
                    after: new,
                });
            }
        }
    }
    changes
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            items.join(",")
        }
        _ => String::new(),
    }
}

fn wanted(guest: &Value) -> bool {
    guest["spec"]["desiredState"] != "Stopped" && guest["metadata"]["deletionTimestamp"].is_null()
}

fn runs(guest: &Value) -> bool {
    matches!(
        guest["status"]["state"].as_str(),
        Some("Running" | "Paused" | "Migrating")
    )
}

fn is_not(object: &Value, about: &str) -> bool {
    condition(object, about).is_some_and(|(status, ..)| status != "True")
}

fn condition(object: &Value, type_: &str) -> Option<(String, String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|one| one["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}
