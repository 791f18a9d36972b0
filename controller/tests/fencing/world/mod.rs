//! A machine room on simulated time: hosts with boards and outlets, a coordinator that leads, and what is stored.

mod device;
mod rules;
mod stored;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use quorate_controller::fencing::agents::{Action, AgentReport};
use quorate_controller::fencing::{AgentMember, Coordinator, Grants, Now, Room, Run, RunId};
use quorate_crds::{
    AgentMetadata, FenceDevice, FenceOperation, FenceOperationStatus, FencePhase, Node,
};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) use device::{Device, Mood};
use stored::Objects;

/// One agent's run that has begun.
#[derive(Debug)]
struct Running {
    ends: Instant,
    run: Run,
    report: AgentReport,
}

/// One thing that was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) at: Duration,
    pub(crate) member: String,
    pub(crate) term: u64,
    pub(crate) device: String,
    pub(crate) plug: String,
    pub(crate) node: String,
    pub(crate) action: Action,
}

/// What the leader knows of leases here.
#[derive(Debug, Default)]
pub(crate) struct Leases(BTreeMap<String, Instant>);

impl Grants for Leases {
    fn last_possible_grant(&self, node: &str) -> Option<Instant> {
        self.0.get(node).copied()
    }
}

pub(crate) struct World {
    began: Instant,
    now: Instant,
    term: u64,
    coordinator: Coordinator,
    objects: Objects,
    pub(crate) devices: BTreeMap<String, Device>,
    members: Vec<AgentMember>,
    pub(crate) leases: Leases,
    /// One half of the voters acts alone.
    pub(crate) half_acts: bool,
    running: BTreeMap<RunId, Running>,
    /// Everything that was asked, in order.
    pub(crate) asked: Vec<Asked>,
    /// Reasons and notes of what people were told.
    pub(crate) told: Vec<(String, String)>,
    /// How often anything was written.
    pub(crate) writes: usize,
    /// What was done against the rules.
    pub(crate) violations: Vec<String>,
    /// A device was contradicted in the middle, so that levels may have been passed over without a word.
    pub(crate) contradicted_lately: bool,
    /// Each stored phase of each operation, with its moment.
    pub(crate) phases: Vec<(Duration, String, FencePhase)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let mut world = Self {
            began: now,
            now,
            term: 1,
            coordinator: Coordinator::new("alpha", 1),
            objects: Objects::default(),
            devices: BTreeMap::new(),
            members: Vec::new(),
            leases: Leases::default(),
            half_acts: false,
            running: BTreeMap::new(),
            asked: Vec::new(),
            told: Vec::new(),
            writes: 0,
            violations: Vec::new(),
            contradicted_lately: false,
            phases: Vec::new(),
        };
        world.put("clusters", "cluster", json!({"spec": {}}));
        world.set_members(&["alpha", "beta", "gamma"]);
        world
    }

    // What people declare.

    pub(crate) fn put(&mut self, bucket: &'static str, name: &str, object: Value) {
        self.objects.put(bucket, name, object);
    }

    pub(crate) fn set_members(&mut self, names: &[&str]) {
        self.members = names
            .iter()
            .map(|name| AgentMember {
                name: (*name).to_owned(),
                reachable: true,
                voter: true,
            })
            .collect();
    }

    pub(crate) fn set_reachable(&mut self, name: &str, reachable: bool) {
        for member in self.members.iter_mut().filter(|member| member.name == name) {
            member.reachable = reachable;
        }
    }

    /// A host whose levels are lists of `device` or `device/plug`.
    pub(crate) fn host(&mut self, name: &str, levels: &[(&str, &[&str])]) {
        let levels: Vec<Value> = levels
            .iter()
            .map(|(level, targets)| {
                let devices: Vec<Value> = targets.iter().map(|target| target_of(target)).collect();
                json!({"name": level, "devices": devices})
            })
            .collect();
        self.put(
            "nodes",
            name,
            json!({
                "spec": {"fencing": {"levels": levels}},
                "status": {"state": "Fencing", "incarnation": 7},
            }),
        );
    }

    pub(crate) fn change(&mut self, bucket: &'static str, name: &str, pointer: &str, value: Value) {
        self.objects.change(bucket, name, pointer, value);
    }

    pub(crate) fn delete(&mut self, bucket: &'static str, name: &str) {
        self.objects.delete(bucket, name);
    }

    /// A device that is switched by an agent, and works.
    pub(crate) fn device(&mut self, name: &str) {
        self.device_with(name, json!({}));
    }

    pub(crate) fn device_with(&mut self, name: &str, more: Value) {
        let mut spec = json!({"type": "Agent", "agent": "fence_x"});
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        self.put("fencedevices", name, json!({"spec": spec}));
        self.devices.insert(name.to_owned(), Device::default());
    }

    pub(crate) fn mood(&mut self, device: &str, mood: Mood) {
        self.devices.get_mut(device).expect("the device").mood = mood;
    }

    /// What the planner asks for when a host is lost.
    pub(crate) fn fence(&mut self, node: &str) -> String {
        self.operation(
            node,
            json!({"action": "PowerCycle", "incarnation": 7, "requestedBy": "quorate-planner"}),
        )
    }

    /// Any operation on a host; its name.
    pub(crate) fn operation(&mut self, node: &str, more: Value) -> String {
        let name = format!(
            "operation-{}",
            self.objects.names("fenceoperations").len() + 1
        );
        let mut spec = json!({"node": node, "reason": "silent on all rings"});
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        self.put("fenceoperations", &name, json!({"spec": spec}));
        name
    }

    /// A host was granted a lease at this moment.
    pub(crate) fn granted_now(&mut self, node: &str) {
        self.leases.0.insert(node.to_owned(), self.now);
    }

    // What is stored.

    pub(crate) fn status(&self, operation: &str) -> FenceOperationStatus {
        let stored: FenceOperation = self.objects.read("fenceoperations", operation);
        stored.status.unwrap_or_default()
    }

    pub(crate) fn phase(&self, operation: &str) -> Option<FencePhase> {
        self.status(operation).phase
    }

    pub(crate) fn node(&self, name: &str) -> Node {
        self.objects.read("nodes", name)
    }

    pub(crate) fn fence_device(&self, name: &str) -> FenceDevice {
        self.objects.read("fencedevices", name)
    }

    /// The status, reason and message of a condition of a stored object.
    pub(crate) fn condition(
        &self,
        bucket: &'static str,
        name: &str,
        type_: &str,
    ) -> Option<(String, String, String)> {
        let object: Value = self.objects.read(bucket, name);
        let found = object["status"]["conditions"]
            .as_array()?
            .iter()
            .find(|condition| condition["type"] == type_)?
            .clone();
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason"), text("message")))
    }

    /// What was asked since the beginning about switching, each as `off bmc1/3`.
    pub(crate) fn switched(&self) -> Vec<String> {
        self.asked
            .iter()
            .filter(|asked| matches!(asked.action, Action::Off | Action::On))
            .map(Asked::shown)
            .collect()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    // What happens.

    /// Another member leads from now on: what the former one had under way is killed, what it knew is gone.
    pub(crate) fn elect(&mut self, member: &str) {
        self.term += 1;
        self.running.clear();
        self.coordinator = Coordinator::new(member, self.term);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let wake = self.settle();
            let ends = self.running.values().map(|running| running.ends).min();
            let next = [wake, ends].into_iter().flatten().min();
            match next.filter(|next| *next <= until) {
                Some(next) => self.now = next.max(self.now),
                None => break,
            }
            self.end_runs();
        }
        self.now = until;
    }

    /// Lets time pass until something is so; panics when it does not come about within `limit`.
    pub(crate) fn pass_until(
        &mut self,
        limit: Duration,
        what: &str,
        is_so: impl Fn(&Self) -> bool,
    ) {
        let until = self.now + limit;
        while !is_so(self) {
            assert!(
                self.now < until,
                "{what}: not within {limit:?}; asked: {:?}",
                self.shown()
            );
            self.pass(Duration::from_millis(100));
        }
    }

    pub(crate) fn shown(&self) -> Vec<String> {
        self.asked.iter().map(Asked::shown).collect()
    }

    fn room(&self) -> Room {
        let mut room = Room::default();
        for (bucket, name, object, revision) in self.objects.all() {
            room.put(bucket, name, object.to_string().as_bytes(), revision);
        }
        room.members.clone_from(&self.members);
        room.half_acts = self.half_acts;
        room
    }

    /// Steps until nothing more comes of it at this moment.
    fn settle(&mut self) -> Option<Instant> {
        for _ in 0..100 {
            let now = Now {
                monotonic: self.now,
                wall: Timestamp::UNIX_EPOCH + (self.now - self.began),
            };
            let room = self.room();
            let steps = self.coordinator.step(&room, now, &self.leases);
            for id in steps.cancel {
                self.running.remove(&id);
            }
            let began_any = !steps.start.is_empty();
            for run in steps.start {
                self.begin(run);
            }
            for agent in &steps.describe {
                self.coordinator.described(agent, AgentMetadata::default());
            }
            self.told.extend(
                steps
                    .happenings
                    .into_iter()
                    .map(|happening| (happening.reason, happening.note)),
            );
            let mut wrote = false;
            for write in steps.writes {
                self.check_write(&write);
                wrote |= self.objects.merge_status(&write);
                self.writes += 1;
                if let Some(phase) = write.fields.get("phase")
                    && let Ok(phase) = serde_json::from_value(phase.clone())
                {
                    self.phases.push((self.elapsed(), write.name, phase));
                }
            }
            if !wrote && !began_any {
                return steps.wake_at;
            }
        }
        panic!(
            "the coordinator does not come to rest; asked: {:?}",
            self.shown()
        );
    }

    fn begin(&mut self, run: Run) {
        self.check_run(&run);
        let request = &run.request;
        self.asked.push(Asked {
            at: self.elapsed(),
            member: run.member.clone(),
            term: request.term,
            device: request.device.clone(),
            plug: request.plug.clone(),
            node: request.node.clone().unwrap_or_default(),
            action: request.action,
        });
        let device = self.devices.entry(request.device.clone()).or_default();
        let (takes, report) = device.ask(&run.member, request, self.now);
        self.running.insert(
            run.id,
            Running {
                ends: self.now + takes,
                run,
                report,
            },
        );
    }

    fn end_runs(&mut self) {
        let ended: Vec<RunId> = self
            .running
            .iter()
            .filter(|(_, running)| running.ends <= self.now)
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            if let Some(mut running) = self.running.remove(&id) {
                let device = self
                    .devices
                    .entry(running.run.request.device.clone())
                    .or_default();
                device.answer(&running.run.request, self.now, &mut running.report);
                self.coordinator.finished(id, running.report);
            }
        }
    }
}

impl Asked {
    pub(crate) fn shown(&self) -> String {
        let separator = if self.plug.is_empty() { "" } else { "/" };
        format!("{} {}{separator}{}", self.action, self.device, self.plug)
    }
}

fn target_of(text: &str) -> Value {
    let (device, plug) = text.split_once('/').unwrap_or((text, ""));
    json!({"device": device, "plug": plug})
}
