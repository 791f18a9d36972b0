//! What must be so at every second, and what must be so in the end.

use super::{World, text, truth};
use quorate_crds::Size;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// R10: whoever is named in the in-sync set holds every write. One that was taken down by hand is named in it until it is known.
    pub(crate) fn members_hold_every_write(&self) {
        for volume in self.of("Volume") {
            let name = text(&volume["metadata"]["name"]);
            let members = volume["status"]["inSync"].as_array();
            let members: Vec<String> = members.into_iter().flatten().map(text).collect();
            if volume["status"]["minor"].is_u64() {
                assert!(!members.is_empty(), "nobody holds the data of {name}");
            }
            for member in members {
                let place = (name.clone(), member);
                let complete =
                    self.truth.current.contains(&place) && !self.truth.diskless.contains(&place);
                let made = self.truth.made.contains_key(&place);
                let set = volume["status"]["inSyncGeneration"].as_u64();
                if set.is_some() && self.truth.left.get(&place) == set.as_ref() {
                    continue;
                }
                assert!(
                    !made || complete || self.truth.diskless.contains(&place),
                    "{place:?} is a member of the in-sync set and lacks writes"
                );
            }
        }
    }

    /// How many layouts of a network hosts have been told.
    pub(crate) fn layouts_of(&self, network: &str) -> usize {
        let told = self
            .of("NodePlan")
            .filter(|plan| plan["spec"]["assignment"]["object"]["name"] == network);
        let layouts = told.map(|plan| text(&plan["spec"]["assignment"]["network"]["layout"]));
        layouts.collect::<BTreeSet<_>>().len()
    }

    /// Networks that hosts were told to change or to take away, and that have neither done so nor taken it back yet.
    pub(crate) fn networks_at_work(&self) -> Vec<truth::Place> {
        let told = self
            .of("NodePlan")
            .filter(|plan| plan["spec"]["assignment"]["object"]["kind"] == "Network");
        told.filter_map(|plan| {
            let assigned = &plan["spec"]["assignment"];
            let place = (
                text(&assigned["object"]["name"]),
                text(&plan["spec"]["node"]),
            );
            let kept = self.layouts.get(&place)?;
            let status = &plan["status"];
            let answered = status["observedPlanGeneration"] == plan["spec"]["planGeneration"]
                && status["incarnation"] == plan["spec"]["incarnation"];
            if answered && status["conditions"][0]["type"] == "Stalled" {
                return None;
            }
            let stays = assigned["active"] == true;
            let same = *kept == text(&assigned["network"]["layout"]);
            (!stays || !same).then_some(place)
        })
        .collect()
    }

    /// R3: whoever counts as confirmed off, is so by evidence that nothing has contradicted.
    pub(crate) fn fenced_means_proven(&self) {
        for node in self.of("Node") {
            let (name, status) = (&node["metadata"]["name"], &node["status"]);
            let proves = |operation: &Value| {
                operation["spec"]["node"] == *name
                    && operation["spec"]["incarnation"] == status["incarnation"]
                    && operation["status"]["phase"] == "Succeeded"
            };
            let proven = self.of("FenceOperation").any(proves);
            assert!(
                status["state"] != "Fenced" || proven,
                "{name} counts as confirmed off, and nothing proves it"
            );
        }
    }

    /// R9: what runs on a host, arrives there, or stands still there, fits.
    pub(crate) fn memory_is_promised_once(&self) {
        let mut used: BTreeMap<&str, u64> = BTreeMap::new();
        let places = self.truth.running.iter().chain(&self.truth.arrived);
        for (guest, host) in places {
            let key = ("VirtualMachine".to_owned(), guest.clone());
            let memory = self.objects.get(&key).map(|guest| &guest["spec"]["memory"]);
            *used.entry(host).or_default() += memory.map_or(0, bytes);
        }
        for (host, used) in used {
            let key = ("Node".to_owned(), host.to_owned());
            let room = bytes(&self.objects[&key]["status"]["allocatable"]["memory"]);
            assert!(used <= room, "{host} carries {used} of {room} bytes");
        }
    }

    /// R9: a loss of so many hosts after which a protected guest would find no memory, whatever goes where.
    pub(crate) fn lacks_room_after(&self, losses: usize) -> Option<String> {
        let mut guests: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut free: BTreeMap<String, u64> = self
            .of("Node")
            .map(|node| {
                let room = bytes(&node["status"]["allocatable"]["memory"]);
                (text(&node["metadata"]["name"]), room)
            })
            .collect();
        for (guest, host) in self.truth.running.iter().chain(&self.truth.arrived) {
            let spec = &self.objects[&("VirtualMachine".to_owned(), guest.clone())]["spec"];
            let memory = bytes(&spec["memory"]);
            if let Some(free) = free.get_mut(host) {
                *free -= memory;
            }
            if spec["protected"] != false && spec["withoutReserve"] != true {
                guests.entry(host).or_default().push(memory);
            }
        }
        let hosts: Vec<&String> = free.keys().collect();
        let together = |first: &String, second: &String| match losses {
            1 => first == second,
            _ => first < second,
        };
        for first in &hosts {
            for second in hosts.iter().filter(|second| together(first, second)) {
                let lost = [first.as_str(), second.as_str()];
                let homeless = guests.iter().filter(|(host, _)| lost.contains(host));
                let mut homeless: Vec<u64> = homeless.flat_map(|(_, all)| all.clone()).collect();
                homeless.sort_unstable_by(|a, b| b.cmp(a));
                let left = free
                    .iter()
                    .filter(|(host, _)| !lost.contains(&host.as_str()));
                let mut left: Vec<u64> = left.map(|(_, free)| *free).collect();
                if !fits(&homeless, &mut left) {
                    return Some(format!(
                        "{lost:?} lost: {homeless:?} do not fit in {left:?}"
                    ));
                }
            }
        }
        None
    }

    /// How many guests there are.
    pub(crate) fn all_guests(&self) -> usize {
        self.of("VirtualMachine").count()
    }

    /// How many migrations there have been.
    pub(crate) fn moves(&self) -> usize {
        self.of("VirtualMachineMigration").count()
    }

    /// Guests that should run and do not, with what is said about them.
    pub(crate) fn idle_guests(&self) -> Vec<String> {
        self.of("VirtualMachine")
            .filter(|guest| guest["spec"]["desiredState"] == "Running")
            .filter(|guest| {
                let name = text(&guest["metadata"]["name"]);
                !self
                    .truth
                    .running
                    .iter()
                    .any(|(running, _)| *running == name)
            })
            // It was switched off or failed too often; that is said, and is no waiting.
            .filter(|guest| guest["status"]["conditions"][0]["reason"] != "RecoveryExhausted")
            // So is the arithmetic of memory that does not suffice, also for those that wait for it.
            .filter(|guest| {
                let condition = &guest["status"]["conditions"][0];
                let arithmetic = text(&condition["message"]).contains("GiB");
                !arithmetic && condition["reason"] != "WaitingForGuest"
            })
            .map(|guest| {
                let condition = &guest["status"]["conditions"][0];
                format!(
                    "{}: {}: {}",
                    text(&guest["metadata"]["name"]),
                    text(&condition["reason"]),
                    text(&condition["message"])
                )
            })
            .collect()
    }

    /// Whether a migration is under way, or time alone changes something soon.
    pub(crate) fn something_comes(&self) -> bool {
        let over = ["Succeeded", "Failed", "Cancelled"];
        let mut moves = self.of("VirtualMachineMigration");
        let moves = moves.any(|one| !over.iter().any(|phase| one["status"]["phase"] == *phase));
        let wake = self.decisions().wake_at;
        let soon = wake.is_some_and(|at| at.duration_since(self.now).as_secs() <= 20);
        moves || soon
    }

    /// Every record with the generation in which it was written.
    pub(crate) fn written(&self) -> BTreeSet<String> {
        self.of("NodePlan")
            .map(|plan| {
                format!(
                    "{} {}",
                    plan["metadata"]["name"], plan["spec"]["planGeneration"]
                )
            })
            .collect()
    }

    /// R10: nothing but cluster filesystems is open for two when no guest is on its way.
    pub(crate) fn nothing_is_left_open(&self) {
        let under_way = ["Preparing", "Running", "Switching"];
        let moves = self.of("VirtualMachineMigration");
        let moves = moves.filter(|one| under_way.iter().any(|it| one["status"]["phase"] == *it));
        let guests: BTreeSet<String> = moves
            .map(|one| text(&one["spec"]["virtualMachine"]))
            .collect();
        let moved = |volume: &str| {
            guests.iter().any(|guest| {
                let key = ("VirtualMachine".to_owned(), guest.clone());
                let volumes = self.objects[&key]["status"]["volumes"].as_array();
                let mut volumes = volumes.into_iter().flatten();
                volumes.any(|one| one["volume"] == volume)
            })
        };
        for place in &self.truth.two {
            let key = ("Volume".to_owned(), place.0.clone());
            let shared = self.objects[&key]["spec"]["access"] == "MultiWriter";
            assert!(shared || moved(&place.0), "{place:?} is still open for two");
        }
    }
}

fn bytes(size: &Value) -> u64 {
    let size = Size::from(size.as_str().unwrap_or("0"));
    size.parse().ok().and_then(|it| it.as_u64()).unwrap_or(0)
}

/// Whether all of these fit somehow, tried in every way.
fn fits(needs: &[u64], room: &mut [u64]) -> bool {
    let Some((need, rest)) = needs.split_first() else {
        return true;
    };
    for at in 0..room.len() {
        if room[at] >= *need {
            room[at] -= need;
            let all = fits(rest, room);
            room[at] += need;
            if all {
                return true;
            }
        }
    }
    false
}
