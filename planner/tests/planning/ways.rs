//! The ways on which replicas reach each other.

use super::world::World;
use serde_json::Value;

fn cluster() -> World {
    let mut world = World::new();
    for (role, name, second) in [("BackChannel", "bcn", 20), ("Storage", "sn", 10)] {
        world.command(&format!(
            r#"put {{"kind":"Network","metadata":{{"name":"{name}"}},"spec":{{"role":"{role}","subnet":"10.{second}.0.0/16","nics":["{name}1"]}}}}"#
        ));
    }
    world.command("host an1 16Gi number=1");
    world.command("host an2 16Gi number=2");
    world.command("pool fast 100Gi an1 an2");
    world.command("volume data 1Gi");
    world.command("run 3s");
    world
}

fn ways_from(world: &World, host: &str) -> Value {
    let record = world.record("Volume", "data", host);
    record["spec"]["assignment"]["replica"]["peers"][0]["addresses"].clone()
}

#[test]
fn replicas_have_the_back_channel_as_a_second_way_where_the_cluster_allows_it() {
    let mut world = cluster();
    assert_eq!(ways_from(&world, "an1"), serde_json::json!(["10.10.0.2"]));
    world.command("cluster replication.allowFallback=true");
    world.command("run 2s");
    let both = |last| serde_json::json!([format!("10.10.0.{last}"), format!("10.20.0.{last}")]);
    assert_eq!(ways_from(&world, "an1"), both(2));
    assert_eq!(
        ways_from(&world, "an2"),
        both(1),
        "both sides name them in one order"
    );
}
