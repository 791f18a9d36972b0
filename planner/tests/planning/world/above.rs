//! Volume groups above replicated volumes, and what lies in them: one metadata for all hosts, which two
//! of them may never change at once.

use super::hosts::{converged, released};
use super::truth::Place;
use super::{World, text};
use serde_json::{Value, json};

impl World {
    /// Whether anything above that volume can be opened on that host.
    pub(super) fn above(&self, below: &str, host: &str) -> bool {
        self.truth.active.iter().any(|(volume, on)| {
            let key = ("Volume".to_owned(), volume.clone());
            let pool = self.objects.get(&key).map(|it| text(&it["spec"]["pool"]));
            let pool = pool.and_then(|pool| self.objects.get(&("StoragePool".to_owned(), pool)));
            on == host && pool.is_some_and(|pool| pool["spec"]["volume"] == below)
        })
    }

    pub(super) fn act_above(&mut self, assignment: &Value, here: &Place, active: bool) -> Value {
        let storage = &assignment["storage"];
        let below = text(&assignment["after"][0]["name"]);
        let open = self
            .truth
            .writing
            .contains(&(below.clone(), here.1.clone()));
        if storage["make"] == true || storage.get("data").is_some() {
            self.one_at_a_time(&text(&storage["volumeGroup"]));
        }
        match storage["logicalVolume"].as_str() {
            None => self.act_on_group(storage, here, active && open, active),
            Some(_) => self.act_on_logical(storage, here, active, open),
        }
    }

    fn act_on_group(&mut self, storage: &Value, here: &Place, open: bool, active: bool) -> Value {
        if !active {
            assert!(
                !self.above(&here.0, &here.1),
                "{here:?} goes under its logical volumes"
            );
            return released();
        }
        if open && storage["make"] == true {
            let size = text(&storage["size"]);
            self.truth.logical.insert(here.0.clone(), size);
        }
        match self.truth.logical.get(&here.0).filter(|_| open) {
            Some(size) => {
                let mut status = converged(true);
                status["pool"] = json!({"node": here.1, "state": "Ready", "capacity": size});
                status
            }
            None => converged(false),
        }
    }

    fn act_on_logical(&mut self, storage: &Value, here: &Place, active: bool, open: bool) -> Value {
        if !active {
            let user = self.truth.running.iter().find(|(guest, host)| {
                let key = ("VirtualMachine".to_owned(), guest.clone());
                let uses = |guest: &Value| text(&guest["spec"]["disks"][0]["volume"]) == here.0;
                *host == here.1 && self.objects.get(&key).is_some_and(uses)
            });
            assert_eq!(user, None, "{here:?} is closed under its user");
            self.truth.active.remove(here);
            if storage.get("data").is_some() {
                let elsewhere = self.truth.active.iter().any(|place| place.0 == here.0);
                assert!(
                    !elsewhere,
                    "{here:?} is removed while it is active elsewhere"
                );
                if !open {
                    return converged(false);
                }
                self.truth.logical.remove(&here.0);
            }
            return released();
        }
        if !open {
            return converged(false);
        }
        if storage["make"] == true {
            let size = text(&storage["size"]);
            self.truth.logical.insert(here.0.clone(), size);
        }
        if !self.truth.logical.contains_key(&here.0) {
            return converged(false);
        }
        let moves = self.of("NodePlan").any(|plan| {
            let assigned = &plan["spec"]["assignment"];
            let mut after = assigned["after"].as_array().into_iter().flatten();
            assigned.get("guest").is_some() && after.any(|one| one["name"] == here.0.as_str())
        });
        let elsewhere = self
            .truth
            .active
            .iter()
            .find(|place| place.0 == here.0 && place.1 != here.1);
        assert!(
            elsewhere.is_none() || moves,
            "{here:?} is active on {elsewhere:?} too"
        );
        self.truth.active.insert(here.clone());
        converged(true)
    }

    /// Hosts that are told to change the metadata of a group, and have not said that they did.
    fn one_at_a_time(&self, group: &str) {
        let changing: Vec<String> = self
            .of("NodePlan")
            .filter(|plan| {
                let assigned = &plan["spec"]["assignment"];
                let (storage, status) = (&assigned["storage"], &plan["status"]);
                let node = &self.objects[&("Node".to_owned(), text(&plan["spec"]["node"]))];
                let alive = node["status"]["incarnation"] == plan["spec"]["incarnation"]
                    && node["status"]["state"] != "Fenced";
                let answered = status["observedPlanGeneration"] == plan["spec"]["planGeneration"]
                    && status["conditions"][0]["type"] == "Converged";
                storage["volumeGroup"] == group
                    && (storage["make"] == true || storage.get("data").is_some())
                    && alive
                    && !answered
            })
            .map(|plan| text(&plan["metadata"]["name"]))
            .collect();
        assert!(changing.len() < 2, "{changing:?} change {group} at once");
    }
}
