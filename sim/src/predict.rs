//! Whether the cluster does what `quorate plan` foretells: the forecast is worked out on the state of a simulated
//! cluster, then it really happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use quorate_crds::NodeState;
use quorate_planner::{
    Leader, Objects,
    forecast::{Forecast, Left, Pace, Supposition, forecast},
};
use quorate_store::{Bucket, View};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    check::Told,
    executor::Trace,
    run::LIVENESS,
    world::{Setup, Trouble, World},
};

/// The planner knows nothing of these.
const NO_PART: [&str; 4] = ["Event", "Secret", "Role", "RoleBinding"];
/// How long what happens is given until everything is at rest.
const REST: Duration = Duration::from_secs(150);

/// What is supposed, and then happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// The host loses power, and stays away.
    Fail(String),
    /// The host is drained.
    Drain(String),
}

/// What leads somewhere: of such reasons the order counts among all guests. When the things come to an end depends on how
/// long they take, which a forecast does not know exactly.
const DECIDED: [&str; 6] = [
    "Placed",
    "Recovered",
    "Migrating",
    "FailedBack",
    "Rebalanced",
    "Relocated",
];

/// Why a guest cannot be started at one moment depends on how far everything else is. Whether it can in the end does not.
const FOR_A_MOMENT: [&str; 2] = ["StartLimit", "NoHostFits"];

/// What becomes of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Where each guest runs in the end; those that do not are not in it.
    pub hosts: BTreeMap<String, String>,
    /// What is told about each guest on the way, in order.
    pub told: BTreeMap<String, Vec<String>>,
    /// What is decided about which guest, in order.
    pub decided: Vec<(String, String)>,
    /// The guests that are wanted and do not run in the end, and why.
    pub down: BTreeMap<String, String>,
    /// What the log calls each host in the end.
    pub states: BTreeMap<String, String>,
    /// The hosts whose replicas of a volume hold every write in the end.
    pub in_sync: BTreeMap<String, BTreeSet<String>>,
}

/// What was foretold, and what then happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// By the forecast.
    pub foretold: Course,
    /// By the cluster.
    pub done: Course,
}

/// Lets a cluster come up, asks for the forecast, and lets the scenario happen.
///
/// # Errors
/// When the cluster does not come up, or there is no forecast.
pub fn compare(setup: &Setup, scenario: &Scenario) -> Result<Comparison, String> {
    let mut world = World::new(setup, Trace::default());
    world.found()?;
    world.until_well(LIVENESS)?;
    // Freshly made replicas settle, and people wait until they do.
    world.run_for(Duration::from_secs(30));
    let before = world.course();
    let (objects, leader) = world.present().ok_or("nobody leads")?;
    let (supposition, trouble) = match scenario {
        Scenario::Fail(host) => {
            let trouble = Trouble::Mains {
                machine: host.clone(),
            };
            (Supposition::Fail(host.clone()), trouble)
        }
        Scenario::Drain(host) => {
            let trouble = Trouble::Drain { host: host.clone() };
            (Supposition::Drain(host.clone()), trouble)
        }
    };
    let foretold = forecast(objects, leader, &supposition, Pace::default())
        .map_err(|error| error.to_string())?;
    let from = world.now();
    world.happen(&trouble, true);
    world.run_for(REST);
    let broken = world.violations();
    if !broken.is_empty() {
        return Err(broken.join("; "));
    }
    let (objects, leader) = world.present().ok_or("nobody leads in the end")?;
    let end = forecast(objects, leader, &Supposition::Nothing, Pace::default())
        .map_err(|error| error.to_string())?;
    let all = world.told_since(from);
    Ok(Comparison {
        foretold: course(before, &foretold),
        done: Course {
            told: told(&all),
            decided: decided(&all),
            down: down(&end.down),
            ..world.course()
        },
    })
}

fn course(before: Course, foretold: &Forecast) -> Course {
    let mut course = before;
    for change in &foretold.changes {
        let (name, after) = (change.name.clone(), change.after.clone());
        match (change.kind.as_str(), change.field.as_str()) {
            ("VirtualMachine", "node") => {
                course.hosts.insert(name, after);
            }
            ("Node", "state") => {
                course.states.insert(name, after);
            }
            ("Volume", "inSync") => {
                let members = after.split(',').map(str::to_owned).collect();
                course.in_sync.insert(name, members);
            }
            _ => {}
        }
    }
    for left in &foretold.down {
        course.hosts.remove(&left.name);
    }
    let steps = foretold.steps.iter().map(|step| Told {
        kind: step.kind.clone(),
        name: step.name.clone(),
        reason: step.reason.clone(),
    });
    let steps: Vec<Told> = steps.collect();
    Course {
        told: told(&steps),
        decided: decided(&steps),
        down: down(&foretold.down),
        ..course
    }
}

fn down(left: &[Left]) -> BTreeMap<String, String> {
    let named = left
        .iter()
        .map(|left| (left.name.clone(), left.reason.clone()));
    named.collect()
}

fn decided(all: &[Told]) -> Vec<(String, String)> {
    let decisions = all
        .iter()
        .filter(|told| told.kind == "VirtualMachine" && DECIDED.contains(&told.reason.as_str()));
    decisions
        .map(|told| (told.name.clone(), told.reason.clone()))
        .collect()
}

/// What is told about guests.
fn told(all: &[Told]) -> BTreeMap<String, Vec<String>> {
    let mut guests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for told in all {
        if told.kind == "VirtualMachine" && !FOR_A_MOMENT.contains(&told.reason.as_str()) {
            let reasons = guests.entry(told.name.clone()).or_default();
            reasons.push(told.reason.clone());
        }
    }
    guests
}

impl World {
    /// How everything is now.
    fn course(&self) -> Course {
        let bench = self.judge.lock();
        let states = bench.committed.nodes.iter().filter_map(|(name, node)| {
            let state = node.status.as_ref()?.state?;
            Some((name.clone(), word(state)))
        });
        let in_sync = bench.committed.volumes.iter().filter_map(|(name, volume)| {
            let members = volume.status.as_ref()?.in_sync.iter();
            Some((name.clone(), members.map(ToString::to_string).collect()))
        });
        Course {
            states: states.collect(),
            in_sync: in_sync.collect(),
            hosts: self.guests_run_on(),
            ..Course::default()
        }
    }

    fn guests_run_on(&self) -> BTreeMap<String, String> {
        let truth = self.room.lock().truth();
        let copies = truth.guests.into_iter().flat_map(|(guest, copies)| {
            let executing = copies.into_iter().filter(|copy| copy.executes);
            executing.map(move |copy| (guest.clone(), copy.host))
        });
        copies.collect()
    }

    fn told_since(&self, from: Duration) -> Vec<Told> {
        let bench = self.judge.lock();
        let since = bench.told.iter().filter(|(at, _)| *at > from);
        since.map(|(_, told)| told.clone()).collect()
    }

    /// What the leader's forecast would rest on.
    fn present(&self) -> Option<(Objects, Leader)> {
        let names = self.setup.member_names();
        let engine = names
            .iter()
            .filter_map(|name| self.running.get(name))
            .find(|engine| engine.store().leadership().borrow().is_self)?;
        let leader = Leader {
            now: Timestamp::from_second(engine.sources().clock.now().as_second()).ok()?,
            term: engine.store().status().term,
        };
        Some((objects(&engine.store().view()), leader))
    }
}

fn word(state: NodeState) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn objects(view: &View) -> Objects {
    let mut objects = Objects::new();
    for kind in quorate_crds::kinds() {
        if NO_PART.contains(&kind.kind) {
            continue;
        }
        for (key, stored) in view.list(&Bucket::new(kind.plural), None, usize::MAX) {
            if let Ok(object) = serde_json::from_slice::<Value>(&stored.value) {
                objects.insert((kind.kind.to_owned(), key.name.to_string()), object);
            }
        }
    }
    objects
}
