//! Fencing, as far as is known beforehand: a level works when its devices answered when they were
//! last asked, and when it needs no person.

use super::trial::{Due, Trial};
use crate::StateError;
use crate::amounts::span;
use jiff::SignedDuration;
use quorate_crds::Duration;
use serde_json::{Value, json};

/// What a level that works will prove.
struct Proof {
    level: String,
    kind: &'static str,
}

impl Trial {
    /// Begins every fence operation that has no outcome yet.
    pub(super) fn call_fencing(&mut self) {
        let open: Vec<(String, String)> = self
            .objects_of("FenceOperation")
            .filter(|(_, operation)| {
                let fences = matches!(
                    operation["spec"]["action"].as_str(),
                    Some("PowerOff" | "PowerCycle") | None
                );
                let phase = operation["status"]["phase"].as_str();
                let over = matches!(phase, Some("Succeeded" | "Failed" | "Voided"));
                fences && !over && !self.hosts.fenced_in_vain(operation)
            })
            .map(|(name, operation)| {
                let host = operation["spec"]["node"].as_str().unwrap_or_default();
                (name.to_owned(), host.to_owned())
            })
            .collect();
        for (operation, host) in open {
            let due = Due::Fence { operation };
            if !self.expects(&due) {
                self.after(self.levels(&host).0, due);
            }
        }
    }

    /// How long it takes until a level has confirmed that the host is off, and which; or until all
    /// have failed.
    fn levels(&self, host: &str) -> (SignedDuration, Option<Proof>) {
        let Some(node) = self.object("Node", host) else {
            return (SignedDuration::ZERO, None);
        };
        let mut wait = node["spec"]["fencing"]["delay"]
            .as_str()
            .map_or(SignedDuration::ZERO, |text| span(&Duration::from(text)));
        let levels = node["spec"]["fencing"]["levels"].as_array();
        for level in levels.into_iter().flatten() {
            let watchdog = self.has_device(level, "Watchdog");
            wait += if watchdog {
                self.watchdog_takes(node)
            } else {
                self.pace.fence_level
            };
            if self.pace.fencing_works && self.level_works(node, level) {
                let proof = Proof {
                    level: level["name"].as_str().unwrap_or_default().to_owned(),
                    kind: if watchdog { "Watchdog" } else { "Devices" },
                };
                return (wait, Some(proof));
            }
        }
        (wait, None)
    }

    fn watchdog_takes(&self, node: &Value) -> SignedDuration {
        let settings = self.settings();
        let lease = settings["detection"]["lease"].as_str().unwrap_or("10s");
        let timeout = node["spec"]["watchdog"]["timeout"].as_str();
        span(&Duration::from(lease)) + span(&Duration::from(timeout.unwrap_or("30s")))
    }

    fn level_works(&self, node: &Value, level: &Value) -> bool {
        let tested = node["status"]["fenceLevels"].as_array();
        let broken = tested
            .into_iter()
            .flatten()
            .any(|known| known["name"] == level["name"] && known["ready"] == false);
        !broken && !self.has_device(level, "Manual")
    }

    fn has_device(&self, level: &Value, type_: &str) -> bool {
        let mut targets = level["devices"].as_array().into_iter().flatten();
        targets.any(|target| {
            let name = target["device"].as_str().unwrap_or_default();
            self.text("FenceDevice", name, "/spec/type") == type_
        })
    }

    pub(super) fn fenced(&mut self, operation: &str) -> Result<(), StateError> {
        let host = self.text("FenceOperation", operation, "/spec/node");
        let now = self.now.to_string();
        let (_, Some(proof)) = self.levels(&host) else {
            self.hosts.fence_in_vain(operation);
            return self.edit("FenceOperation", operation, |operation| {
                operation["status"]["phase"] = json!("Blocked");
            });
        };
        self.hosts.lose(&host);
        self.edit("FenceOperation", operation, |operation| {
            let evidence = json!({
                "kind": proof.kind, "at": now, "level": proof.level,
                "incarnation": operation["spec"]["incarnation"],
            });
            operation["status"]["phase"] = json!("Succeeded");
            operation["status"]["finishedAt"] = json!(now);
            operation["status"]["evidence"] = evidence;
        })
    }
}
