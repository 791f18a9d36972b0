//! A small cluster that obeys its plans a second later, on simulated time.
//!
//! It knows what really runs where, which the planner does not; that is how tests can tell whether
//! the planner ever let something run twice.

mod foresee;

use jiff::{SignedDuration, Timestamp};
use quorate_planner::{ClusterState, Decisions, Leader, Objects, plan};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The cluster.
pub(crate) struct World {
    objects: Objects,
    state: ClusterState,
    now: Timestamp,
    start: Timestamp,
    /// Guests that really run, with the hosts on which they do.
    pub(crate) running: BTreeSet<(String, String)>,
    /// Volumes that are really open for writing.
    pub(crate) writing: BTreeSet<(String, String)>,
    /// Replicas that really hold every write, and those that ever held data.
    current: BTreeSet<(String, String)>,
    made: BTreeSet<(String, String)>,
    started: BTreeMap<(String, String), u64>,
    broken_fence: BTreeSet<String>,
    silent: BTreeSet<String>,
    slow: BTreeSet<String>,
    /// What happened.
    pub(crate) transcript: Vec<String>,
}

impl World {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a moment");
        Self {
            objects: Objects::new(),
            state: ClusterState::default(),
            now: start,
            start,
            running: BTreeSet::new(),
            writing: BTreeSet::new(),
            current: BTreeSet::new(),
            made: BTreeSet::new(),
            started: BTreeMap::new(),
            broken_fence: BTreeSet::new(),
            silent: BTreeSet::new(),
            slow: BTreeSet::new(),
            transcript: Vec::new(),
        }
    }

    /// Carries out one line of a script.
    pub(crate) fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["host", name, memory] => self.host(name, memory),
            ["pool", name, size, hosts @ ..] => self.pool(name, size, hosts),
            ["volume", name, size] => self.put(json!({
                "kind": "Volume", "metadata": {"name": name},
                "spec": {"size": size, "pool": "fast"},
            })),
            ["guest", name, memory, fields @ ..] => self.guest(name, memory, fields),
            ["set", kind, name, path, value] => {
                let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
                self.edit(kind, name, |object| {
                    *object.pointer_mut(path).expect("the path") = value
                });
            }
            ["crash", name] => self.end(name, "GuestCrashed"),
            ["silent", host] => self.silence(host),
            ["rejoin", host] => self.rejoin(host),
            ["break-fence", host] => {
                self.broken_fence.insert((*host).to_owned());
            }
            ["slow", host] => {
                self.slow.insert((*host).to_owned());
            }
            ["quick", host] => {
                self.slow.remove(*host);
            }
            ["repair-fence", host] => {
                self.broken_fence.remove(*host);
            }
            ["run", seconds] => {
                for _ in 0..seconds.trim_end_matches('s').parse().expect("seconds") {
                    self.second();
                }
            }
            ["show"] => self.show(),
            ["foresee", words @ ..] => self.foresee(words),
            other => panic!("no such command: {other:?}"),
        }
    }

    /// What the planner would decide now.
    pub(crate) fn decisions(&self) -> Decisions {
        plan(
            &self.state,
            Leader {
                now: self.now,
                term: 1,
            },
        )
    }

    /// The epochs that were given so far.
    pub(crate) fn epochs(&self) -> BTreeMap<(String, String), u64> {
        self.objects
            .iter()
            .filter_map(|(key, object)| Some((key.clone(), object["status"]["epoch"].as_u64()?)))
            .collect()
    }

    /// The objects themselves.
    pub(crate) fn objects(&self) -> &Objects {
        &self.objects
    }

    fn second(&mut self) {
        // Until nothing is left to decide at this moment; more rounds than a few mean a circle.
        for round in 0.. {
            let decisions = self.decisions();
            if decisions.is_empty() {
                break;
            }
            assert!(round < 5, "the planner goes in circles: {decisions:#?}");
            self.note(&decisions);
            decisions
                .commit(&mut self.objects, &mut self.state)
                .expect("its own decisions");
        }
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(1))
            .expect("time goes on");
        self.fence();
        self.obey();
        self.write_and_resync();
    }

    fn note(&mut self, decisions: &Decisions) {
        let seconds = self.now.duration_since(self.start).as_secs();
        for event in &decisions.events {
            let about = &event.regarding;
            self.transcript.push(format!(
                "{seconds:>4}s {} {}: {}",
                about.name, event.reason, event.note
            ));
        }
    }

    /// Every host that is heard makes its plan so and says so.
    fn obey(&mut self) {
        let plans: Vec<Value> = self
            .of("NodePlan")
            .filter(|plan| !plan["spec"]["assignment"].is_null())
            .cloned()
            .collect();
        for plan in plans {
            let spec = &plan["spec"];
            let host = text(&spec["node"]);
            let node = &self.objects[&("Node".to_owned(), host.clone())];
            let fresh = node["status"]["incarnation"] == spec["incarnation"];
            let seen = plan["status"]["observedPlanGeneration"] == spec["planGeneration"];
            if self.silent.contains(&host)
                || self.slow.contains(&host)
                || node["status"]["state"] != "Online"
                || !fresh
                || seen
            {
                continue;
            }
            let assignment = &spec["assignment"];
            let name = text(&assignment["object"]["name"]);
            let active = assignment["active"] == true;
            let here = (name.clone(), host.clone());
            if let Some(replica) = assignment.get("replica") {
                if self.made.insert(here.clone()) {
                    self.current.insert(here.clone());
                }
                match replica["role"] == "Primary" && active {
                    true => {
                        assert!(
                            self.current.contains(&here),
                            "{name} is opened on stale data"
                        );
                        self.writing.insert(here);
                    }
                    false => {
                        self.writing.remove(&here);
                    }
                }
                let role = replica["role"].clone();
                self.replica(&name, &host, |replica| replica["role"] = role);
            } else if !active {
                self.running.remove(&here);
            } else {
                let epoch = assignment["epoch"].as_u64().expect("an epoch");
                if self.started.insert(here.clone(), epoch) != Some(epoch) {
                    self.running.insert(here);
                }
            }
            let generation = spec["planGeneration"].clone();
            self.edit("NodePlan", &text(&plan["metadata"]["name"]), |plan| {
                plan["status"] = json!({
                    "observedPlanGeneration": generation,
                    "released": !active,
                    "conditions": [said("Converged")],
                });
            });
        }
    }

    /// Whoever is open for writing writes; replicas that are not there miss it, those that are back
    /// catch up from one that has everything.
    fn write_and_resync(&mut self) {
        let there = |host: &str, world: &Self| {
            !world.silent.contains(host)
                && world.objects[&("Node".to_owned(), host.to_owned())]["status"]["state"]
                    == "Online"
        };
        for (volume, host) in self.made.clone() {
            let written = self
                .writing
                .iter()
                .any(|(v, on)| *v == volume && there(on, self));
            let here = (volume.clone(), host.clone());
            if !there(&host, self) {
                if written {
                    self.current.remove(&here);
                }
                continue;
            }
            let peer = self
                .current
                .iter()
                .any(|(v, on)| *v == volume && *on != host && there(on, self));
            let everybody = self.made.iter().filter(|(v, _)| *v == volume);
            let alone = everybody
                .into_iter()
                .all(|(_, on)| *on == host || !there(on, self));
            let disk = match (self.current.contains(&here), written || peer) {
                (true, true) => "UpToDate",
                (false, true) => "Inconsistent",
                // Alone it cannot know what it missed.
                (_, false) => "Consistent",
            };
            if peer {
                self.current.insert(here);
            }
            let connection = if alone { "Connecting" } else { "Connected" };
            self.replica(&volume, &host, |replica| {
                replica["disk"] = json!(disk);
                replica["connection"] = json!(connection);
            });
        }
    }

    fn replica(&mut self, volume: &str, host: &str, change: impl FnOnce(&mut Value)) {
        self.edit("Volume", volume, |volume| {
            let replicas = volume["status"]["replicas"]
                .as_array_mut()
                .expect("replicas");
            if let Some(one) = replicas.iter_mut().find(|one| one["node"] == host) {
                change(one);
            }
        });
    }

    fn fence(&mut self) {
        let open: Vec<Value> = self
            .of("FenceOperation")
            .filter(|operation| operation["status"]["phase"] != "Succeeded")
            .cloned()
            .collect();
        for operation in open {
            let host = text(&operation["spec"]["node"]);
            let now = self.now.to_string();
            let status = if self.broken_fence.contains(&host) {
                json!({"phase": "Blocked"})
            } else {
                self.running.retain(|(_, on)| *on != host);
                self.writing.retain(|(_, on)| *on != host);
                json!({"phase": "Succeeded", "evidence": {
                    "kind": "Devices", "at": now,
                    "incarnation": operation["spec"]["incarnation"],
                }})
            };
            let name = text(&operation["metadata"]["name"]);
            self.edit("FenceOperation", &name, |operation| {
                operation["status"] = status
            });
        }
    }

    fn host(&mut self, name: &str, memory: &str) {
        self.put(json!({
            "kind": "Node", "metadata": {"name": name},
            "spec": {"fencing": {"levels": [{"name": "ipmi", "devices": [{"device": name}]}]}},
            "status": {
                "state": "Online", "incarnation": 1,
                "allocatable": {"memory": memory, "cpus": 8},
            },
        }));
    }

    fn pool(&mut self, name: &str, size: &str, hosts: &[&str]) {
        let parts: Vec<Value> = hosts.iter().map(|host| json!({"node": host})).collect();
        let seen: Vec<Value> = hosts
            .iter()
            .map(|host| json!({"node": host, "state": "Ready", "capacity": size}))
            .collect();
        self.put(json!({
            "kind": "StoragePool", "metadata": {"name": name},
            "spec": {"hosts": parts, "reserve": "0"}, "status": {"hosts": seen},
        }));
    }

    fn guest(&mut self, name: &str, memory: &str, fields: &[&str]) {
        let mut spec = json!({"memory": memory, "desiredState": "Running", "managed": true});
        for field in fields {
            match field.split_once('=').expect("field=value") {
                ("volume", volume) => spec["disks"] = json!([{"name": "system", "volume": volume}]),
                ("after", guest) => spec["start"] = json!({"after": [{"guest": guest}]}),
                ("domain", domain) => spec["placement"] = json!({"failoverDomain": domain}),
                (field, value) => {
                    spec[field] = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
                }
            }
        }
        self.put(json!({"kind": "VirtualMachine", "metadata": {"name": name}, "spec": spec}));
    }

    fn end(&mut self, guest: &str, reason: &str) {
        let Some(here) = self.running.iter().find(|(name, _)| name == guest).cloned() else {
            return;
        };
        self.running.remove(&here);
        let record = format!("{}.virtualmachine.{guest}", here.1);
        self.edit("NodePlan", &record, |plan| {
            plan["status"]["conditions"] = json!([said_because("Stalled", reason)]);
        });
    }

    fn silence(&mut self, host: &str) {
        let online =
            self.objects[&("Node".to_owned(), host.to_owned())]["status"]["state"] == "Online";
        if online {
            self.silent.insert(host.to_owned());
            self.edit("Node", host, |node| {
                node["status"]["state"] = json!("Suspect")
            });
        }
    }

    fn rejoin(&mut self, host: &str) {
        let fenced =
            self.objects[&("Node".to_owned(), host.to_owned())]["status"]["state"] == "Fenced";
        if fenced {
            self.silent.remove(host);
            self.started.retain(|(_, on), _| on != host);
            self.edit("Node", host, |node| {
                let next = node["status"]["incarnation"].as_u64().expect("a number") + 1;
                node["status"]["incarnation"] = json!(next);
                node["status"]["state"] = json!("Online");
            });
        }
    }

    fn show(&mut self) {
        let lines: Vec<String> = self
            .of("VirtualMachine")
            .map(|guest| {
                let condition = &guest["status"]["conditions"][0];
                let node = guest["status"]["node"].as_str().unwrap_or("-");
                format!(
                    "      {} {} on {node}: {}: {}",
                    text(&guest["metadata"]["name"]),
                    text(&guest["status"]["state"]),
                    text(&condition["reason"]),
                    text(&condition["message"])
                )
            })
            .chain(self.of("Volume").map(|volume| {
                format!(
                    "      {} in sync {} on {}",
                    text(&volume["metadata"]["name"]),
                    text(&volume["status"]["inSyncSummary"]),
                    volume["status"]["inSync"]
                )
            }))
            .collect();
        self.transcript.extend(lines);
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects
            .iter()
            .filter(move |((of, _), _)| of == kind)
            .map(|(_, object)| object)
    }

    fn put(&mut self, mut object: Value) {
        object["apiVersion"] = json!("quorate.dev/v1alpha1");
        self.state.put(&object).expect("a readable object");
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        self.objects.insert(key, object);
    }

    fn edit(&mut self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let Some(object) = self.objects.get_mut(&(kind.to_owned(), name.to_owned())) else {
            return;
        };
        change(object);
        self.state.put(object).expect("a readable object");
    }
}

fn said(type_: &str) -> Value {
    said_because(type_, "AsPlanned")
}

fn said_because(type_: &str, reason: &str) -> Value {
    json!({
        "type": type_, "status": "True", "reason": reason, "message": "",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
