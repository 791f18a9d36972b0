//! Guests on the hosts of a trial: started once per epoch, shut down, sent and received.

use super::hosts::{Place, said, text};
use super::trial::Trial;
use crate::amounts::bytes;
use jiff::SignedDuration;
use quorate_crds::Size;
use serde_json::{Value, json};

impl Trial {
    pub(super) fn guest_takes(&self, assignment: &Value, host: &str) -> SignedDuration {
        let guest = text(&assignment["object"]["name"]);
        let place = (guest.clone(), host.to_owned());
        let runs = self.hosts.running.contains(&place);
        let still = self.hosts.arrived.contains(&place) || self.hosts.sent.contains(&place);
        if assignment["active"] != true {
            return match runs {
                true => self.pace.guest_stop,
                false => SignedDuration::ZERO,
            };
        }
        match assignment["guest"]["step"].as_str() {
            Some("Send") if runs => {
                let memory = self.text("VirtualMachine", &guest, "/spec/memory");
                self.pace.sending(bytes(&Size::from(memory.as_str())))
            }
            Some("Receive") => self.pace.storage,
            _ if runs || still => SignedDuration::ZERO,
            _ => self.pace.guest_start,
        }
    }

    /// Makes a record about a guest so, and says what is seen of it.
    pub(super) fn make_guest(&mut self, place: &Place, assignment: &Value) -> Value {
        if assignment["active"] != true {
            self.hosts.running.remove(place);
            self.hosts.arrived.remove(place);
            self.hosts.sent.remove(place);
            return seen("Absent");
        }
        let epoch = assignment["epoch"].as_u64().unwrap_or(0);
        let guest = &assignment["guest"];
        match guest["step"].as_str() {
            Some("Receive") => {
                self.hosts.started.insert(place.clone(), epoch);
                return seen(match self.hosts.arrived.contains(place) {
                    true => "Arrived",
                    false => "Absent",
                });
            }
            Some("Send") if self.hosts.running.contains(place) => {
                return self.send(place, &text(&guest["migration"]["peer"]));
            }
            _ => {}
        }
        let fresh = self.hosts.started.insert(place.clone(), epoch) != Some(epoch);
        if fresh {
            self.hosts.sent.remove(place);
        }
        if self.hosts.sent.contains(place) {
            return seen("Sent");
        }
        if self.hosts.arrived.remove(place) || fresh {
            self.hosts.running.insert(place.clone());
        }
        match self.hosts.running.contains(place) {
            true => seen("Running"),
            false => ended("GuestCrashed", "Absent"),
        }
    }

    /// All of its memory is there, provided that the other side waits for it.
    fn send(&mut self, place: &Place, target: &str) -> Value {
        let waits = self.hosts.hears(target)
            && self.objects_of("NodePlan").any(|(_, plan)| {
                let spec = &plan["spec"];
                spec["node"] == target
                    && spec["assignment"]["object"]["name"] == place.0.as_str()
                    && spec["assignment"]["guest"]["step"] == "Receive"
            });
        if !waits {
            return ended("MigrationFailed", "Running");
        }
        self.hosts.running.remove(place);
        self.hosts.sent.insert(place.clone());
        self.hosts
            .arrived
            .insert((place.0.clone(), target.to_owned()));
        seen("Sent")
    }
}

fn seen(presence: &str) -> Value {
    json!({"guest": {"presence": presence}})
}

fn ended(reason: &str, presence: &str) -> Value {
    json!({"guest": {"presence": presence}, "conditions": [said("Stalled", reason)]})
}
