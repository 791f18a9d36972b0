//! Hosts that make their records so a second later, and say so.

use super::truth::Place;
use super::{World, condition, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How long it takes to compare all blocks of a volume, in seconds.
const COMPARING_TAKES: i64 = 5;

impl World {
    /// Every host that is up makes its plan so; those that are not muted say so.
    pub(super) fn obey(&mut self) {
        let mut plans: Vec<Value> = self
            .of("NodePlan")
            .filter(|plan| !plan["spec"]["assignment"].is_null())
            .cloned()
            .collect();
        let order = |plan: &Value| {
            let assignment = &plan["spec"]["assignment"];
            let kind = assignment["object"]["kind"].as_str().unwrap_or_default();
            let place = ["Network", "StoragePool", "Volume", "SharedFilesystem"];
            let place = place.iter().position(|one| *one == kind).unwrap_or(4);
            let ends = assignment["active"] == false;
            // What is to stop stops before what it stands on.
            (!ends, if ends { 9 - place } else { place })
        };
        plans.sort_by_key(order);
        for plan in plans {
            let spec = &plan["spec"];
            let host = text(&spec["node"]);
            let Some(node) = self.objects.get(&("Node".to_owned(), host.clone())) else {
                continue;
            };
            let fresh = node["status"]["incarnation"] == spec["incarnation"];
            let there = node["status"]["state"] == "Online";
            if self.silent.contains(&host) || self.slow.contains(&host) || !there || !fresh {
                continue;
            }
            let mut status = self.act(&spec["assignment"], &host);
            status["observedPlanGeneration"] = spec["planGeneration"].clone();
            status["incarnation"] = spec["incarnation"].clone();
            if !self.muted.contains(&host) {
                self.edit("NodePlan", &text(&plan["metadata"]["name"]), |plan| {
                    plan["status"] = status;
                });
            }
        }
    }

    fn act(&mut self, assignment: &Value, host: &str) -> Value {
        let name = text(&assignment["object"]["name"]);
        let here = (name, host.to_owned());
        let active = assignment["active"] == true;
        if assignment.get("replica").is_some() {
            self.act_on_replica(assignment, &here, active)
        } else if assignment["storage"]["snapshotOf"].is_string() {
            self.act_on_snapshot(&assignment["storage"], &here, active)
        } else if !assignment["after"].is_null() && assignment.get("storage").is_some() {
            self.act_above(assignment, &here, active)
        } else if assignment.get("mount").is_some() {
            self.act_on_filesystem(&assignment["mount"], &here, active)
        } else if assignment.get("guest").is_some() {
            self.act_on_guest(assignment, &here, active)
        } else if assignment.get("network").is_some() {
            self.act_on_network(&assignment["network"], &here, active)
        } else {
            converged(true)
        }
    }

    /// A host that does not reach the cluster with a change takes it back.
    fn act_on_network(&mut self, network: &Value, here: &Place, active: bool) -> Value {
        if !active {
            self.layouts.remove(here);
            return released();
        }
        let layout = text(&network["layout"]);
        if !self.layouts.contains_key(here) && self.refuses.contains_key(here) {
            return self.refuse(&layout, here);
        }
        let kept = self.layouts.get(here).unwrap_or(&layout).clone();
        let back = kept != layout && self.takes_back.contains(here);
        if !back {
            self.layouts.insert(here.clone(), layout);
        }
        let cards = self.cards.get(here).cloned().unwrap_or_default();
        let whole = cards.iter().all(|card| card["state"] == "Up");
        let state = match self.cut.contains(here) {
            true => "Down",
            false if !whole => "Degraded",
            false => "Up",
        };
        let mut status = match back {
            true => stalled("RolledBack"),
            false => converged(true),
        };
        status["network"] = json!({
            "node": here.1, "state": state,
            "device": network["device"], "address": network["address"], "links": cards,
            "macs": [format!("52:54:00:00:00:{}", &here.1[2..].repeat(2))],
        });
        if let Some(links) = self.links.get(here) {
            status["links"] = json!(links);
        }
        status
    }

    /// Nothing of it is there. Once its manifest is another one, the host waits for the plan that follows from that.
    fn refuse(&mut self, layout: &str, here: &Place) -> Value {
        let manifest = self.objects.get(&("Network".to_owned(), here.0.clone()));
        let manifest = manifest.map_or(Value::Null, |manifest| manifest["spec"].clone());
        let tried = json!([layout, manifest]);
        let before = self.refuses.entry(here.clone()).or_default();
        if before[0] != layout {
            *before = tried.clone();
        }
        if *before == tried {
            stalled("NotSupported")
        } else {
            let mut status = converged(false);
            status["conditions"] = json!([{
                "type": "Converged", "status": "False", "reason": "Outdated", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]);
            status
        }
    }

    fn act_on_snapshot(&mut self, storage: &Value, here: &Place, active: bool) -> Value {
        if !active {
            if storage.get("data").is_some() {
                self.truth.snapshots.remove(here);
            }
            return released();
        }
        if storage["make"] == true {
            let now = self.now.to_string();
            self.truth.snapshots.entry(here.clone()).or_insert(now);
        }
        match self.truth.snapshots.get(here) {
            Some(at) => {
                let mut status = converged(true);
                status["conditions"][0]["lastTransitionTime"] = json!(at);
                status
            }
            None => stalled("DeviceMissing"),
        }
    }

    fn act_on_replica(&mut self, assignment: &Value, here: &Place, active: bool) -> Value {
        let replica = &assignment["replica"];
        if !active {
            assert!(!self.in_use(here), "{here:?} is taken down under its user");
            if self.follows(here) {
                // It is told by the one that writes that it is left behind.
                self.truth.outdated.insert(here.clone());
            }
            self.truth.up.remove(here);
            self.truth.close(here);
            self.truth.two.remove(here);
            if replica.get("data").is_some() {
                self.truth.made.remove(here);
                self.truth.current.remove(here);
                self.truth.outdated.remove(here);
            }
            return released();
        }
        if replica["beginsHere"] == true
            && !self.truth.made.contains_key(here)
            && self.is_filled(replica, here)
            && let Some(said) = &self.no_copying
        {
            return said.clone();
        }
        let size = text(&replica["size"]);
        let new = self.truth.made.insert(here.clone(), size).is_none();
        if new && replica["beginsHere"] == true {
            self.truth.current.insert(here.clone());
        }
        self.truth.up.insert(here.clone());
        // One that has met the other again refuses to be outdated.
        let met = self
            .truth
            .up
            .iter()
            .any(|place| place.0 == here.0 && place.1 != here.1 && self.hears(here, place));
        if replica["outdate"] == true && !self.truth.writing.contains(here) && !met {
            self.truth.outdated.insert(here.clone());
        }
        if replica["giveUp"].is_u64() {
            self.truth.apart.remove(&here.0);
            self.truth.current.remove(here);
        }
        if let Some(number) = replica["verify"].as_u64() {
            let known = self.truth.compares.get(here);
            if known.is_none_or(|(known, _)| *known != number) {
                let begun = (number, self.now);
                self.truth.compares.insert(here.clone(), begun);
            }
        }
        match replica["allowTwoPrimaries"] == true {
            true => self.truth.two.insert(here.clone()),
            false => self.truth.two.remove(here),
        };
        if replica["role"] == "Primary" {
            self.truth.open(here);
        } else {
            assert!(!self.in_use(here), "{here:?} is closed under its user");
            self.truth.close(here);
        }
        let mut status = converged(true);
        status["replica"] = self.seen(here);
        status
    }

    /// Whether a volume that begins on that host is filled before.
    fn is_filled(&self, replica: &Value, here: &Place) -> bool {
        let volume = &self.objects[&("Volume".to_owned(), here.0.clone())];
        let source = &volume["spec"]["source"];
        if let Some(snapshot) = source["snapshot"].as_str() {
            assert!(replica["copyOf"].is_object(), "{here:?} begins empty");
            let kept = (snapshot.to_owned(), here.1.clone());
            let kept = self.truth.snapshots.contains_key(&kept);
            assert!(kept, "{here:?} is copied from what is not there");
        }
        !source.is_null()
    }

    /// Whether a guest or a filesystem on that host stands on the volume.
    fn in_use(&self, here: &Place) -> bool {
        let guest = self.of("NodePlan").any(|plan| {
            let assigned = &plan["spec"]["assignment"];
            let name = text(&assigned["object"]["name"]);
            let mut after = assigned["after"].as_array().into_iter().flatten();
            assigned.get("guest").is_some()
                && plan["spec"]["node"] == here.1.as_str()
                && self.truth.running.contains(&(name, here.1.clone()))
                && after.any(|one| one["kind"] == "Volume" && one["name"] == here.0.as_str())
        });
        let checked = self.is_checked(here);
        guest || checked || self.truth.mounted.contains_key(here) || self.above(&here.0, &here.1)
    }

    /// A replica, as its host sees it.
    pub(super) fn seen(&self, here: &Place) -> Value {
        let peers: Vec<Value> = self
            .truth
            .made
            .keys()
            .filter(|place| place.0 == here.0 && place.1 != here.1)
            .map(|place| {
                let connection = if self.hears(here, place) {
                    "Connected"
                } else if self.truth.apart.contains(&here.0) {
                    "StandAlone"
                } else {
                    "Connecting"
                };
                let mut peer = json!({"node": place.1, "connection": connection});
                if self
                    .truth
                    .settled
                    .contains(&(here.clone(), place.1.clone()))
                {
                    peer["disk"] = json!("Outdated");
                }
                peer
            })
            .collect();
        let heard = peers.iter().any(|peer| peer["connection"] == "Connected");
        let current = self.truth.current.contains(here);
        let another = self
            .truth
            .current
            .iter()
            .any(|place| place.0 == here.0 && place.1 != here.1 && self.hears(here, place));
        let apart = self.truth.apart.contains(&here.0);
        let disk = if self.truth.diskless.contains(here) {
            "Diskless"
        } else if self.truth.outdated.contains(here) {
            "Outdated"
        } else if current
            && (self.truth.writing.contains(here) || self.follows(here) || another || apart)
        {
            "UpToDate"
        } else if another {
            "Inconsistent"
        } else {
            // Alone it cannot know what it missed.
            "Consistent"
        };
        let role = match self.truth.writing.contains(here) {
            true => "Primary",
            false => "Secondary",
        };
        let asks = self.truth.asks.get(here).cloned().unwrap_or_default();
        let mut seen = json!({
            "node": here.1, "role": role, "disk": disk, "peers": peers,
            "connection": if heard { "Connected" } else { "Connecting" },
            "twoPrimariesAllowed": self.truth.two.contains(here),
            "size": self.truth.made.get(here), "asksAbout": asks,
        });
        if apart {
            seen["watchedSince"] = json!(self.start.to_string());
        }
        if apart && role == "Primary" {
            seen["outOfSync"] = json!("4Mi");
            seen["lastWrite"] = json!("2026-03-01T12:05:00Z");
        }
        if disk == "Inconsistent" {
            let last = if self.caught_up.contains(here) { 99 } else { 0 };
            let percent = self.done(&here.0, &here.1).unwrap_or(last);
            seen["sync"] = json!({"percent": percent});
        }
        if let Some((number, since)) = self.truth.compares.get(here) {
            let took = self.now.duration_since(*since).as_secs();
            seen["verify"] = if !heard {
                json!({"number": number, "state": "Broken", "message": "the peer was lost"})
            } else if took < COMPARING_TAKES {
                json!({"number": number, "state": "Running"})
            } else {
                let differs = self.truth.differ.get(&here.0);
                let differs = differs.map_or("0", String::as_str);
                json!({"number": number, "state": "Finished", "outOfSync": differs})
            };
        }
        seen
    }

    /// How much of what it lacks a replica has, in percent. None when it does not catch up.
    pub(crate) fn done(&self, volume: &str, host: &str) -> Option<u32> {
        let here = (volume.to_owned(), host.to_owned());
        let seconds = self.catching_up.get(&here)?;
        Some(seconds * 100 / (self.resync_takes + 1))
    }

    /// Whether one that writes is heard.
    fn follows(&self, here: &Place) -> bool {
        let mut writers = self.truth.writing.iter();
        writers.any(|place| place.0 == here.0 && place.1 != here.1 && self.hears(here, place))
    }

    /// Whether two replicas hear each other over the storage network.
    pub(super) fn hears(&self, one: &Place, other: &Place) -> bool {
        let up = |place: &Place| {
            let key = ("Node".to_owned(), place.1.clone());
            self.truth.up.contains(place)
                && !self.silent.contains(&place.1)
                && self
                    .objects
                    .get(&key)
                    .is_some_and(|node| node["status"]["state"] == "Online")
        };
        up(one) && up(other) && !self.storage_cut && !self.truth.apart.contains(&one.0)
    }

    pub(super) fn act_on_mount(&mut self, mount: &Value, here: &Place, active: bool) -> Value {
        let lockspace = &mount["lockspace"];
        let members = lockspace["members"].as_array();
        let members: BTreeSet<String> = members
            .into_iter()
            .flatten()
            .map(|member| text(&member["node"]))
            .collect();
        let member = members.contains(&here.1);
        let waits = |stopped: bool, state: &str| {
            let mut status = converged(stopped);
            status["mount"] = json!({"node": here.1, "state": state});
            status
        };
        let stop = lockspace["step"] == "Stop";
        if !active {
            self.truth.mounted.remove(here);
            if !member {
                self.truth.locks.remove(here);
                return released();
            }
            // It has unmounted and waits in the kernel; a host that was told so before it ever came in has nothing.
            if stop {
                self.truth.locks.remove(here);
            } else {
                self.gives_locks(here, members, lockspace);
            }
            return waits(stop, "Unmounting");
        }
        let volume = match lockspace.is_null() {
            true => here.0.clone(),
            false => {
                let key = ("SharedFilesystem".to_owned(), here.0.clone());
                text(&self.objects[&key]["spec"]["volume"])
            }
        };
        if !self.truth.writing.contains(&(volume, here.1.clone())) {
            return converged(false);
        }
        if stop {
            self.truth.locks.remove(here);
            if !member {
                return waits(false, "Mounting");
            }
            if self.truth.mounted.contains_key(here) {
                return waits(true, "Mounted");
            }
            return converged(true);
        }
        if !lockspace.is_null() {
            self.gives_locks(here, members, lockspace);
        }
        self.truth.mounted.insert(here.clone(), lockspace.is_null());
        waits(true, "Mounted")
    }

    /// At that very moment nobody gives locks with other members, or settles those of programs in another form: each has stopped before.
    pub(super) fn gives_locks(&mut self, here: &Place, members: BTreeSet<String>, told: &Value) {
        let names: Vec<String> = members.into_iter().collect();
        let form = told["programLocks"].as_u64().unwrap_or(0);
        let names = format!("{} in form {form}", names.join(" "));
        for (place, with) in &self.truth.locks {
            assert!(
                place.0 != here.0 || place.1 == here.1 || *with == names,
                "{here:?} gives locks to {names:?} while {place:?} gives them to {with:?}"
            );
        }
        self.truth.locks.insert(here.clone(), names);
    }

    fn act_on_guest(&mut self, assignment: &Value, here: &Place, active: bool) -> Value {
        let epoch = assignment["epoch"].as_u64().expect("an epoch");
        let guest = &assignment["guest"];
        if !active {
            self.truth.gone(here);
            return released();
        }
        if self.truth.incapable.contains(&here.1) {
            return present(stalled("NotInstalled"), "Absent");
        }
        if self.truth.fileless.contains(&here.0) && !self.truth.running.contains(here) {
            return present(file_missing(), "Absent");
        }
        let open = assignment["after"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|it| {
                let place = (text(&it["name"]), here.1.clone());
                self.truth.writing.contains(&place)
                    || self.truth.mounted.contains_key(&place)
                    || self.truth.active.contains(&place)
            });
        let fresh = self.truth.started.get(here) != Some(&epoch);
        match guest["step"].as_str().unwrap_or_default() {
            "Receive" => {
                if !open {
                    return converged(false);
                }
                self.truth.started.insert(here.clone(), epoch);
                let presence = match self.truth.arrived.contains(here) {
                    true => "Arrived",
                    false => "Absent",
                };
                return present(converged(true), presence);
            }
            "Send" if self.truth.running.contains(here) => {
                return self.send(here, &text(&guest["migration"]["peer"]));
            }
            "Send" => {}
            _ => {
                self.truth.sending.remove(here);
                self.truth.failed.remove(here);
            }
        }
        if self.truth.sent.contains(here) && fresh && open {
            // Under a new epoch what stands still here is thrown away.
            self.truth.gone(here);
        }
        if self.truth.sent.contains(here) {
            return present(converged(true), "Sent");
        }
        if self.truth.arrived.remove(here) || (fresh && open) {
            self.truth.started.insert(here.clone(), epoch);
            self.truth.ended.remove(here);
            self.truth.running.insert(here.clone());
        } else if fresh {
            return converged(false);
        }
        match self.truth.running.contains(here) {
            true => present(converged(true), "Running"),
            false => {
                let how = self.truth.ended.get(here);
                let how = how.map_or("GuestCrashed", String::as_str);
                present(stalled(how), "Absent")
            }
        }
    }

    /// Sends for two seconds; then all of it is there, unless something is in the way.
    fn send(&mut self, here: &Place, target: &str) -> Value {
        let there = (here.0.clone(), target.to_owned());
        let waits = self.of("NodePlan").any(|plan| {
            let spec = &plan["spec"];
            spec["node"] == target
                && spec["assignment"]["object"]["name"] == here.0
                && spec["assignment"]["guest"]["step"] == "Receive"
        });
        let broken = self.no_sending || !waits || self.silent.contains(target);
        if self.truth.failed.contains(here) || broken {
            self.truth.failed.insert(here.clone());
            return present(stalled("MigrationFailed"), "Running");
        }
        let seconds = self.truth.sending.entry(here.clone()).or_default();
        *seconds += 1;
        if *seconds <= self.sending_takes {
            return present(converged(false), "Running");
        }
        self.truth.gone(here);
        self.truth.sent.insert(here.clone());
        self.truth.arrived.insert(there);
        present(converged(true), "Sent")
    }

    /// Whoever is open for writing writes; replicas that are not there miss it, those that are back
    /// catch up from one that has everything.
    pub(super) fn write_and_resync(&mut self) {
        for here in self.truth.writing.clone() {
            if self.truth.apart.contains(&here.0) {
                // Each side has long taken the other for gone.
                continue;
            }
            let powered = self.powered(&here.1);
            let unheard = self.truth.made.keys();
            let unheard: BTreeSet<String> = unheard
                .filter(|place| place.0 == here.0 && place.1 != here.1)
                .filter(|place| !self.hears(&here, place))
                .map(|place| place.1.clone())
                .collect();
            let others = self.truth.current.iter();
            let missing: BTreeSet<String> = others
                .filter(|place| place.0 == here.0 && unheard.contains(&place.1))
                .map(|place| place.1.clone())
                .collect();
            let key = ("Volume".to_owned(), here.0.clone());
            let members = self.objects[&key]["status"]["inSync"].clone();
            let asks: BTreeSet<String> = missing
                .iter()
                .filter(|peer| {
                    let safe = self
                        .truth
                        .outdated
                        .contains(&(here.0.clone(), (*peer).clone()))
                        || !self.powered(peer);
                    let member = members
                        .as_array()
                        .is_some_and(|members| members.iter().any(|one| one == peer.as_str()));
                    let settled = (here.clone(), (*peer).clone());
                    !self.truth.settled.contains(&settled) && (member || !safe)
                })
                .cloned()
                .collect();
            if powered && asks.is_empty() {
                for peer in missing {
                    self.truth.current.remove(&(here.0.clone(), peer));
                }
            }
            self.truth
                .settled
                .retain(|(writer, peer)| *writer != here || unheard.contains(peer));
            if powered && asks.is_empty() {
                let settled = unheard.into_iter().map(|peer| (here.clone(), peer));
                self.truth.settled.extend(settled);
            }
            match asks.is_empty() {
                true => self.truth.asks.remove(&here),
                false => self.truth.asks.insert(here, asks),
            };
        }
        for here in self.truth.up.clone() {
            let from =
                self.truth.current.iter().any(|place| {
                    place.0 == here.0 && place.1 != here.1 && self.hears(&here, place)
                });
            if !from || self.truth.diskless.contains(&here) {
                self.catching_up.remove(&here);
            } else if !self.truth.current.contains(&here) || self.truth.outdated.contains(&here) {
                self.truth.outdated.remove(&here);
                self.truth.current.remove(&here);
                let seconds = self.catching_up.entry(here.clone()).or_default();
                *seconds += 1;
                if *seconds > self.resync_takes {
                    self.catching_up.remove(&here);
                    self.caught_up.push(here);
                }
            }
        }
        self.say_replicas();
        for here in std::mem::take(&mut self.caught_up) {
            self.truth.left.remove(&here);
            self.truth.current.insert(here);
        }
    }

    /// What hosts see of their replicas changes without their plans.
    fn say_replicas(&mut self) {
        for here in self.truth.up.clone() {
            let node = &self.objects[&("Node".to_owned(), here.1.clone())];
            let there = node["status"]["state"] == "Online";
            let quiet = self.silent.contains(&here.1) || self.muted.contains(&here.1);
            if quiet || self.slow.contains(&here.1) || !there {
                continue;
            }
            let seen = self.seen(&here);
            let record = format!("{}.volume.{}", here.1, here.0);
            self.edit("NodePlan", &record, |plan| {
                if plan["status"].get("replica").is_some() {
                    plan["status"]["replica"] = seen;
                }
            });
        }
    }
}

pub(super) fn converged(so: bool) -> Value {
    let conditions = match so {
        true => vec![condition("Converged", "AsPlanned")],
        false => Vec::new(),
    };
    json!({"released": false, "conditions": conditions})
}

pub(super) fn released() -> Value {
    json!({"released": true, "conditions": [condition("Converged", "AsPlanned")]})
}

pub(super) fn stalled(reason: &str) -> Value {
    json!({"released": false, "conditions": [condition("Stalled", reason)]})
}

fn present(mut status: Value, presence: &str) -> Value {
    status["guest"] = json!({"presence": presence});
    if presence == "Running" {
        status["guest"]["agent"] = json!({"connected": true});
    }
    status
}

fn file_missing() -> Value {
    let message = "/srv/images/iso/debian.iso is not there";
    json!({"released": false, "conditions": [{
        "type": "Converged", "status": "False", "reason": "FileMissing", "message": message,
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }]})
}
