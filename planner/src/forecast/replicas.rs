//! Replicas on the hosts of a trial: made, opened, missing what is written without them, and
//! catching up.

use super::hosts::{Place, text};
use super::trial::{Due, Trial};
use crate::{StateError, Subject, record_name};
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl Trial {
    /// Makes a record about a replica so, and says what is seen of it.
    pub(super) fn make_replica(&mut self, place: &Place, assignment: &Value) -> Value {
        let replica = &assignment["replica"];
        let hosts = &mut self.hosts;
        if assignment["active"] != true {
            let left = hosts.writing.iter();
            if left
                .into_iter()
                .any(|one| one.0 == place.0 && one.1 != place.1)
            {
                hosts.current.remove(place);
                hosts.outdated.insert(place.clone());
            }
            hosts.up.remove(place);
            hosts.writing.remove(place);
            hosts.two.remove(place);
            if matches!(replica["data"].as_str(), Some("Remove" | "Wipe")) {
                hosts.made.remove(place);
                hosts.current.remove(place);
                hosts.outdated.remove(place);
            }
            return json!({});
        }
        let new = hosts
            .made
            .insert(place.clone(), replica["size"].clone())
            .is_none();
        if new && replica["beginsHere"] == true {
            hosts.current.insert(place.clone());
        }
        hosts.up.insert(place.clone());
        if replica["outdate"] == true && !hosts.writing.contains(place) {
            hosts.current.remove(place);
            hosts.outdated.insert(place.clone());
        }
        if replica["giveUp"].is_u64() && hosts.apart.contains(place) {
            hosts.current.remove(place);
            hosts.apart.retain(|other| other.0 != place.0);
        }
        match replica["allowTwoPrimaries"] == true {
            true => hosts.two.insert(place.clone()),
            false => hosts.two.remove(place),
        };
        match replica["role"] == "Primary" {
            true => hosts.writing.insert(place.clone()),
            false => hosts.writing.remove(place),
        };
        json!({"replica": self.seen(place)})
    }

    /// Tells how every replica is: whoever is there hears the others, what is not there misses what
    /// is written, and what was away catches up.
    pub(super) fn look_at_volumes(&mut self) -> Result<(), StateError> {
        for place in self.hosts.writing.clone() {
            if self.asks_about(&place).is_empty() {
                let missing = self.not_heard(&place);
                for peer in missing {
                    self.hosts.current.remove(&(place.0.clone(), peer));
                }
            }
        }
        for place in self.hosts.up.clone() {
            let complete =
                self.hosts.current.contains(&place) && !self.hosts.outdated.contains(&place);
            if !complete && !self.hosts.diskless.contains_key(&place) && self.hears_current(&place)
            {
                self.catch_up(&place);
            }
            let seen = self.seen(&place);
            let record = record_name(&place.1, &Subject::volume(&place.0));
            let said = self.object("NodePlan", &record);
            let said = said.map(|plan| &plan["status"]["replica"]);
            if said.is_some_and(|said| said.is_object() && *said != seen) {
                self.edit("NodePlan", &record, |plan| {
                    plan["status"]["replica"] = seen;
                })?;
            }
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

    /// It has caught up, unless it or whoever it followed is gone meanwhile.
    pub(super) fn caught_up(&mut self, volume: &str, host: &str) {
        let place = (volume.to_owned(), host.to_owned());
        if self.hears_current(&place) {
            self.hosts.outdated.remove(&place);
            self.hosts.current.insert(place);
        }
    }

    /// Whether two replicas of a volume hear each other.
    fn hear_each_other(&self, one: &Place, other: &Place) -> bool {
        let up = |place: &Place| {
            self.hosts.up.contains(place)
                && self.hosts.hears(&place.1)
                && !self.hosts.apart.contains(place)
        };
        up(one) && up(other)
    }

    fn hears_current(&self, here: &Place) -> bool {
        self.hosts.current.iter().any(|place| {
            place.0 == here.0 && place.1 != here.1 && self.hear_each_other(here, place)
        })
    }

    /// Hosts with complete data that do not get what is written here.
    fn not_heard(&self, here: &Place) -> BTreeSet<String> {
        let others = self.hosts.current.iter();
        others
            .filter(|place| place.0 == here.0 && place.1 != here.1)
            .filter(|place| !self.hear_each_other(here, place))
            .map(|place| place.1.clone())
            .collect()
    }

    /// Peers without which nothing is written here: each must be outdated, or its host confirmed
    /// off, and the in-sync set without it committed.
    fn asks_about(&self, here: &Place) -> BTreeSet<String> {
        if !self.hosts.writing.contains(here) {
            return BTreeSet::new();
        }
        let members = self.object("Volume", &here.0);
        let members = members.and_then(|volume| volume["status"]["inSync"].as_array());
        let mut asks = self.not_heard(here);
        asks.retain(|peer| {
            let place = (here.0.clone(), peer.clone());
            let off = self.text("Node", peer, "/status/state") == "Fenced";
            let member =
                members.is_some_and(|members| members.iter().any(|one| one == peer.as_str()));
            member || !(off || self.hosts.outdated.contains(&place))
        });
        asks
    }

    /// A replica, as its host sees it.
    fn seen(&self, here: &Place) -> Value {
        let places = self.hosts.made.keys();
        let peers: Vec<Value> = places
            .filter(|place| place.0 == here.0 && place.1 != here.1)
            .map(|place| {
                let connection = if self.hear_each_other(here, place) {
                    "Connected"
                } else if self.hosts.apart.contains(here) {
                    "StandAlone"
                } else {
                    "Connecting"
                };
                json!({"node": place.1, "connection": connection})
            })
            .collect();
        let least = |word: &str| peers.iter().any(|peer| peer["connection"] == word);
        let connection = if least("StandAlone") {
            "StandAlone"
        } else if least("Connecting") || peers.is_empty() {
            "Connecting"
        } else {
            "Connected"
        };
        let current = self.hosts.current.contains(here);
        let another = self.hears_current(here);
        let writes = self.hosts.writing.contains(here);
        let mut writers = self.hosts.writing.iter();
        let follows = writers.any(|place| place.0 == here.0 && self.hear_each_other(here, place));
        let disk = if let Some(broken) = self.hosts.diskless.get(here) {
            text(broken)
        } else if self.hosts.outdated.contains(here) {
            "Outdated".to_owned()
        } else if current && (writes || follows || another || self.hosts.apart.contains(here)) {
            "UpToDate".to_owned()
        } else if another {
            "Inconsistent".to_owned()
        } else {
            // Alone it cannot know what it missed.
            "Consistent".to_owned()
        };
        json!({
            "node": here.1, "disk": disk, "connection": connection, "peers": peers,
            "role": if writes { "Primary" } else { "Secondary" },
            "twoPrimariesAllowed": self.hosts.two.contains(here),
            "size": self.hosts.made.get(here),
            "asksAbout": self.asks_about(here),
        })
    }
}
