//! R2 to R4 over random answers of devices, elections and losses; and that each planted mistake is found by them.

use std::{cell::Cell, time::Duration};

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use quorate_controller::fencing::mistake::{Mistake, plant};
use quorate_crds::FencePhase;
use serde_json::json;

use crate::world::{Mood, World};

/// In how many random stories a planted mistake must be found.
const ENOUGH: u32 = 400;
const MEMBERS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What befalls a cluster.
#[derive(Clone, Debug)]
enum Event {
    Nothing,
    /// This member leads.
    Elect(usize),
    /// The lost host was granted a lease after all, by whoever led before.
    Granted,
    /// This device has said off of a host that was heard.
    Contradicted(usize),
}

#[derive(Clone, Debug)]
struct Story {
    /// The order of the levels, and which of them there are.
    levels: Vec<usize>,
    /// What each device answers, in turn.
    moods: Vec<Vec<Mood>>,
    /// How long each device's outlets take to go off.
    lags: Vec<u64>,
    /// The member on the machine that is lost.
    on_victim: usize,
    events: Vec<(u64, Event)>,
}

const DEVICES: [&str; 3] = ["bmc", "pdu1", "pdu2"];
const LEVELS: [(&str, &[&str]); 3] = [
    ("ipmi", &["bmc"]),
    ("power", &["pdu1/1", "pdu2/1"]),
    ("self", &["self"]),
];

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Works),
        2 => Just(Mood::Silent),
        2 => Just(Mood::Refuses("busy")),
        2 => Just(Mood::Stuck),
        1 => Just(Mood::LosesAnswers),
        1 => Just(Mood::RefusesTwice),
        1 => Just(Mood::MemberAway("alpha")),
        1 => Just(Mood::MemberAway("beta")),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Nothing),
        2 => (0..3_usize).prop_map(Event::Elect),
        1 => Just(Event::Granted),
        1 => (0..3_usize).prop_map(Event::Contradicted),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    (
        Just(vec![0_usize, 1, 2]).prop_shuffle(),
        1..=3_usize,
        prop::collection::vec(prop::collection::vec(mood(), 0..12), 3),
        prop::collection::vec(prop_oneof![3 => Just(0), 1 => 0..6000_u64], 3),
        0..3_usize,
        prop::collection::vec((1..20_000_u64, event()), 1..12),
    )
        .prop_map(|(mut levels, count, moods, lags, on_victim, events)| {
            levels.truncate(count);
            Story {
                levels,
                moods,
                lags,
                on_victim,
                events,
            }
        })
}

fn set_up(story: &Story) -> World {
    let mut world = World::new();
    for (number, device) in DEVICES.into_iter().enumerate() {
        // Only the fence asks, so that the moods are for it alone.
        world.device_with(device, json!({"pollInterval": "24h", "powerWait": "2s"}));
        world.pass(Duration::from_secs(1));
        let mut moods = story.moods[number].clone();
        moods.push(Mood::Works);
        world.mood(device, Mood::InTurn(moods));
        world.devices.get_mut(device).expect("there").lag =
            Duration::from_millis(story.lags[number]);
    }
    world.put(
        "fencedevices",
        "self",
        json!({"spec": {"type": "Watchdog"}}),
    );
    let levels: Vec<_> = story.levels.iter().map(|level| LEVELS[*level]).collect();
    world.host("node1", &levels);
    let found = json!({"armed": true, "leaseBound": true, "hardware": true, "timeout": "30s"});
    world.change("nodes", "node1", "/status/watchdog", found);
    let machines: Vec<_> = MEMBERS
        .iter()
        .enumerate()
        .map(|(number, name)| {
            if number == story.on_victim {
                json!({"name": name, "node": "node1"})
            } else {
                json!({"name": name})
            }
        })
        .collect();
    world.change("clusters", "cluster", "/spec/members", json!(machines));
    world.granted_now("node1");
    world.asked.clear();
    world
}

fn tell(story: &Story) -> Result<(), TestCaseError> {
    let mut world = set_up(story);
    let operation = world.fence("node1");
    let wrong = |world: &World| match world.violations.first() {
        Some(violation) => Err(TestCaseError::fail(violation.clone())),
        None => Ok(()),
    };
    for (wait, event) in &story.events {
        match event {
            Event::Nothing => {}
            Event::Elect(member) => world.elect(MEMBERS[*member]),
            Event::Granted if world.phase(&operation) != Some(FencePhase::Succeeded) => {
                world.granted_now("node1");
            }
            Event::Contradicted(device) => {
                world.contradicted_lately = true;
                world.change(
                    "fencedevices",
                    DEVICES[*device],
                    "/status/state",
                    json!("Contradicted"),
                );
            }
            Event::Granted => {}
        }
        world.pass(Duration::from_millis(*wait));
        wrong(&world)?;
    }
    // Everything is repaired: what was contradicted has been looked at.
    for device in DEVICES {
        world.mood(device, Mood::Works);
        world.change("fencedevices", device, "/status/state", json!("Ready"));
    }
    for _ in 0..120 {
        world.pass(Duration::from_secs(5));
        wrong(&world)?;
        if world.phase(&operation) == Some(FencePhase::Succeeded) {
            return Ok(());
        }
    }
    Err(TestCaseError::fail(
        "every device works again, and the host is not made safe in ten minutes",
    ))
}

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn whatever_devices_answer_nothing_counts_as_off_that_may_run_and_it_never_ends() {
    plant(None);
    let mut runner = TestRunner::new(Config {
        cases: 256,
        failure_persistence: None,
        ..Config::default()
    });
    if let Err(error) = runner.run(&story(), |story| tell(&story)) {
        panic!("{error}");
    }
}

#[test]
fn every_planted_mistake_is_found() {
    for mistake in Mistake::ALL {
        plant(Some(mistake));
        let told = Cell::new(0_u32);
        let found = runner(ENOUGH).run(&story(), |story| {
            told.set(told.get() + 1);
            tell(&story)
        });
        plant(None);
        let Err(TestError::Fail(why, _)) = found else {
            panic!("{mistake:?} is not found in {ENOUGH} stories");
        };
        println!("{mistake:?} is found by story {}: {why}", told.get());
    }
}
