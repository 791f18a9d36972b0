//! The lines of scripts: what operators do, in the words of the command line, and what breaks.

use super::World;
use serde_json::{Value, json};

impl World {
    /// Carries out one line of a script.
    pub(crate) fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["run", seconds] => {
                for _ in 0..number(seconds) {
                    self.second();
                }
            }
            ["show"] => self.show(),
            ["show", "hosts"] => self.show_hosts(),
            ["show", "moves"] => self.show_moves(),
            ["firewall", network, host] => self.show_firewall(network, host),
            ["names", network, host] => self.show_names(network, host),
            ["finds", network, host, link] => self.finds(network, host, link),
            ["layouts", network] => self.show_layouts(network),
            ["why", key] => self.why(key),
            ["conditions", kind, name] => self.show_conditions(kind, name),
            ["foresee", words @ ..] => self.foresee(words),
            ["node", verb, host] => self.node_command(verb, host),
            ["vm", verb, guest] => self.vm_command(verb, guest, None),
            ["vm", verb, guest, host] => self.vm_command(verb, guest, Some(host)),
            ["cluster", "stop"] => self.set_cluster("power=Stopped"),
            ["cluster", "start"] => self.set_cluster("power=Running"),
            ["cluster", fields @ ..] => {
                for field in fields {
                    self.set_cluster(field);
                }
            }
            ["set", kind, name, path, value] => {
                let value = parsed(value);
                self.edit(kind, name, |object| {
                    let (above, field) = path.rsplit_once('/').expect("a path");
                    let above = object.pointer_mut(above).expect("the path");
                    above[field] = value;
                });
            }
            ["put", rest @ ..] => {
                self.put(serde_json::from_str(&rest.join(" ")).expect("an object"));
            }
            ["delete", kind, name] => self.delete(kind, name),
            ["forget", kind, name] => self.forget(kind, name),
            other => {
                let known = self.declare(other) || self.fault(other);
                assert!(known, "no such command: {other:?}");
            }
        }
    }

    fn node_command(&mut self, verb: &str, host: &str) {
        let mode = match verb {
            "drain" => "Drained",
            "cordon" => "Cordoned",
            "uncordon" => "Active",
            "withdraw" => "Withdrawn",
            "maintenance" => "Maintenance",
            "confirm-fenced" => return self.confirm_off(host),
            other => panic!("no such command: node {other}"),
        };
        self.edit("Node", host, |node| node["spec"]["mode"] = json!(mode));
    }

    fn vm_command(&mut self, verb: &str, guest: &str, host: Option<&str>) {
        let now = self.now.to_string();
        match verb {
            "start" | "stop" => {
                let state = if verb == "start" {
                    "Running"
                } else {
                    "Stopped"
                };
                self.edit("VirtualMachine", guest, |guest| {
                    guest["spec"]["desiredState"] = json!(state);
                });
            }
            "restart" => self.edit("VirtualMachine", guest, |guest| {
                guest["metadata"]["annotations"] = json!({"quorate.dev/restart": now});
            }),
            "migrate" => {
                let mut spec = json!({"virtualMachine": guest});
                if let Some(host) = host {
                    spec["target"] = json!(host);
                }
                self.put(json!({
                    "kind": "VirtualMachineMigration",
                    "metadata": {"name": format!("move-{guest}")}, "spec": spec,
                }));
            }
            "cancel" => {
                let moves: Vec<String> = self
                    .of("VirtualMachineMigration")
                    .filter(|one| one["spec"]["virtualMachine"] == guest)
                    .map(|one| super::text(&one["metadata"]["name"]))
                    .collect();
                for name in moves {
                    self.edit("VirtualMachineMigration", &name, |one| {
                        one["spec"]["cancel"] = json!(true);
                    });
                }
            }
            other => panic!("no such command: vm {other}"),
        }
    }

    fn set_cluster(&mut self, field: &str) {
        let key = ("Cluster".to_owned(), "cluster".to_owned());
        let mut cluster = self.objects.get(&key).cloned().unwrap_or_else(
            || json!({"kind": "Cluster", "metadata": {"name": "cluster"}, "spec": {}}),
        );
        set(&mut cluster["spec"], field);
        self.put(cluster);
    }

    /// Objects that hosts still hold something of are only marked: they go when that has ended.
    fn delete(&mut self, kind: &str, name: &str) {
        let now = self.now.to_string();
        let held = self
            .of("NodePlan")
            .any(|plan| plan["spec"]["assignment"]["object"]["name"] == name);
        // What lies above a volume is known to its pool alone while nobody has it open.
        let key = (kind.to_owned(), name.to_owned());
        let pool = self
            .objects
            .get(&key)
            .map(|it| super::text(&it["spec"]["pool"]));
        let pool = pool.and_then(|pool| self.objects.get(&("StoragePool".to_owned(), pool)));
        let above = pool.is_some_and(|pool| pool["spec"]["type"] == "Shared");
        if (held || above) && kind != "VirtualMachineMigration" {
            self.edit(kind, name, |object| {
                object["metadata"]["deletionTimestamp"] = json!(now);
            });
        } else {
            self.forget(kind, name);
            self.let_go_of_owned(kind, name);
        }
    }

    /// What was made for an object goes when it is gone.
    pub(super) fn let_go_of_owned(&mut self, kind: &str, name: &str) {
        let owned: Vec<(String, String)> = self
            .objects
            .iter()
            .filter(|(_, object)| {
                let owner = &object["metadata"]["ownerReferences"][0];
                owner["kind"] == kind && owner["name"] == name
            })
            .map(|(key, _)| key.clone())
            .collect();
        for (kind, name) in owned {
            self.delete(&kind, &name);
        }
    }

    fn forget(&mut self, kind: &str, name: &str) {
        self.objects.remove(&(kind.to_owned(), name.to_owned()));
        self.state.remove(kind, name);
    }
}

/// `a.b=value`, where the value is JSON or plain text.
pub(super) fn set(object: &mut Value, field: &str) {
    let (path, value) = field.split_once('=').expect("field=value");
    let mut at = object;
    for part in path.split('.') {
        at = &mut at[part];
    }
    *at = parsed(value);
}

fn parsed(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| json!(value))
}

pub(super) fn number(seconds: &str) -> u32 {
    seconds.trim_end_matches('s').parse().expect("seconds")
}
