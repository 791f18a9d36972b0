//! The hosts of a trial: they make every record of their plan so, in the order of what it depends
//! on, and say so.

use super::trial::{Due, Trial};
use crate::{Objects, StateError};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An object, and a host.
pub(super) type Place = (String, String);

/// What is so on the hosts, whatever the state says.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// Those that are not heard.
    lost: BTreeSet<String>,
    /// Where guests run.
    pub(super) running: BTreeSet<Place>,
    /// Guests whose memory has arrived, and those that were sent away: they stand still.
    pub(super) arrived: BTreeSet<Place>,
    pub(super) sent: BTreeSet<Place>,
    /// The newest epoch under which a host started a guest.
    pub(super) started: BTreeMap<Place, u64>,
    /// Replicas that exist, with their sizes.
    pub(super) made: BTreeMap<Place, Value>,
    /// Replicas that are up, and so hear each other; those that are open; those that hold every
    /// write; those that know that they do not; those that let another one write beside them.
    pub(super) up: BTreeSet<Place>,
    pub(super) writing: BTreeSet<Place>,
    pub(super) current: BTreeSet<Place>,
    pub(super) outdated: BTreeSet<Place>,
    pub(super) two: BTreeSet<Place>,
    /// Replicas without a working disk, and how that is said.
    pub(super) diskless: BTreeMap<Place, Value>,
    /// Replicas that refuse their peers, because both sides have written.
    pub(super) apart: BTreeSet<Place>,
    /// Where filesystems are mounted, and logical volumes above others active.
    mounted: BTreeSet<Place>,
    active: BTreeSet<Place>,
    /// Fence operations of which every level has failed.
    in_vain: BTreeSet<String>,
}

impl Hosts {
    pub(super) fn of(objects: &Objects) -> Self {
        let mut hosts = Self::default();
        for ((kind, name), object) in objects {
            match kind.as_str() {
                "Node" if object["status"]["state"] != "Online" => {
                    hosts.lost.insert(name.clone());
                }
                "NodePlan" => hosts.take_over(&object["spec"], &object["status"]),
                "Volume" => hosts.take_over_data(name, &object["status"]),
                _ => {}
            }
        }
        for host in hosts.lost.clone() {
            hosts.lose(&host);
        }
        hosts
    }

    fn take_over(&mut self, spec: &Value, status: &Value) {
        let assignment = &spec["assignment"];
        let said = status["observedPlanGeneration"].is_u64() && status["released"] != true;
        if !said {
            return;
        }
        let place = (text(&assignment["object"]["name"]), text(&spec["node"]));
        let converged = is_true(status, "Converged");
        if assignment["guest"].is_object() {
            self.started
                .insert(place.clone(), assignment["epoch"].as_u64().unwrap_or(0));
            let active = assignment["active"] == true;
            match status["guest"]["presence"].as_str() {
                Some("Running" | "Paused") => self.running.insert(place),
                Some("Arriving" | "Arrived") => self.arrived.insert(place),
                Some("Sent") => self.sent.insert(place),
                None if active && converged && assignment["guest"]["step"] == "Keep" => {
                    self.running.insert(place)
                }
                _ => false,
            };
        } else if assignment["replica"].is_object() && assignment["active"] == true {
            self.take_over_replica(place, &assignment["replica"], &status["replica"]);
        } else if assignment["mount"].is_object()
            && assignment["mount"]["check"].is_null()
            && assignment["active"] == true
            && converged
        {
            self.mounted.insert(place);
        } else if is_logical(assignment) && assignment["active"] == true && converged {
            self.active.insert(place);
        }
    }

    fn take_over_replica(&mut self, place: Place, assigned: &Value, seen: &Value) {
        self.made.insert(place.clone(), seen["size"].clone());
        self.up.insert(place.clone());
        let role = match seen["role"].is_null() {
            true => &assigned["role"],
            false => &seen["role"],
        };
        if role == "Primary" {
            self.writing.insert(place.clone());
        }
        if seen["twoPrimariesAllowed"] == true {
            self.two.insert(place.clone());
        }
        let peers = seen["peers"].as_array().into_iter().flatten();
        let refused = peers
            .into_iter()
            .any(|peer| peer["connection"] == "StandAlone");
        if refused || seen["connection"] == "StandAlone" {
            self.apart.insert(place.clone());
        }
        match seen["disk"].as_str() {
            Some("UpToDate") => {
                self.current.insert(place);
            }
            Some("Outdated") => {
                self.outdated.insert(place);
            }
            Some("Failed" | "Diskless") => {
                self.diskless.insert(place, seen["disk"].clone());
            }
            _ => {}
        }
    }

    /// Members of the in-sync set hold every write, also those that are not heard.
    fn take_over_data(&mut self, volume: &str, status: &Value) {
        for member in status["inSync"].as_array().into_iter().flatten() {
            let place = (volume.to_owned(), text(member));
            if !self.diskless.contains_key(&place) && !self.outdated.contains(&place) {
                self.current.insert(place);
            }
        }
    }

    pub(super) fn lose(&mut self, host: &str) {
        self.lost.insert(host.to_owned());
        let elsewhere = |place: &Place| place.1 != host;
        self.running.retain(elsewhere);
        self.arrived.retain(elsewhere);
        self.sent.retain(elsewhere);
        self.up.retain(elsewhere);
        self.writing.retain(elsewhere);
        self.two.retain(elsewhere);
        self.mounted.retain(elsewhere);
        self.active.retain(elsewhere);
    }

    pub(super) fn hears(&self, host: &str) -> bool {
        !self.lost.contains(host)
    }

    pub(super) fn runs(&self, guest: &str) -> bool {
        self.running.iter().any(|(name, _)| name == guest)
    }

    pub(super) fn fence_in_vain(&mut self, operation: &str) {
        self.in_vain.insert(operation.to_owned());
    }

    pub(super) fn fenced_in_vain(&self, operation: &Value) -> bool {
        self.in_vain.contains(&text(&operation["metadata"]["name"]))
    }

    /// Whether what a record depends on is there: an open volume, a mounted filesystem.
    fn ready(&self, needed: &Value, host: &str) -> bool {
        let place = (text(&needed["name"]), host.to_owned());
        match needed["kind"].as_str() {
            Some("Volume") => self.writing.contains(&place) || self.active.contains(&place),
            Some("SharedFilesystem") => self.mounted.contains(&place),
            _ => true,
        }
    }
}

impl Trial {
    /// Lets every host that is heard begin with what its plan newly says.
    pub(super) fn obey(&mut self) {
        let begun: Vec<(SignedDuration, Due)> = self
            .objects_of("NodePlan")
            .filter(|(_, plan)| plan["spec"]["assignment"].is_object())
            .filter(|(_, plan)| self.is_news(plan) && self.is_its_turn(plan))
            .filter_map(|(name, plan)| {
                let due = Due::Answer {
                    record: name.to_owned(),
                    generation: plan["spec"]["planGeneration"].as_u64()?,
                };
                (!self.expects(&due)).then(|| (self.takes(&plan["spec"]), due))
            })
            .collect();
        for (wait, due) in begun {
            self.after(wait, due);
        }
    }

    fn is_news(&self, plan: &Value) -> bool {
        let (spec, status) = (&plan["spec"], &plan["status"]);
        let host = text(&spec["node"]);
        let node = self.object("Node", &host);
        let answered = status["observedPlanGeneration"] == spec["planGeneration"]
            && status["incarnation"] == spec["incarnation"];
        self.hosts.hears(&host)
            && !answered
            && node.is_some_and(|node| node["status"]["incarnation"] == spec["incarnation"])
    }

    /// What starts comes after what it depends on. What stops waits for nothing: the planner takes
    /// nothing down under its user.
    fn is_its_turn(&self, plan: &Value) -> bool {
        let (assignment, host) = (&plan["spec"]["assignment"], text(&plan["spec"]["node"]));
        let stops = assignment["mount"]["lockspace"]["step"] == "Stop";
        if assignment["active"] != true || stops {
            return true;
        }
        let mut needed = assignment["after"].as_array().into_iter().flatten();
        needed.all(|needed| self.hosts.ready(needed, &host))
    }

    fn takes(&self, spec: &Value) -> SignedDuration {
        let assignment = &spec["assignment"];
        if assignment["guest"].is_object() {
            return self.guest_takes(assignment, &text(&spec["node"]));
        }
        self.pace.storage
    }

    /// A host has made a record so.
    pub(super) fn answer(&mut self, record: &str, generation: u64) -> Result<(), StateError> {
        let Some(plan) = self.object("NodePlan", record) else {
            return Ok(());
        };
        let (spec, before) = (plan["spec"].clone(), plan["status"].clone());
        let host = text(&spec["node"]);
        if spec["planGeneration"] != generation || !self.hosts.hears(&host) {
            return Ok(());
        }
        let assignment = &spec["assignment"];
        let place = (text(&assignment["object"]["name"]), host);
        let mut status = if assignment["guest"].is_object() {
            self.make_guest(&place, assignment)
        } else if assignment["replica"].is_object() {
            self.make_replica(&place, assignment)
        } else {
            self.make_rest(&place, assignment, &before)
        };
        let released = assignment["active"] != true;
        let now = json!(self.now.to_string());
        if status["conditions"].is_null() {
            status["conditions"] = json!([said("Converged", "AsPlanned")]);
        }
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"] = now.clone();
        }
        status["observedPlanGeneration"] = json!(generation);
        status["incarnation"] = spec["incarnation"].clone();
        status["released"] = json!(released);
        self.edit("NodePlan", record, |plan| plan["status"] = status)
    }

    /// Networks, pools and filesystems.
    fn make_rest(&mut self, place: &Place, assignment: &Value, before: &Value) -> Value {
        let (_, host) = place;
        let mut status = json!({});
        if assignment["mount"].is_object() {
            let stops = assignment["mount"]["lockspace"]["step"] == "Stop";
            let checks = assignment["mount"]["check"].is_object();
            let mounted = match assignment["active"] == true {
                true if checks => false,
                true if stops => self.hosts.mounted.contains(place),
                true => {
                    self.hosts.mounted.insert(place.clone());
                    true
                }
                false => {
                    self.hosts.mounted.remove(place);
                    false
                }
            };
            let state = if mounted { "Mounted" } else { "Unmounted" };
            status["mount"] = json!({"node": host, "state": state});
            if checks {
                let number = &assignment["mount"]["check"]["number"];
                status["mount"]["check"] = json!({"number": number, "result": "Clean"});
            }
            if mounted {
                status["mount"]["journals"] = assignment["mount"]["journals"].clone();
            }
        } else if assignment["network"].is_object() {
            status["network"] = match before["network"].is_object() {
                true => before["network"].clone(),
                false => json!({
                    "node": host, "state": "Up",
                    "device": assignment["network"]["device"],
                    "address": assignment["network"]["address"],
                }),
            };
        } else if is_logical(assignment) {
            match assignment["active"] == true {
                true => self.hosts.active.insert(place.clone()),
                false => self.hosts.active.remove(place),
            };
        } else if before["pool"].is_object() {
            status["pool"] = before["pool"].clone();
        } else if assignment["storage"]["make"] == true {
            // A new group has what the volume below it has.
            status["pool"] = json!({
                "node": host, "state": "Ready", "capacity": assignment["storage"]["size"],
            });
        }
        status
    }
}

fn is_logical(assignment: &Value) -> bool {
    assignment["storage"]["logicalVolume"].is_string()
}

pub(super) fn said(type_: &str, reason: &str) -> Value {
    json!({"type": type_, "status": "True", "reason": reason, "message": ""})
}

fn is_true(status: &Value, type_: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == type_ && condition["status"] == "True")
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
