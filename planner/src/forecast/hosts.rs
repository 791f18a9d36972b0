//! The hosts of a trial: they make every record of their plan so, in the order of what it depends
//! on, and say so.

use super::trial::{Due, Trial};
use crate::amounts::bytes;
use crate::{Objects, StateError};
use jiff::SignedDuration;
use quorate_crds::Size;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A guest or a volume, and a host.
type Place = (String, String);

/// What is so on the hosts, whatever the state says.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// Those that are not heard.
    lost: BTreeSet<String>,
    /// Where guests run.
    running: BTreeSet<Place>,
    /// The newest epoch under which a host started a guest.
    started: BTreeMap<Place, u64>,
    /// Where volumes are open for writing.
    writing: BTreeSet<Place>,
    /// Replicas that exist, and those of them that hold every write.
    made: BTreeSet<Place>,
    current: BTreeSet<Place>,
    /// Fence operations of which every level has failed.
    in_vain: BTreeSet<String>,
}

impl Hosts {
    pub(super) fn of(objects: &Objects) -> Self {
        let mut hosts = Self::default();
        for ((kind, name), object) in objects {
            let status = &object["status"];
            match kind.as_str() {
                "Node" if status["state"] != "Online" => {
                    hosts.lost.insert(name.clone());
                }
                "NodePlan" => hosts.take_over(&object["spec"], status),
                "Volume" => {
                    for replica in status["replicas"].as_array().into_iter().flatten() {
                        let place = (name.clone(), text(&replica["node"]));
                        let member = status["inSync"]
                            .as_array()
                            .is_some_and(|members| members.contains(&replica["node"]));
                        if replica["disk"] == "UpToDate" || (member && replica["disk"].is_null()) {
                            hosts.current.insert(place);
                        }
                    }
                }
                _ => {}
            }
        }
        let lost = hosts.lost.clone();
        for host in lost {
            hosts.lose(&host);
        }
        hosts
    }

    fn take_over(&mut self, spec: &Value, status: &Value) {
        let assignment = &spec["assignment"];
        let said = status["observedPlanGeneration"].is_u64() && status["released"] != true;
        if !said || assignment["active"] != true {
            return;
        }
        let place = (text(&assignment["object"]["name"]), text(&spec["node"]));
        if assignment["guest"].is_object() {
            let epoch = assignment["epoch"].as_u64().unwrap_or(0);
            self.started.insert(place.clone(), epoch);
            let converged = status["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Converged" && condition["status"] == "True");
            if converged && assignment["guest"]["step"] != "Receive" {
                self.running.insert(place);
            }
        } else if let Some(replica) = assignment.get("replica") {
            self.made.insert(place.clone());
            if replica["role"] == "Primary" {
                self.writing.insert(place);
            }
        }
    }

    pub(super) fn lose(&mut self, host: &str) {
        self.lost.insert(host.to_owned());
        self.running.retain(|(_, on)| on != host);
        self.writing.retain(|(_, on)| on != host);
    }

    pub(super) fn hears(&self, host: &str) -> bool {
        !self.lost.contains(host)
    }

    pub(super) fn runs(&self, guest: &str) -> bool {
        self.running.iter().any(|(name, _)| name == guest)
    }

    pub(super) fn caught_up(&mut self, volume: &str, host: &str) {
        self.current.insert((volume.to_owned(), host.to_owned()));
    }

    pub(super) fn fence_in_vain(&mut self, operation: &str) {
        self.in_vain.insert(operation.to_owned());
    }

    pub(super) fn fenced_in_vain(&self, operation: &Value) -> bool {
        self.in_vain.contains(&text(&operation["metadata"]["name"]))
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
        let spec = &plan["spec"];
        let host = text(&spec["node"]);
        let node = self.object("Node", &host);
        self.hosts.hears(&host)
            && node.is_some_and(|node| node["status"]["incarnation"] == spec["incarnation"])
            && plan["status"]["observedPlanGeneration"] != spec["planGeneration"]
    }

    /// What starts comes after what it depends on; what is stopped, before it.
    fn is_its_turn(&self, plan: &Value) -> bool {
        let assignment = &plan["spec"]["assignment"];
        if assignment["active"] != true {
            return true;
        }
        let mut needed = assignment["after"].as_array().into_iter().flatten();
        needed.all(|needed| {
            self.objects_of("NodePlan").any(|(_, other)| {
                let spec = &other["spec"];
                let same = spec["node"] == plan["spec"]["node"]
                    && spec["assignment"]["object"]["kind"] == needed["kind"]
                    && spec["assignment"]["object"]["name"] == needed["name"];
                same && spec["assignment"]["active"] == true
                    && other["status"]["observedPlanGeneration"] == spec["planGeneration"]
            })
        })
    }

    fn takes(&self, spec: &Value) -> SignedDuration {
        let assignment = &spec["assignment"];
        if !assignment["guest"].is_object() {
            return self.pace.storage;
        }
        let guest = text(&assignment["object"]["name"]);
        let place = (guest.clone(), text(&spec["node"]));
        let runs = self.hosts.running.contains(&place);
        match (assignment["active"] == true, runs) {
            (true, _) if assignment["guest"]["step"] == "Send" => {
                let memory = self.text("VirtualMachine", &guest, "/spec/memory");
                self.pace.sending(bytes(&Size::from(memory.as_str())))
            }
            (true, false) => self.pace.guest_start,
            (false, true) => self.pace.guest_stop,
            _ => SignedDuration::ZERO,
        }
    }

    /// A host has made a record so.
    pub(super) fn answer(&mut self, record: &str, generation: u64) -> Result<(), StateError> {
        let Some(plan) = self.object("NodePlan", record) else {
            return Ok(());
        };
        let spec = plan["spec"].clone();
        let host = text(&spec["node"]);
        if spec["planGeneration"] != generation || !self.hosts.hears(&host) {
            return Ok(());
        }
        let assignment = &spec["assignment"];
        let place = (text(&assignment["object"]["name"]), host);
        let active = assignment["active"] == true;
        if assignment["guest"].is_object() {
            self.run_guest(&place, assignment);
        } else if let Some(replica) = assignment.get("replica").filter(|it| it.is_object()) {
            let role = replica["role"].clone();
            self.make_replica(&place, active && role == "Primary");
            self.replica(&place, |replica| replica["role"] = role)?;
        }
        let now = self.now.to_string();
        self.edit("NodePlan", record, |plan| {
            plan["status"] = json!({
                "observedPlanGeneration": generation,
                "released": !active,
                "conditions": [{
                    "type": "Converged", "status": "True", "reason": "AsPlanned", "message": "",
                    "lastTransitionTime": now,
                }],
            });
        })
    }

    fn run_guest(&mut self, place: &Place, assignment: &Value) {
        if assignment["active"] != true {
            self.hosts.running.remove(place);
            return;
        }
        let epoch = assignment["epoch"].as_u64().unwrap_or(0);
        if self.hosts.started.insert(place.clone(), epoch) != Some(epoch) {
            self.hosts.running.insert(place.clone());
        }
    }

    fn make_replica(&mut self, place: &Place, writes: bool) {
        let (volume, _) = place;
        if self.hosts.made.insert(place.clone()) {
            // The first ones are made together and hold the same: nothing.
            let written = self
                .object("Volume", volume)
                .is_some_and(|volume| volume["status"]["epoch"].is_u64());
            if !written {
                self.hosts.current.insert(place.clone());
            }
        }
        if writes {
            self.hosts.writing.insert(place.clone());
        } else {
            self.hosts.writing.remove(place);
        }
    }

    /// Tells how every replica is: whoever is there hears the others, and what was away catches up.
    pub(super) fn look_at_volumes(&mut self) -> Result<(), StateError> {
        for place in self.hosts.made.clone() {
            let (volume, host) = &place;
            let peers: Vec<&Place> = self
                .hosts
                .made
                .iter()
                .filter(|(of, on)| of == volume && on != host && self.hosts.hears(on))
                .collect();
            let written = self
                .hosts
                .writing
                .iter()
                .any(|(of, on)| of == volume && self.hosts.hears(on));
            if !self.hosts.hears(host) {
                if written {
                    self.hosts.current.remove(&place);
                }
                continue;
            }
            let from = peers.iter().any(|peer| self.hosts.current.contains(*peer));
            let connection = if peers.is_empty() {
                "Connecting"
            } else {
                "Connected"
            };
            let current = self.hosts.current.contains(&place);
            let disk = match (current, written || from) {
                (true, true) => "UpToDate",
                (false, true) => "Inconsistent",
                // Alone it cannot know what it missed.
                (_, false) => "Consistent",
            };
            if !current && from {
                self.catch_up(&place);
            }
            self.replica(&place, |replica| {
                replica["disk"] = json!(disk);
                replica["connection"] = json!(connection);
            })?;
        }
        Ok(())
    }

    fn catch_up(&mut self, (volume, host): &Place) {
        let due = Due::CaughtUp {
            volume: volume.clone(),
            host: host.clone(),
        };
        if !self.expects(&due) {
            self.after(self.pace.resync, due);
        }
    }

    fn replica(
        &mut self,
        (volume, host): &Place,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), StateError> {
        self.edit("Volume", volume, |volume| {
            let replicas = volume["status"]["replicas"].as_array_mut();
            if let Some(replica) = replicas
                .into_iter()
                .flatten()
                .find(|replica| replica["node"] == host.as_str())
            {
                change(replica);
            }
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
