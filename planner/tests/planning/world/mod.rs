//! A small cluster that obeys its plans a second later, on simulated time.
//!
//! It knows what really runs where, which the planner does not; that is how tests can tell whether
//! the planner ever let something run twice.

mod above;
mod commands;
mod faults;
mod filesystems;
mod foresee;
mod hosts;
mod objects;
mod rules;
mod truth;

use jiff::{SignedDuration, Timestamp};
use quorate_planner::{ClusterState, Decisions, Leader, Objects, explain};
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
    /// Networks whose changes cut a host off, and what every host has kept of each.
    takes_back: BTreeSet<truth::Place>,
    /// Networks that a host does not make, and the manifest that it has refused.
    refuses: BTreeMap<truth::Place, Value>,
    layouts: BTreeMap<truth::Place, String>,
    /// What hosts find of their ways to others.
    links: BTreeMap<truth::Place, Vec<Value>>,
    /// How the cards of a network are on a host.
    cards: BTreeMap<truth::Place, Vec<Value>>,
    /// Every layout that was shown so far.
    seen_layouts: Vec<String>,
    /// Replicas do not hear each other, while everything else works.
    storage_cut: bool,
    no_sending: bool,
    /// What hosts say of filling volumes, with which they do not get on.
    no_copying: Option<Value>,
    sending_takes: u32,
    /// How long a replica takes to catch up, and for how long each has done so.
    resync_takes: u32,
    catching_up: BTreeMap<truth::Place, u32>,
    /// How long fencing takes, and for how long each operation has been at work.
    fencing_takes: u32,
    fencing: BTreeMap<String, u32>,
    /// How long it takes until a silent host is missed, and who is not missed yet.
    detection_takes: u32,
    unnoticed: BTreeMap<String, u32>,
    /// The leader's term.
    term: u64,
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
            takes_back: BTreeSet::new(),
            refuses: BTreeMap::new(),
            layouts: BTreeMap::new(),
            links: BTreeMap::new(),
            cards: BTreeMap::new(),
            seen_layouts: Vec::new(),
            storage_cut: false,
            no_sending: false,
            no_copying: None,
            sending_takes: 2,
            resync_takes: 0,
            catching_up: BTreeMap::new(),
            fencing_takes: 1,
            fencing: BTreeMap::new(),
            detection_takes: 0,
            unnoticed: BTreeMap::new(),
            term: 1,
            transcript: Vec::new(),
        }
    }

    /// What the planner would decide now.
    pub(crate) fn decisions(&self) -> Decisions {
        explain(
            &self.state,
            Leader {
                now: self.now,
                term: self.term,
            },
        )
    }

    /// What a leader that has just taken over would decide now.
    pub(crate) fn decisions_of_another(&self) -> Decisions {
        let state = ClusterState::of(self.objects.values()).expect("readable objects");
        let leader = Leader {
            now: self.now,
            term: self.term,
        };
        explain(&state, leader)
    }

    /// The epochs that were given so far.
    pub(crate) fn epochs(&self) -> BTreeMap<(String, String), u64> {
        self.objects
            .iter()
            .filter_map(|(key, object)| Some((key.clone(), object["status"]["epoch"].as_u64()?)))
            .collect()
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
            for gone in &decisions.delete {
                self.let_go_of_owned(gone.kind, &gone.name);
            }
        }
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(1))
            .expect("time goes on");
        self.miss();
        self.fence();
        self.obey();
        self.write_and_resync();
        self.leave();
        self.truth.check();
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

    /// An object, as it is stored.
    pub(crate) fn object(&self, kind: &str, name: &str) -> &Value {
        &self.objects[&(kind.to_owned(), name.to_owned())]
    }

    /// What a host is told about an object.
    pub(crate) fn record(&self, kind: &str, name: &str, host: &str) -> &Value {
        let about = |plan: &&Value| {
            let object = &plan["spec"]["assignment"]["object"];
            object["kind"] == kind && object["name"] == name && plan["spec"]["node"] == host
        };
        self.of("NodePlan").find(about).expect("a record")
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
        "type": type_, "status": "True", "reason": reason, "message": reason,
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
