//! The copy of the state, its clock, and what is due when.

use super::hosts::Hosts;
use super::outlook::Watched;
use super::{Forecast, Pace, Step};
use crate::amounts::{later, span};
use crate::{ClusterState, Decisions, Leader, Objects, StateError, explain};
use jiff::{SignedDuration, Timestamp};
use quorate_crds::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How far a trial looks ahead.
const HORIZON: SignedDuration = SignedDuration::from_hours(6);
/// More rounds than this at one moment mean that the planner goes in circles.
const ROUNDS: usize = 32;
/// More moments than this mean that something comes again and again.
const MOMENTS: usize = 100_000;

/// Something that the world of the trial will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A host has made that generation of a record so.
    Answer { record: String, generation: u64 },
    /// A lost host has been silent for the detection time.
    Silence { host: String },
    /// A fence operation has an outcome.
    Fence { operation: String },
    /// A replica has received what it missed.
    CaughtUp { volume: String, host: String },
}

pub(super) struct Trial {
    before: Objects,
    objects: Objects,
    state: ClusterState,
    term: u64,
    start: Timestamp,
    pub(super) now: Timestamp,
    pub(super) pace: Pace,
    pub(super) hosts: Hosts,
    due: BTreeMap<(Timestamp, u64), Due>,
    numbered: u64,
    steps: Vec<Step>,
    watched: Watched,
    last: Decisions,
    settled: bool,
}

impl Trial {
    pub(super) fn of(objects: Objects, leader: Leader, pace: Pace) -> Result<Self, StateError> {
        let hosts = Hosts::of(&objects);
        Ok(Self {
            state: ClusterState::of(objects.values())?,
            watched: Watched::of(&objects, &hosts),
            before: objects.clone(),
            objects,
            term: leader.term,
            start: leader.now,
            now: leader.now,
            pace,
            hosts,
            due: BTreeMap::new(),
            numbered: 0,
            steps: Vec::new(),
            last: Decisions::default(),
            settled: true,
        })
    }

    /// The host loses power and all networks.
    pub(super) fn lose(&mut self, host: &str) -> Result<(), StateError> {
        let state = self.text("Node", host, "/status/state");
        if state == "Online" || state == "Joining" {
            self.hosts.lose(host);
            let silence = self
                .settings()
                .pointer("/detection/timeout")
                .and_then(Value::as_str)
                .map_or(SignedDuration::from_secs(2), |text| {
                    span(&Duration::from(text))
                });
            self.step("Node", host, "Lost", "it loses power and all networks");
            self.silence_member(host)?;
            self.after(
                silence,
                Due::Silence {
                    host: host.to_owned(),
                },
            );
        } else {
            self.step(
                "Node",
                host,
                "Lost",
                &format!("it is {state} already: nothing more is lost"),
            );
        }
        Ok(())
    }

    fn silence_member(&mut self, host: &str) -> Result<(), StateError> {
        let clusters: Vec<String> = self.names_of("Cluster").map(str::to_owned).collect();
        for cluster in clusters {
            self.edit("Cluster", &cluster, |cluster| {
                let members = cluster["status"]["members"].as_array_mut();
                for member in members.into_iter().flatten() {
                    let of_host = member.get("node").unwrap_or(&member["name"]) == host;
                    if of_host {
                        member["reachable"] = json!(false);
                    }
                }
            })?;
        }
        Ok(())
    }

    /// A person drains the host.
    pub(super) fn drain(&mut self, host: &str) -> Result<(), StateError> {
        self.edit("Node", host, |node| {
            node["spec"]["mode"] = json!("Drained");
        })
    }

    /// Plans and lets the hosts act until nothing is left to do.
    pub(super) fn settle(&mut self) -> Result<(), StateError> {
        let end = later(self.start, HORIZON);
        for _ in 0..MOMENTS {
            self.look_at_volumes()?;
            self.decide()?;
            self.obey();
            self.call_fencing();
            self.watched.look(&self.objects, &self.hosts, self.now);
            let due = self.due.keys().next().map(|(at, _)| *at);
            let wake = self.last.wake_at.filter(|at| *at > self.now);
            let Some(next) = due.into_iter().chain(wake).min() else {
                return Ok(());
            };
            // Time alone, hours from now, changes nothing that was supposed.
            if next > end {
                self.settled = due.is_none();
                return Ok(());
            }
            self.now = next;
            while let Some(entry) = self.due.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let due = entry.remove();
                self.happen(due)?;
            }
        }
        self.settled = false;
        Ok(())
    }

    fn happen(&mut self, due: Due) -> Result<(), StateError> {
        match due {
            Due::Answer { record, generation } => self.answer(&record, generation),
            Due::Silence { host } => {
                self.step("Node", &host, "Suspect", "it is silent on all rings");
                self.edit("Node", &host, |node| {
                    node["status"]["state"] = json!("Suspect");
                })
            }
            Due::Fence { operation } => self.fenced(&operation),
            Due::CaughtUp { volume, host } => {
                self.caught_up(&volume, &host);
                Ok(())
            }
        }
    }

    fn decide(&mut self) -> Result<(), StateError> {
        for _ in 0..ROUNDS {
            let leader = Leader {
                now: self.now,
                term: self.term,
            };
            self.last = explain(&self.state, leader);
            if self.last.is_empty() {
                return Ok(());
            }
            let decisions = std::mem::take(&mut self.last);
            self.note(&decisions);
            decisions.commit(&mut self.objects, &mut self.state)?;
            self.last = decisions;
        }
        self.settled = false;
        Ok(())
    }

    fn note(&mut self, decisions: &Decisions) {
        for event in &decisions.events {
            let about = &event.regarding;
            self.step(&about.kind, about.name.as_str(), &event.reason, &event.note);
        }
        let told = |name: &str| {
            let mut events = decisions.events.iter();
            events.any(|event| {
                event.regarding.kind == "Volume" && event.regarding.name.as_str() == name
            })
        };
        let volumes = decisions.statuses.iter().filter(|it| it.kind == "Volume");
        for patch in volumes.filter(|patch| !told(&patch.name)) {
            let members = |value: &Value| -> Vec<String> {
                let names = value["inSync"].as_array().into_iter().flatten();
                names.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let old = self
                .object("Volume", &patch.name)
                .map(|volume| members(&volume["status"]))
                .unwrap_or_default();
            let new = members(&patch.status);
            if patch.status.get("inSync").is_none() || old.is_empty() {
                continue;
            }
            let gone: Vec<&str> = without(&old, &new);
            let back: Vec<&str> = without(&new, &old);
            if !gone.is_empty() {
                let text = format!(
                    "{} writes on without {}",
                    new.join(" and "),
                    gone.join(" and ")
                );
                self.step("Volume", &patch.name, "Degraded", &text);
            }
            if !back.is_empty() {
                let text = format!("{} holds every write now", back.join(" and "));
                self.step("Volume", &patch.name, "InSync", &text);
            }
        }
    }

    pub(super) fn outlook(self) -> Forecast {
        super::outlook::outlook(
            super::outlook::End {
                before: &self.before,
                after: &self.objects,
                reasons: &self.last.reasons,
                watched: self.watched,
                start: self.start,
            },
            self.steps,
            self.settled,
        )
    }

    pub(super) fn step(&mut self, kind: &str, name: &str, reason: &str, message: &str) {
        self.steps.push(Step {
            at: self.now.duration_since(self.start),
            kind: kind.to_owned(),
            name: name.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        });
    }

    pub(super) fn after(&mut self, wait: SignedDuration, due: Due) {
        self.numbered += 1;
        self.due.insert((later(self.now, wait), self.numbered), due);
    }

    /// Whether exactly this will happen anyway.
    pub(super) fn expects(&self, due: &Due) -> bool {
        self.due.values().any(|one| one == due)
    }

    pub(super) fn settings(&self) -> Value {
        let mut clusters = self.objects_of("Cluster");
        clusters
            .next()
            .map_or(Value::Null, |(_, cluster)| cluster["spec"].clone())
    }

    pub(super) fn object(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind.to_owned(), name.to_owned()))
    }

    pub(super) fn objects_of<'a>(
        &'a self,
        kind: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.objects
            .range((kind.to_owned(), String::new())..)
            .take_while(move |((of, _), _)| of == kind)
            .map(|((_, name), object)| (name.as_str(), object))
    }

    pub(super) fn names_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.objects_of(kind).map(|(name, _)| name)
    }

    pub(super) fn text(&self, kind: &str, name: &str, pointer: &str) -> String {
        self.object(kind, name)
            .and_then(|object| object.pointer(pointer))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn put(&mut self, object: Value) -> Result<(), StateError> {
        self.state.put(&object)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        self.objects.insert(key, object);
        Ok(())
    }

    pub(super) fn edit(
        &mut self,
        kind: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), StateError> {
        let Some(object) = self.objects.get_mut(&(kind.to_owned(), name.to_owned())) else {
            return Ok(());
        };
        if !object["status"].is_object() {
            object["status"] = json!({});
        }
        change(object);
        self.state.put(object)?;
        Ok(())
    }
}

fn without<'a>(these: &'a [String], those: &[String]) -> Vec<&'a str> {
    these
        .iter()
        .filter(|one| !those.contains(one))
        .map(String::as_str)
        .collect()
}
