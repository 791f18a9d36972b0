//! What breaks, and what then happens around the planner: silence, fencing, new boots.

use super::commands::number;
use super::hosts::{converged, stalled};
use super::truth::Place;
use super::{World, condition, text};
use serde_json::{Value, json};

impl World {
    pub(super) fn fault(&mut self, words: &[&str]) -> bool {
        let place = |object: &str, host: &str| (object.to_owned(), host.to_owned());
        match words {
            ["lose", host] => {
                self.truth.off(host);
                self.unpowered.insert((*host).to_owned());
                self.silence(host);
            }
            ["silent", host] => self.silence(host),
            ["heard", host] => self.heard(host),
            ["rejoin", host] => self.rejoin(host),
            ["reboot", host] => self.reboot(host),
            ["shut-down", host] => self.shut_down(host),
            ["mute", host] => {
                self.muted.insert((*host).to_owned());
            }
            ["hear", host] => {
                self.muted.remove(*host);
            }
            ["slow", host] => {
                self.slow.insert((*host).to_owned());
            }
            ["quick", host] => {
                self.slow.remove(*host);
            }
            ["cut", network, host] => {
                self.cut.insert(place(network, host));
            }
            ["mend", network, host] => {
                self.cut.remove(&place(network, host));
            }
            ["cards", network, host, cards @ ..] => self.cards(network, host, cards),
            ["takes-back", network, host] => {
                self.takes_back.insert(place(network, host));
            }
            ["refuses", network, host] => {
                self.refuses.insert(place(network, host), Value::Null);
            }
            ["allows", network, host] => {
                self.refuses.remove(&place(network, host));
            }
            ["keeps", network, host] => {
                self.takes_back.remove(&place(network, host));
            }
            ["cut-storage"] => self.storage_cut = true,
            ["mend-storage"] => self.storage_cut = false,
            ["leaves", volume, host] => self.leaves(volume, host),
            ["disk-fails", volume, host] => {
                self.truth.current.remove(&place(volume, host));
                self.truth.diskless.insert(place(volume, host));
            }
            ["disk-replaced", volume, host] => {
                self.truth.diskless.remove(&place(volume, host));
            }
            ["cannot-run", host] => {
                self.truth.incapable.insert((*host).to_owned());
            }
            ["snapshot-lost", snapshot, host] => {
                self.truth.snapshots.remove(&place(snapshot, host));
            }
            ["shuts-itself-down", filesystem, host] => {
                self.truth.withdrawn.insert(place(filesystem, host));
            }
            ["file-missing", guest] => {
                self.truth.fileless.insert((*guest).to_owned());
            }
            ["file-brought", guest] => {
                self.truth.fileless.remove(*guest);
            }
            ["full", filesystem] => {
                self.truth.full.insert((*filesystem).to_owned());
            }
            ["room", filesystem] => {
                self.truth.full.remove(*filesystem);
            }
            ["damage", filesystem] => {
                self.truth.damaged.insert((*filesystem).to_owned());
            }
            ["differ", volume, size] => {
                self.truth
                    .differ
                    .insert((*volume).to_owned(), (*size).to_owned());
            }
            // Its daemon is of another release, and says so.
            ["settles-locks", host, form] => self.edit("Node", host, |node| {
                let form = number(form);
                node["status"]["versions"]["programLocks"] = match form {
                    0 => Value::Null,
                    form => json!(form),
                };
            }),
            ["split", volume] => {
                self.truth.apart.insert((*volume).to_owned());
            }
            ["copying", "stops"] => self.no_copying = Some(converged(false)),
            ["copying", "fails"] => self.no_copying = Some(stalled("Refused")),
            ["copying", "goes", "on"] => self.no_copying = None,
            ["sending", "fails"] => self.no_sending = true,
            ["sending", "works"] => self.no_sending = false,
            ["sending", "takes", seconds] => self.sending_takes = number(seconds),
            ["resync", "takes", seconds] => self.resync_takes = number(seconds),
            ["detection", "takes", seconds] => self.detection_takes = number(seconds),
            ["fencing", "takes", seconds] => self.fencing_takes = number(seconds),
            ["break-fence", host] => {
                self.broken_fence.insert((*host).to_owned());
            }
            ["repair-fence", host] => {
                self.broken_fence.remove(*host);
            }
            ["void", host] => self.void(host),
            ["votes", members @ ..] => self.votes(members),
            ["crash", guest] => self.end(guest, "GuestCrashed"),
            ["power-off-inside", guest] => self.end(guest, "GuestPoweredOff"),
            ["new-leader"] => self.term += 1,
            _ => return false,
        }
        true
    }

    /// Somebody takes a replica down by hand. Those that it hears know that it does, and that what they write from now on it lacks.
    fn leaves(&mut self, volume: &str, host: &str) {
        let here = (volume.to_owned(), host.to_owned());
        if !self.truth.up.contains(&here) || self.truth.writing.contains(&here) {
            return;
        }
        let writers = self.truth.writing.iter();
        let told: Vec<Place> = writers
            .filter(|writer| writer.0 == here.0 && self.hears(writer, &here))
            .cloned()
            .collect();
        if !told.is_empty() {
            let status = &self.objects[&("Volume".to_owned(), here.0.clone())]["status"];
            let set = status["inSyncGeneration"].as_u64().expect("a set");
            self.truth.outdated.insert(here.clone());
            self.truth.left.insert(here.clone(), set);
        }
        for writer in told {
            self.truth.settled.insert((writer, here.1.clone()));
        }
        self.truth.up.remove(&here);
        self.truth.two.remove(&here);
    }

    /// `CARD=Up`, `CARD=Down`, or `CARD=flaps`.
    fn cards(&mut self, network: &str, host: &str, cards: &[&str]) {
        let cards = cards.iter().map(|card| {
            let (nic, state) = card.split_once('=').expect("card=state");
            match state {
                "flaps" => json!({"nic": nic, "state": "Up", "flapping": true}),
                state => json!({"nic": nic, "state": state}),
            }
        });
        let place = (network.to_owned(), host.to_owned());
        self.cards.insert(place, cards.collect());
    }

    /// Fence operations switch their hosts off, unless their devices are broken.
    pub(super) fn fence(&mut self) {
        let open: Vec<Value> = self
            .of("FenceOperation")
            .filter(|operation| {
                operation["status"]["phase"] != "Succeeded"
                    && operation["status"]["phase"] != "Voided"
            })
            .cloned()
            .collect();
        for operation in open {
            let host = text(&operation["spec"]["node"]);
            let name = text(&operation["metadata"]["name"]);
            let now = self.now.to_string();
            let status = if self.broken_fence.contains(&host) {
                json!({"phase": "Blocked"})
            } else {
                let seconds = self.fencing.entry(name.clone()).or_default();
                *seconds += 1;
                if *seconds < self.fencing_takes {
                    continue;
                }
                self.truth.off(&host);
                self.unpowered.insert(host.clone());
                json!({"phase": "Succeeded", "evidence": {
                    "kind": "Devices", "at": now,
                    "incarnation": operation["spec"]["incarnation"],
                }})
            };
            self.edit("FenceOperation", &name, |operation| {
                operation["status"] = status
            });
        }
    }

    /// The members that vote; one after whose name stands `-` does not answer.
    fn votes(&mut self, members: &[&str]) {
        let members: Vec<Value> = members
            .iter()
            .enumerate()
            .map(|(number, member)| {
                let name = member.trim_end_matches('-');
                json!({"name": name, "id": number + 1, "role": "Voter", "reachable": name == *member})
            })
            .collect();
        let key = ("Cluster".to_owned(), "cluster".to_owned());
        let mut cluster = self.objects.get(&key).cloned().unwrap_or_else(
            || json!({"kind": "Cluster", "metadata": {"name": "cluster"}, "spec": {}}),
        );
        cluster["status"] = json!({"members": members});
        self.put(cluster);
    }

    /// A guest comes to an end by itself.
    fn end(&mut self, guest: &str, reason: &str) {
        let running = &self.truth.running;
        let Some(here) = running.iter().find(|(name, _)| name == guest).cloned() else {
            return;
        };
        self.truth.running.remove(&here);
        self.truth.ended.insert(here.clone(), reason.to_owned());
        let record = format!("{}.virtualmachine.{guest}", here.1);
        if self.muted.contains(&here.1) || self.silent.contains(&here.1) {
            return;
        }
        self.edit("NodePlan", &record, |plan| {
            plan["status"]["conditions"] = json!([condition("Stalled", reason)]);
            plan["status"]["guest"] = json!({"presence": "Absent"});
        });
    }

    pub(super) fn powered(&self, host: &str) -> bool {
        !self.unpowered.contains(host)
    }

    fn host_state(&self, host: &str) -> String {
        let key = ("Node".to_owned(), host.to_owned());
        text(&self.objects[&key]["status"]["state"])
    }

    /// A person has looked, and the host is off.
    pub(super) fn confirm_off(&mut self, host: &str) {
        let key = ("Node".to_owned(), host.to_owned());
        let known = self
            .objects
            .get(&key)
            .map(|node| node["status"]["incarnation"].clone());
        let incarnation = known.unwrap_or(json!(1));
        self.truth.off(host);
        self.unpowered.insert(host.to_owned());
        self.put(json!({
            "kind": "FenceOperation", "metadata": {"name": format!("confirm-{host}")},
            "spec": {"node": host, "incarnation": incarnation, "action": "Confirm",
                "reason": "looked", "confirmation": {"by": "ann", "statement": "unplugged"}},
            "status": {"phase": "Succeeded", "evidence": {
                "kind": "Person", "at": self.now.to_string(), "incarnation": incarnation}},
        }));
    }

    /// The host was heard although it had been confirmed off.
    fn void(&mut self, host: &str) {
        let operations: Vec<String> = self
            .of("FenceOperation")
            .filter(|operation| operation["spec"]["node"] == host)
            .map(|operation| text(&operation["metadata"]["name"]))
            .collect();
        for name in operations {
            self.edit("FenceOperation", &name, |operation| {
                operation["status"]["phase"] = json!("Voided");
            });
        }
    }

    fn silence(&mut self, host: &str) {
        if self.host_state(host) == "Online" && self.silent.insert(host.to_owned()) {
            self.unnoticed.insert(host.to_owned(), self.detection_takes);
            if self.detection_takes == 0 {
                self.miss();
            }
        }
    }

    /// Hosts that have been silent for the detection time are suspected.
    pub(super) fn miss(&mut self) {
        let mut missed = Vec::new();
        self.unnoticed.retain(|host, seconds| match *seconds {
            0 => {
                missed.push(host.clone());
                false
            }
            _ => {
                *seconds -= 1;
                true
            }
        });
        for host in missed {
            self.edit("Node", &host, |node| {
                node["status"]["state"] = json!("Suspect")
            });
        }
    }

    /// A suspicion that was not followed by anything: the same incarnation is heard again.
    fn heard(&mut self, host: &str) {
        let unnoticed = self.unnoticed.contains_key(host);
        if (self.host_state(host) == "Suspect" || unnoticed) && self.powered(host) {
            self.unnoticed.remove(host);
            self.silent.remove(host);
            self.edit("Node", host, |node| {
                node["status"]["state"] = json!("Online")
            });
        }
    }

    /// A host that was confirmed off, or has left, boots and registers.
    fn rejoin(&mut self, host: &str) {
        if matches!(self.host_state(host).as_str(), "Fenced" | "Left") {
            self.boot(host);
        }
    }

    /// A host resets itself and is back before anybody has fenced it.
    fn reboot(&mut self, host: &str) {
        if self.host_state(host) != "Left" {
            self.truth.off(host);
            self.boot(host);
        }
    }

    fn boot(&mut self, host: &str) {
        self.silent.remove(host);
        self.unnoticed.remove(host);
        self.unpowered.remove(host);
        self.edit("Node", host, |node| {
            let next = node["status"]["incarnation"].as_u64().expect("a number") + 1;
            node["status"]["incarnation"] = json!(next);
            node["status"]["state"] = json!("Online");
            node["status"]["conditions"] = json!([]);
        });
    }

    /// A person shuts the host down in order: it leaves once it carries nothing.
    fn shut_down(&mut self, host: &str) {
        self.edit("Node", host, |node| {
            node["status"]["conditions"] = json!([condition("ShuttingDown", "PowerOff")]);
        });
    }

    /// Hosts that are shut down, or withdrawn, and carry nothing any more, leave.
    pub(super) fn leave(&mut self) {
        let empty: Vec<String> = self
            .of("Node")
            .filter(|node| {
                let said = |type_: &str| {
                    let conditions = node["status"]["conditions"].as_array();
                    conditions.is_some_and(|conditions| {
                        let mut conditions = conditions.iter();
                        conditions.any(|one| one["type"] == type_ && one["status"] == "True")
                    })
                };
                said("ShuttingDown") && said("Drained") && node["status"]["state"] == "Online"
            })
            .map(|node| text(&node["metadata"]["name"]))
            .collect();
        for host in empty {
            self.truth.leaves(&host);
            self.unpowered.insert(host.clone());
            self.edit("Node", &host, |node| {
                node["status"]["state"] = json!("Left")
            });
            let seconds = self.now.duration_since(self.start).as_secs();
            self.transcript
                .push(format!("{seconds:>4}s {host} Left: it left and is off"));
        }
    }
}
