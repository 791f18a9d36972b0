//! Whether the cluster does what `quorate plan` foretells: the forecast is worked out on the state of a simulated
//! cluster, then it really happens.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use quorate_planner::{
    Leader, Objects,
    forecast::{Forecast, Pace, Supposition, forecast},
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

/// What becomes of the guests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Where each guest runs in the end; those that do not are not in it.
    pub hosts: BTreeMap<String, String>,
    /// What is told about each guest on the way, in order.
    pub told: BTreeMap<String, Vec<String>>,
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
pub fn compare(seed: u64, scenario: &Scenario) -> Result<Comparison, String> {
    let setup = Setup {
        guests: 3,
        faults: 0,
        ..Setup::of(seed)
    };
    let mut world = World::new(&setup, Trace::default());
    world.found()?;
    world.until_well(LIVENESS)?;
    // Freshly made replicas settle, and people wait until they do.
    world.run_for(Duration::from_secs(30));
    let before = world.guests_run_on();
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
    Ok(Comparison {
        foretold: course(&before, &foretold),
        done: Course {
            hosts: world.guests_run_on(),
            told: told(world.told_since(from)),
        },
    })
}

fn course(before: &BTreeMap<String, String>, foretold: &Forecast) -> Course {
    let mut hosts = before.clone();
    for change in &foretold.changes {
        if change.kind == "VirtualMachine" && change.field == "node" {
            hosts.insert(change.name.clone(), change.after.clone());
        }
    }
    for left in &foretold.down {
        if left.kind == "VirtualMachine" {
            hosts.remove(&left.name);
        }
    }
    let steps = foretold.steps.iter().map(|step| Told {
        kind: step.kind.clone(),
        name: step.name.clone(),
        reason: step.reason.clone(),
    });
    Course {
        hosts,
        told: told(steps.collect()),
    }
}

/// What is told about guests.
fn told(all: Vec<Told>) -> BTreeMap<String, Vec<String>> {
    let mut guests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for told in all {
        if told.kind == "VirtualMachine" {
            guests.entry(told.name).or_default().push(told.reason);
        }
    }
    guests
}

impl World {
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
