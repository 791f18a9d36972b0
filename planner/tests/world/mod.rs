//! A small cluster that obeys its plans a second later, on simulated time.
//!
//! It knows what really runs where, which the planner does not; that is how tests can tell whether
//! the planner ever let something run twice.

mod foresee;
mod hosts;
mod truth;

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
    pub(crate) truth: truth::Truth,
    caught_up: Vec<truth::Place>,
    broken_fence: BTreeSet<String>,
    silent: BTreeSet<String>,
    slow: BTreeSet<String>,
    unpowered: BTreeSet<String>,
    /// Hosts that act, and whose reports do not arrive.
    muted: BTreeSet<String>,
    /// Networks that do not work on a host.
    cut: BTreeSet<truth::Place>,
    /// Replicas do not hear each other, while everything else works.
    storage_cut: bool,
    no_sending: bool,
    sending_takes: u32,
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
            truth: truth::Truth::default(),
            caught_up: Vec::new(),
            broken_fence: BTreeSet::new(),
            silent: BTreeSet::new(),
            slow: BTreeSet::new(),
            unpowered: BTreeSet::new(),
            muted: BTreeSet::new(),
            cut: BTreeSet::new(),
            storage_cut: false,
            no_sending: false,
            sending_takes: 2,
            transcript: Vec::new(),
        }
    }

    /// Carries out one line of a script.
    pub(crate) fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["host", name, memory] => self.host(name, memory),
            ["pool", name, size, hosts @ ..] => self.pool(name, size, hosts),
            ["volume", name, size, fields @ ..] => self.volume(name, size, fields),
            ["put", rest @ ..] => {
                self.put(serde_json::from_str(&rest.join(" ")).expect("an object"));
            }
            ["move", guest, target] => self.put(json!({
                "kind": "VirtualMachineMigration", "metadata": {"name": format!("move-{guest}")},
                "spec": {"virtualMachine": guest, "target": target},
            })),
            ["mute", host] => {
                self.muted.insert((*host).to_owned());
            }
            ["hear", host] => {
                self.muted.remove(*host);
            }
            ["cut", network, host] => {
                self.cut.insert(((*network).to_owned(), (*host).to_owned()));
            }
            ["mend", network, host] => {
                self.cut
                    .remove(&((*network).to_owned(), (*host).to_owned()));
            }
            ["cut-storage"] => self.storage_cut = true,
            ["mend-storage"] => self.storage_cut = false,
            ["sending", "fails"] => self.no_sending = true,
            ["sending", "works"] => self.no_sending = false,
            ["sending", "takes", seconds] => {
                self.sending_takes = seconds.trim_end_matches('s').parse().expect("seconds");
            }
            ["delete", kind, name] => {
                let now = self.now.to_string();
                if self
                    .of("NodePlan")
                    .any(|plan| plan["spec"]["assignment"]["object"]["name"] == *name)
                {
                    self.edit(kind, name, |object| {
                        object["metadata"]["deletionTimestamp"] = json!(now);
                    });
                } else {
                    self.forget(kind, name);
                }
            }
            ["forget", kind, name] => self.forget(kind, name),
            ["confirm-off", host] => self.confirm_off(host),
            ["void", host] => self.void(host),
            ["guest", name, memory, fields @ ..] => self.guest(name, memory, fields),
            ["set", kind, name, path, value] => {
                let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
                self.edit(kind, name, |object| {
                    let (above, field) = path.rsplit_once('/').expect("a path");
                    let above = object.pointer_mut(above).expect("the path");
                    above[field] = value;
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

    fn fence(&mut self) {
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
            let now = self.now.to_string();
            let status = if self.broken_fence.contains(&host) {
                json!({"phase": "Blocked"})
            } else {
                self.truth.off(&host);
                self.unpowered.insert(host.clone());
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
        let running = &self.truth.running;
        let Some(here) = running.iter().find(|(name, _)| name == guest).cloned() else {
            return;
        };
        self.truth.running.remove(&here);
        let record = format!("{}.virtualmachine.{guest}", here.1);
        if self.muted.contains(&here.1) {
            return;
        }
        self.edit("NodePlan", &record, |plan| {
            plan["status"]["conditions"] = json!([condition("Stalled", reason)]);
        });
    }

    fn powered(&self, host: &str) -> bool {
        !self.unpowered.contains(host)
    }

    /// A person has looked, and the host is off.
    fn confirm_off(&mut self, host: &str) {
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

    fn forget(&mut self, kind: &str, name: &str) {
        self.objects
            .remove(&((*kind).to_owned(), (*name).to_owned()));
        self.state.remove(kind, name);
    }

    fn volume(&mut self, name: &str, size: &str, fields: &[&str]) {
        let mut spec = json!({"size": size, "pool": "fast"});
        for field in fields {
            let (field, value) = field.split_once('=').expect("field=value");
            spec[field] = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        }
        self.put(json!({"kind": "Volume", "metadata": {"name": name}, "spec": spec}));
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
            self.unpowered.remove(host);
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

fn condition(type_: &str, reason: &str) -> Value {
    json!({
        "type": type_, "status": "True", "reason": reason, "message": "",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
