//! Networks are changed and taken away on one host after the other, whatever happens meanwhile.

use super::dice::Dice;
use super::world::World;

const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];

fn cluster() -> World {
    let mut world = World::new();
    for (number, host) in HOSTS.iter().enumerate() {
        world.command(&format!("host {host} 16Gi number={}", number + 1));
    }
    for network in ["bcn", "sn", "mn"] {
        put(&mut world, network);
    }
    world.command("run 3s");
    world
}

fn put(world: &mut World, name: &str) {
    let (role, second) = match name {
        "bcn" => ("BackChannel", 20),
        "sn" => ("Storage", 10),
        _ => ("Migration", 30),
    };
    world.command(&format!(
        r#"put {{"kind":"Network","metadata":{{"name":"{name}"}},"spec":{{"role":"{role}","subnet":"10.{second}.0.0/16","nics":["{name}1"]}}}}"#
    ));
}

/// How all networks are, for whoever looks for what went wrong.
fn told(world: &mut World) -> String {
    world.transcript.clear();
    for network in ["bcn", "sn", "mn"] {
        world.command(&format!("layouts {network}"));
    }
    for host in HOSTS {
        world.command(&format!("conditions Node {host}"));
    }
    for network in ["bcn", "sn"] {
        world.command(&format!("conditions Network {network}"));
    }
    world.transcript.join("\n")
}

#[test]
fn never_two_hosts_are_at_work_and_in_the_end_all_have_changed() {
    let mut at_work = 0;
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let mut world = cluster();
        for _ in 0..40 {
            match dice.below(10) {
                0 => world.command("forget Network mn"),
                1 => put(&mut world, "mn"),
                _ => {}
            }
            let (network, host) = (dice.one_of(&["bcn", "sn"]), dice.one_of(&HOSTS));
            let command = match dice.below(12) {
                0..4 => format!(
                    "set Network {network} /spec/mtu {}",
                    1_400 + dice.below(4) * 50
                ),
                4 => format!(
                    "set Network {network} /spec/pingTargets [\"10.0.0.{}\"]",
                    dice.below(9)
                ),
                5 => format!("slow {host}"),
                6 => format!("quick {host}"),
                7 => format!("takes-back {network} {host}"),
                8 => format!("keeps {network} {host}"),
                9 => format!("silent {host}"),
                10 => format!("heard {host}"),
                _ => "new-leader".to_owned(),
            };
            world.command(&command);
            for _ in 0..dice.below(5) {
                world.command("run 1s");
                let hosts = world.networks_at_work();
                at_work += hosts.len();
                assert!(hosts.len() <= 1, "seed {seed}: {hosts:?} after {command}");
            }
        }
        // Whoever is being fenced comes back when that is over.
        for lines in [
            &["quick", "heard"][..],
            &["rejoin", "keeps bcn", "keeps sn"],
        ] {
            for host in HOSTS {
                for line in lines {
                    world.command(&format!("{line} {host}"));
                }
            }
            world.command("run 5s");
        }
        world.command("forget Network mn");
        // What was taken back is only tried again when a person has changed it.
        world.command("set Network bcn /spec/mtu 9000");
        world.command("set Network sn /spec/mtu 9000");
        for _ in 0..60 {
            world.command("run 1s");
            assert!(world.networks_at_work().len() <= 1, "seed {seed}");
        }
        let left = world.networks_at_work();
        assert!(left.is_empty(), "seed {seed}: {left:?} wait for ever");
        let told = told(&mut world);
        for (network, layouts) in [("mn", 0), ("bcn", 1), ("sn", 1)] {
            let left = world.layouts_of(network);
            assert_eq!(left, layouts, "seed {seed}: {network}: {told}");
        }
    }
    assert!(at_work > 100, "hardly anything was changed: {at_work}");
}

#[test]
fn a_host_is_told_who_has_the_change_already_and_that_is_not_told_anew() {
    let mut world = cluster();
    let before = |world: &World, host: &str| {
        let record = world.record("Network", "sn", host);
        let before = &record["spec"]["assignment"]["network"]["changedBefore"];
        before.as_array().cloned().unwrap_or_default()
    };
    for host in HOSTS {
        assert!(before(&world, host).is_empty(), "all were made at once");
    }
    world.command("set Network sn /metadata/generation 2");
    world.command("set Network sn /spec/mtu 9000");
    world.command("run 20s");
    for (at, host) in HOSTS.iter().enumerate() {
        assert_eq!(before(&world, host), HOSTS[..at], "{host}");
    }
    world.command("set Network sn /metadata/generation 3");
    world.command("set Network sn /spec/pingTargets [\"10.0.0.1\"]");
    world.command("run 20s");
    for host in HOSTS {
        assert!(before(&world, host).is_empty(), "all took it at once");
    }
}
