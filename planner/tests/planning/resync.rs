//! Replicas that catch up: what is told of it, and how fast they may.

use super::world::World;
use serde_json::Value;

/// Two hosts, whose volumes lie on both.
fn pair(volumes: &[&str]) -> World {
    let mut world = World::new();
    world.command("host an1 16Gi");
    world.command("host an2 16Gi");
    world.command("pool fast 100Gi an1 an2");
    world.command("domain first an1=1 an2=2");
    for volume in volumes {
        world.command(&format!("volume {volume} 1Gi"));
        world.command(&format!(
            "guest of-{volume} 1Gi volume={volume} domain=first"
        ));
    }
    world.command("run 8s");
    world
}

/// The second host was away, and is back.
fn catches_up(world: &mut World) {
    world.command("silent an2");
    world.command("run 10s");
    world.command("rejoin an2");
}

/// What each host is told of a resync: the rate, and whether all that it has share it.
fn rates(world: &World, volume: &str) -> Vec<(String, bool)> {
    let told = |host| {
        let record = world.record("Volume", volume, host);
        let replica = &record["spec"]["assignment"]["replica"];
        let rate = replica["resyncRate"].as_str().expect("a rate");
        (rate.to_owned(), replica["resyncRateShared"] == true)
    };
    ["an1", "an2"].map(told).to_vec()
}

/// What the volume says of itself, without the moments of its conditions.
fn status(world: &World) -> Value {
    let mut status = world.object("Volume", "data")["status"].clone();
    status["conditions"] = Value::Null;
    status
}

#[test]
fn of_a_resync_is_told_how_far_it_is_at_least_and_the_store_is_written_a_few_times_in_all() {
    let mut world = pair(&["data"]);
    world.command("resync takes 200");
    catches_up(&mut world);
    let (mut told, mut written) = (Vec::new(), 0);
    let mut before = status(&world);
    for _ in 0..230 {
        world.command("run 1s");
        let now = status(&world);
        written += u32::from(now != before);
        before = now;
        let summary = before["syncSummary"].as_str().map(str::to_owned);
        if told.last() != Some(&summary) {
            told.push(summary);
        }
        let done = world.done("data", "an2");
        let least = before["syncSummary"].as_str().and_then(|text| {
            let percent = text.strip_prefix('>')?.strip_suffix('%')?;
            percent.parse::<u32>().ok()
        });
        if let (Some(least), Some(done)) = (least, done) {
            assert!(least <= done, "{least}% is more than there is: {done}%");
        }
    }
    let told: Vec<&str> = told
        .iter()
        .map(|said| said.as_deref().unwrap_or("-"))
        .collect();
    assert_eq!(told, ["-", "begun", ">20%", ">40%", ">60%", ">80%", "-"]);
    assert!(written <= 10, "written {written} times");
    assert_eq!(before["state"], "Ready");
}

#[test]
fn a_resync_whose_host_is_lost_is_no_longer_told_of() {
    let mut world = pair(&["data"]);
    world.command("resync takes 200");
    catches_up(&mut world);
    world.command("run 100s");
    assert_eq!(status(&world)["syncSummary"], ">40%");
    world.command("lose an2");
    world.command("run 3s");
    let status = status(&world);
    assert_eq!(status.get("syncSummary"), None, "{status:#}");
    assert_eq!(status["replicas"][1].get("sync"), None, "{status:#}");
}

#[test]
fn hosts_are_told_the_volume_s_own_rate_or_that_which_all_others_share() {
    let mut world = pair(&["own", "other"]);
    let both = |rate: &str, shared| vec![(rate.to_owned(), shared); 2];
    assert_eq!(rates(&world, "other"), both("100Mi", true));
    world.command("set Volume own /spec/resync {\"rate\":\"5Mi\"}");
    world.command("cluster replication.resyncRate=64Mi");
    world.command("run 2s");
    assert_eq!(rates(&world, "own"), both("5Mi", false));
    assert_eq!(rates(&world, "other"), both("64Mi", true));
}

/// Whoever reads a record as one that its host has not answered yet, waits: nothing may start on it meanwhile.
#[test]
fn that_many_volumes_catch_up_changes_nothing_of_what_hosts_are_told() {
    let mut world = pair(&["a", "b", "c"]);
    world.command("resync takes 20");
    catches_up(&mut world);
    world.command("run 5s");
    let told = |world: &World| {
        let of = |volume| world.record("Volume", volume, "an2")["spec"]["planGeneration"].clone();
        ["a", "b", "c"].map(of)
    };
    let before = told(&world);
    world.command("run 30s");
    assert_eq!(told(&world), before);
    assert_eq!(world.object("Volume", "a")["status"]["state"], "Ready");
}

#[test]
fn what_each_side_of_a_split_wrote_last_is_told() {
    let mut world = pair(&["data"]);
    world.command("split data");
    world.command("run 3s");
    let sides = status(&world)["splitBrain"]["sides"].clone();
    assert_eq!(sides[0]["node"], "an1");
    assert_eq!(sides[0]["lastWrite"], "2026-03-01T12:05:00Z");
    assert_eq!(
        sides[1].get("lastWrite"),
        None,
        "it has not been seen to write"
    );
    assert_eq!(sides[1]["watchedSince"], "2026-03-01T12:00:00Z");

    // A host that says nothing more takes nothing back.
    world.command("mute an1");
    world.command("run 3s");
    assert_eq!(status(&world)["splitBrain"]["sides"], sides);
}
