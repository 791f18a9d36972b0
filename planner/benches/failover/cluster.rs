//! A cluster in which everything runs: made by the planner itself, with hosts that do at once what
//! they are told.

use jiff::{SignedDuration, Timestamp};
use quorate_planner::{ClusterState, Decisions, Leader, Objects, plan};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

use super::worked;

const MEMORY: &str = "4Gi";

pub(crate) struct Cluster {
    objects: Objects,
    state: ClusterState,
    now: Timestamp,
}

impl Cluster {
    /// Every guest has a volume with two replicas, and runs.
    pub(crate) fn settled(guests: usize, hosts: usize) -> Self {
        let mut cluster = Self {
            objects: Objects::new(),
            state: ClusterState::default(),
            now: "2026-03-01T12:00:00Z".parse().expect("a moment"),
        };
        let names: Vec<String> = (0..hosts).map(|host| format!("host-{host:03}")).collect();
        cluster.put(json!({
            "kind": "Cluster", "metadata": {"name": "bench"},
            "spec": {"recovery": {"startInterval": "0s", "maxStartsPerNode": 100}},
        }));
        let memory = format!("{}Gi", 4 * (2 * guests / hosts + 4));
        for name in &names {
            cluster.put(json!({
                "kind": "Node", "metadata": {"name": name},
                "spec": {"fencing": {"levels": [{"name": "ipmi", "devices": [{"device": name}]}]}},
                "status": {
                    "state": "Online", "incarnation": 1,
                    "allocatable": {"memory": memory, "cpus": 1000},
                },
            }));
        }
        let parts: Vec<Value> = names.iter().map(|host| json!({"node": host})).collect();
        let seen: Vec<Value> = names
            .iter()
            .map(|host| json!({"node": host, "state": "Ready", "capacity": "1000Ti"}))
            .collect();
        cluster.put(json!({
            "kind": "StoragePool", "metadata": {"name": "fast"},
            "spec": {"hosts": parts, "reserve": "0"}, "status": {"hosts": seen},
        }));
        for (network, role) in [("sn", "Storage"), ("ifn", "InternetFacing")] {
            let seen: Vec<Value> = (1_usize..)
                .zip(&names)
                .map(|(number, host)| {
                    json!({"node": host, "state": "Up", "address": format!("10.10.1.{number}/16")})
                })
                .collect();
            cluster.put(json!({
                "kind": "Network", "metadata": {"name": network},
                "spec": {"role": role, "bridge": {}, "addressing": "None"},
                "status": {"hosts": seen},
            }));
        }
        for guest in 0..guests {
            let volume = format!("volume-{guest:05}");
            // Neighbours share a volume's replicas, so that the load of a lost host spreads.
            let (one, two) = (
                guest % hosts,
                (guest + 1 + guest / hosts % (hosts - 1)) % hosts,
            );
            cluster.put(json!({
                "kind": "Volume", "metadata": {"name": volume},
                "spec": {"size": "10Gi", "pool": "fast", "nodes": [names[one], names[two]]},
            }));
            cluster.put(json!({
                "kind": "VirtualMachine", "metadata": {"name": format!("guest-{guest:05}")},
                "spec": {
                    "memory": MEMORY, "desiredState": "Running", "priority": guest % 7,
                    "disks": [{"name": "system", "volume": volume}],
                    "nics": [{"name": "eth0", "network": "ifn"}],
                },
            }));
        }
        cluster.settle();
        cluster
    }

    fn settle(&mut self) {
        loop {
            let decisions = self.plan();
            if decisions.is_empty() {
                break;
            }
            decisions
                .commit(&mut self.objects, &mut self.state)
                .expect("its own decisions");
            self.obey();
            self.now = self
                .now
                .checked_add(SignedDuration::from_secs(1))
                .expect("time goes on");
        }
        let running = self.of("VirtualMachine");
        let running = running.filter(|guest| guest["status"]["state"] == "Running");
        assert_eq!(running.count(), self.of("VirtualMachine").count());
    }

    /// Hosts have done what their records say.
    fn obey(&mut self) {
        let plans: Vec<Value> = self.of("NodePlan").cloned().collect();
        for mut plan in plans {
            let (spec, status) = (&plan["spec"], &plan["status"]);
            let answered = status["observedPlanGeneration"] == spec["planGeneration"];
            if spec["assignment"].is_null() || answered {
                continue;
            }
            let active = spec["assignment"]["active"] == true;
            let mut status = json!({
                "observedPlanGeneration": spec["planGeneration"],
                "incarnation": spec["incarnation"],
                "released": !active,
                "conditions": [{
                    "type": "Converged", "status": "True", "reason": "AsPlanned", "message": "",
                    "lastTransitionTime": self.now.to_string(),
                }],
            });
            if let Some(replica) = spec["assignment"].get("replica") {
                let peers = replica["peers"].as_array().into_iter().flatten();
                let peers: Vec<Value> = peers
                    .map(|peer| json!({"node": peer["node"], "connection": "Connected"}))
                    .collect();
                status["replica"] = json!({
                    "node": spec["node"], "role": replica["role"], "disk": "UpToDate",
                    "connection": "Connected", "peers": peers, "size": replica["size"],
                    "twoPrimariesAllowed": false,
                });
            }
            if spec["assignment"].get("guest").is_some() {
                status["guest"] = json!({"presence": if active { "Running" } else { "Absent" }});
            }
            plan["status"] = status;
            self.put(plan);
        }
    }

    /// The first host is lost, and confirmed off.
    pub(crate) fn without_first_host(mut self) -> Self {
        let key = ("Node".to_owned(), "host-000".to_owned());
        let mut node = self.objects[&key].clone();
        node["status"]["state"] = json!("Fencing");
        self.put(node);
        self.put(json!({
            "kind": "FenceOperation", "metadata": {"name": "host-000-1"},
            "spec": {"node": "host-000", "incarnation": 1, "action": "PowerCycle", "reason": "silent"},
            "status": {"phase": "Succeeded", "evidence": {
                "kind": "Devices", "at": self.now.to_string(), "incarnation": 1}},
        }));
        let plans: Vec<Value> = self.of("NodePlan").cloned().collect();
        for mut plan in plans {
            // The others hear it no more.
            if plan["status"]["replica"].is_object() && plan["spec"]["node"] != "host-000" {
                let peers = plan["status"]["replica"]["peers"].as_array().cloned();
                if peers.is_some_and(|peers| peers.iter().any(|peer| peer["node"] == "host-000")) {
                    plan["status"]["replica"]["connection"] = json!("Connecting");
                    plan["status"]["replica"]["peers"][0]["connection"] = json!("Connecting");
                    self.put(plan);
                }
            }
        }
        // What is decided first is that it is off; the next round recovers what it held.
        let decisions = self.plan();
        decisions
            .commit(&mut self.objects, &mut self.state)
            .expect("its own decisions");
        self
    }

    pub(crate) fn plan(&self) -> Decisions {
        let leader = Leader {
            now: self.now,
            term: 1,
        };
        plan(&self.state, leader)
    }

    /// What a host's report that says nothing new costs: it is read, and nothing is planned.
    pub(crate) fn report_cost(&self, times: usize) -> Duration {
        let mut state = self.state.clone();
        let mut report = self.of("Node").last().expect("a host").clone();
        let version = state.version();
        let mut taken: Vec<Duration> = (0..times)
            .map(|time| {
                report["status"]["rings"] =
                    json!([{"network": "bcn", "roundTrip": format!("{time}ms")}]);
                worked(|| state.put(&report).expect("a host")).0
            })
            .collect();
        assert!(
            state.version() <= version + 1,
            "volatile figures are looked at"
        );
        taken.sort();
        taken[taken.len() / 2]
    }

    /// What it costs that one guest's host says something new about it: it is read, and all is planned.
    pub(crate) fn news_cost(&self, times: usize) -> Duration {
        let mut state = self.state.clone();
        let mut record = self
            .of("NodePlan")
            .find(|record| record["spec"]["assignment"].get("guest").is_some())
            .expect("a guest's record")
            .clone();
        let leader = Leader {
            now: self.now,
            term: 1,
        };
        let mut taken: Vec<Duration> = (0..times)
            .map(|time| {
                record["status"]["guest"]["agent"] = json!({"connected": time % 2 == 0});
                let (taken, decisions) = worked(|| {
                    assert!(state.put(&record).expect("a record"), "it is news");
                    plan(&state, leader)
                });
                assert_eq!(decisions.statuses.len(), 1, "the guest's status says so");
                taken
            })
            .collect();
        taken.sort();
        taken[taken.len() / 2]
    }

    fn put(&mut self, mut object: Value) {
        object["apiVersion"] = json!("quorate.dev/v1alpha1");
        self.state.put(&object).expect("a readable object");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        self.objects.insert(key, object);
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let objects = self.objects.iter();
        objects
            .filter(move |((of, _), _)| of == kind)
            .map(|(_, object)| object)
    }

    /// Hosts, the lost one first.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let names = self
            .of("Node")
            .map(|node| node["metadata"]["name"].as_str());
        names.flatten().map(str::to_owned).collect()
    }

    /// Guests, with the host on which each was before, and those that keep its volume.
    pub(crate) fn guests(&self) -> Vec<(String, String, BTreeSet<String>)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.of("VirtualMachine")
            .map(|guest| {
                let volume = text(&guest["spec"]["disks"][0]["volume"]);
                let volume = &self.objects[&("Volume".to_owned(), volume)];
                let keepers = volume["spec"]["nodes"].as_array().into_iter().flatten();
                (
                    text(&guest["metadata"]["name"]),
                    text(&guest["status"]["placement"]["node"]),
                    keepers.map(text).collect(),
                )
            })
            .collect()
    }
}
