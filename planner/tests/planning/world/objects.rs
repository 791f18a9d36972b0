//! Objects that scripts declare in a line.

use super::commands::set;
use super::{World, text};
use quorate_crds::manifest::{Limits, parse};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

impl World {
    pub(super) fn declare(&mut self, words: &[&str]) -> bool {
        match words {
            ["host", name, memory, fields @ ..] => self.host(name, memory, fields),
            ["pool", name, "above", volume, fields @ ..] => {
                let mut spec = json!({"type": "Shared", "volume": volume});
                for field in fields {
                    set(&mut spec, field);
                }
                self.put(json!({"kind": "StoragePool", "metadata": {"name": name}, "spec": spec}));
            }
            ["pool", name, size, hosts @ ..] => self.pool(name, size, hosts),
            ["volume", name, size, fields @ ..] => self.volume(name, size, fields),
            ["load", folder] => self.load(folder),
            ["network", name] => self.put(json!({
                "kind": "Network", "metadata": {"name": name},
                "spec": {"role": "InternetFacing", "bridge": {}, "addressing": "None"},
            })),
            ["domain", name, words @ ..] => self.domain(name, words),
            ["guest", name, memory, fields @ ..] => self.guest(name, memory, fields),
            ["shared", name, volume, hosts @ ..] => self.put(json!({
                "kind": "SharedFilesystem", "metadata": {"name": name},
                "spec": {
                    "type": "Gfs2", "volume": volume, "mountPoint": format!("/srv/{name}"),
                    "journals": 4, "nodes": hosts,
                },
            })),
            _ => return false,
        }
        true
    }

    /// The manifests of a folder, on hosts that are there and have plenty.
    fn load(&mut self, folder: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(folder);
        let entries = std::fs::read_dir(&folder).expect("the folder");
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
            .collect();
        files.sort();
        for file in files {
            let bytes = std::fs::read(&file).expect("the file");
            for mut object in parse(&bytes, &Limits::default()).expect("manifests") {
                let seen = match object["kind"].as_str() {
                    // Tests of devices are the leader's affair.
                    Some("FenceOperation") => continue,
                    Some("Node") => json!({
                        "state": "Online", "incarnation": 1,
                        "allocatable": {"memory": "30Gi", "cpus": 8},
                    }),
                    Some("StoragePool") => {
                        let parts = object["spec"]["hosts"].as_array().cloned();
                        let parts = parts.unwrap_or_default().into_iter().map(|part| {
                            json!({"node": part["node"], "state": "Ready", "capacity": "2Ti"})
                        });
                        json!({"hosts": parts.collect::<Vec<_>>()})
                    }
                    _ => json!(null),
                };
                if !seen.is_null() {
                    object["status"] = seen;
                }
                self.put(object);
            }
        }
    }

    fn host(&mut self, name: &str, memory: &str, fields: &[&str]) {
        let mut node = json!({
            "kind": "Node", "metadata": {"name": name},
            "spec": {"fencing": {"levels": [{"name": "ipmi", "devices": [{"device": name}]}]}},
            "status": {
                "state": "Online", "incarnation": 1,
                "allocatable": {"memory": memory, "cpus": 8},
            },
        });
        for field in fields {
            match field.split_once('=') {
                Some(("label", label)) => {
                    let (label, value) = label.split_once(':').expect("label:value");
                    node["metadata"]["labels"][label] = json!(value);
                }
                _ => set(&mut node["spec"], field),
            }
        }
        self.put(node);
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

    fn volume(&mut self, name: &str, size: &str, fields: &[&str]) {
        let mut spec = json!({"size": size, "pool": "fast"});
        for field in fields {
            match *field {
                "ext4" => {
                    spec["filesystem"] =
                        json!({"type": "Ext4", "mountPoint": format!("/srv/{name}")});
                }
                "shared" => spec["access"] = json!("MultiWriter"),
                field => set(&mut spec, field),
            }
        }
        self.put(json!({"kind": "Volume", "metadata": {"name": name}, "spec": spec}));
    }

    fn domain(&mut self, name: &str, words: &[&str]) {
        let nodes: Vec<Value> = words
            .iter()
            .filter_map(|word| word.split_once('='))
            .map(|(node, priority)| {
                json!({"node": node, "priority": priority.parse::<u32>().expect("a priority")})
            })
            .collect();
        self.put(json!({
            "kind": "FailoverDomain", "metadata": {"name": name},
            "spec": {
                "nodes": nodes, "restricted": words.contains(&"restricted"),
                "failback": words.contains(&"failback"),
            },
        }));
    }

    fn guest(&mut self, name: &str, memory: &str, fields: &[&str]) {
        let mut spec = json!({"memory": memory, "desiredState": "Running", "managed": true});
        for field in fields {
            match field.split_once('=').expect("field=value") {
                ("volume", volume) => spec["disks"] = json!([{"name": "system", "volume": volume}]),
                ("file", filesystem) => {
                    spec["disks"] = json!([{
                        "name": "system",
                        "file": {"filesystem": filesystem, "path": format!("{name}.img")},
                    }]);
                }
                ("disk", size) => {
                    spec["disks"] = json!([{"name": "system", "pool": "fast", "size": size}]);
                }
                ("after", guest) => spec["start"] = json!({"after": [{"guest": guest}]}),
                ("domain", domain) => spec["placement"]["failoverDomain"] = json!(domain),
                ("apart", other) => {
                    spec["placement"]["apartFrom"] = json!([{"guest": other, "required": true}]);
                }
                ("near", other) => {
                    spec["placement"]["togetherWith"] = json!([{"guest": other, "required": true}]);
                }
                ("label", label) => {
                    let (label, value) = label.split_once(':').expect("label:value");
                    spec["placement"]["nodeSelector"][label] = json!(value);
                }
                ("network", network) => spec["nics"] = json!([{"name": "lan", "network": network}]),
                _ => set(&mut spec, field),
            }
        }
        self.put(json!({"kind": "VirtualMachine", "metadata": {"name": name}, "spec": spec}));
    }

    pub(super) fn show_hosts(&mut self) {
        let lines: Vec<String> = self
            .of("Node")
            .map(|node| {
                let status = &node["status"];
                let said = |type_: &str| {
                    let mut conditions = status["conditions"].as_array().into_iter().flatten();
                    let found = conditions.find(|one| one["type"] == type_)?;
                    let (reason, message) = (text(&found["reason"]), text(&found["message"]));
                    Some(format!(": {reason}: {message}"))
                };
                let why = match status["state"] == "Online" {
                    true => said("Drained"),
                    false => said("Ready"),
                };
                let guests = &status["allocated"]["guests"];
                format!(
                    "      {} {} with {} guests{}",
                    text(&node["metadata"]["name"]),
                    text(&status["state"]),
                    guests.as_u64().unwrap_or(0),
                    why.unwrap_or_default()
                )
            })
            .collect();
        self.transcript.extend(lines);
    }

    pub(super) fn show_moves(&mut self) {
        let lines: Vec<String> = self
            .of("VirtualMachineMigration")
            .map(|one| {
                let status = &one["status"];
                format!(
                    "      {} {} from {} to {}: {}: {}",
                    text(&one["metadata"]["name"]),
                    text(&status["phase"]),
                    status["source"].as_str().unwrap_or("-"),
                    status["target"].as_str().unwrap_or("-"),
                    text(&status["reason"]),
                    text(&status["message"])
                )
            })
            .collect();
        self.transcript.extend(lines);
    }

    pub(super) fn show_conditions(&mut self, kind: &str, name: &str) {
        let object = &self.objects[&(kind.to_owned(), name.to_owned())];
        let conditions = object["status"]["conditions"].clone();
        for one in conditions.as_array().into_iter().flatten() {
            let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
            let (type_, status) = (text("type"), text("status"));
            let (reason, message) = (text("reason"), text("message"));
            let line = format!("      {type_}={status} {reason}: {message}");
            self.transcript.push(line);
        }
    }

    /// Which hosts have which layout of a network, as it was told to them: A is the first that anybody had.
    pub(super) fn show_layouts(&mut self, network: &str) {
        let plans: Vec<(String, String)> = self
            .of("NodePlan")
            .filter(|plan| plan["spec"]["assignment"]["object"]["name"] == network)
            .map(|plan| {
                let assigned = &plan["spec"]["assignment"]["network"];
                (text(&plan["spec"]["node"]), text(&assigned["layout"]))
            })
            .collect();
        for (_, layout) in &plans {
            if !self.seen_layouts.contains(layout) {
                self.seen_layouts.push(layout.clone());
            }
        }
        let letter = |layout: &str| {
            let at = self.seen_layouts.iter().position(|one| one == layout);
            char::from(b'A' + u8::try_from(at.unwrap_or(0)).expect("few"))
        };
        let words: Vec<String> = plans
            .iter()
            .map(|(host, layout)| format!("{host} {}", letter(layout)))
            .collect();
        let line = format!("      {network}: {}", words.join(", "));
        self.transcript.push(line);
    }

    /// What a host finds of another one over a network, as it says.
    pub(super) fn finds(&mut self, network: &str, host: &str, link: &str) {
        let link: Value = serde_json::from_str(link).expect("a link");
        let known = self.links.entry((network.to_owned(), host.to_owned()));
        let known = known.or_default();
        known.retain(|one| one["node"] != link["node"]);
        known.push(link);
    }

    /// What is open on a network, on one host.
    pub(super) fn show_firewall(&mut self, network: &str, host: &str) {
        let plan = &self.objects[&("NodePlan".to_owned(), format!("{host}.network.{network}"))];
        let firewall = plan["spec"]["assignment"]["network"]["firewall"].clone();
        if firewall.is_null() {
            self.transcript.push("      left alone".to_owned());
            return;
        }
        for one in firewall["openings"].as_array().into_iter().flatten() {
            let sources: Vec<String> = one["sources"]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .collect();
            let from = match sources.is_empty() {
                true => "anybody".to_owned(),
                false => sources.join(", "),
            };
            let (first, last) = (&one["firstPort"], &one["lastPort"]);
            let protocol = text(&one["protocol"]);
            let line = format!("      {protocol} {first}-{last} from {from}");
            self.transcript.push(line);
        }
        if firewall["closedToGuests"] == true {
            self.transcript.push("      closed to guests".to_owned());
        }
    }

    /// The names that a host is told with a network.
    pub(super) fn show_names(&mut self, network: &str, host: &str) {
        let plan = &self.objects[&("NodePlan".to_owned(), format!("{host}.network.{network}"))];
        let known = plan["spec"]["assignment"]["network"]["names"].as_array();
        let lines = known.into_iter().flatten().map(|one| {
            let names = one["names"].as_array().into_iter().flatten().map(text);
            let names: Vec<String> = names.collect();
            format!("      {} {}", text(&one["address"]), names.join(" "))
        });
        let lines: Vec<String> = lines.collect();
        self.transcript.extend(lines);
    }

    pub(super) fn why(&mut self, key: &str) {
        let decisions = self.decisions();
        for why in decisions.reasons.get(key).into_iter().flatten() {
            self.transcript
                .push(format!("      {}: {}", why.reason, why.message));
        }
    }
}
