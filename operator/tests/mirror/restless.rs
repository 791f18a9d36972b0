//! People on both sides do something all the time, while either side and the operator end and begin again. Nothing is lost, and
//! nothing is written more often than somebody has asked for it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::world::{World, network};

/// What happens in a row. Long enough for every order of two things to come up.
const ROUNDS: u32 = 40;

/// Numbers that are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_written_twice_whoever_ends_and_begins_again() {
    let mut world = World::start().await;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    // What Kubernetes asks for, and how often somebody has changed that.
    let mut wanted = BTreeMap::new();
    let mut wishes = 0;
    let mut replicas = 1;
    for round in 0..ROUNDS {
        let name = format!("n{}", dice.roll(6));
        match dice.roll(10) {
            0 => {
                world.kube.stop().await;
                if dice.roll(2) == 0 {
                    world.kube.compact();
                }
                world.kube.resume().await;
            }
            1 if round % 2 == 0 => {
                world.cluster.stop();
                world.cluster.resume().await;
            }
            2 => {
                replicas += 1;
                world.add_replica(&format!("replica-{replicas}"));
                world.end_replica().await;
            }
            3 if wanted.remove(&name).is_some() => {
                wishes += 1;
                world.kube.delete("networks", &name);
                world
                    .kube
                    .until("networks", &name, |object| object.is_none())
                    .await;
            }
            _ => {
                wishes += 1;
                let mtu = 2000 + round;
                world.apply("networks", network(&name, json!({"mtu": mtu})));
                wanted.insert(name, mtu);
            }
        }
    }
    world.admin = world.cluster.admin().await;
    for (name, mtu) in &wanted {
        let arrived = |object: Option<&serde_json::Value>| {
            object.is_some_and(|object| object["spec"]["mtu"] == *mtu)
        };
        world.admin.until("Network", name, arrived).await;
        world.kube.until_synced("networks", name, "Synced").await;
    }
    world.settle("last").await;
    for number in 0..6 {
        let name = format!("n{number}");
        let there = world.admin.get("Network", &name).await;
        assert_eq!(there.is_some(), wanted.contains_key(&name), "{name}");
    }

    let written = world.writes_to_cluster();
    assert!(
        written <= wishes + 1,
        "{written} writes for {wishes} changes and the last network"
    );
    // At rest, nothing.
    let before = world.kube.writes().len();
    world.settle("very-last").await;
    let about_it = world.writes_about("very-last").len();
    assert_eq!(world.kube.writes().len(), before + about_it);
}
