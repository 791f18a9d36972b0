//! What people do on either side, and what becomes of it.

use serde_json::{Value, json};

use crate::world::{DAY, NAMESPACE, World, network};

fn is_gone(object: Option<&Value>) -> bool {
    object.is_none()
}

fn says(path: &'static str, value: Value) -> impl Fn(Option<&Value>) -> bool {
    move |object| object.and_then(|object| object.pointer(path)) == Some(&value)
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == type_)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_kubernetes_lives_in_the_cluster_and_its_state_is_seen_in_kubernetes() {
    let world = World::start().await;
    let mut lan = network("lan", json!({}));
    lan["metadata"]["labels"] = json!({"tier": "front"});
    world.apply("networks", lan);

    // It arrives, with one write, and is marked on both sides.
    world.kube.until_synced("networks", "lan", "Synced").await;
    let there = world
        .admin
        .get("Network", "lan")
        .await
        .expect("it has arrived");
    assert_eq!(there["metadata"]["labels"], json!({"tier": "front"}));
    assert_eq!(world.writes_to_cluster(), 1);
    let here = world.kube.get("networks", "lan").expect("it is here");
    let uid = there["metadata"]["uid"].as_str().expect("a uid");
    assert_eq!(
        here["metadata"]["annotations"]["operator.quorate.dev/mirrored"],
        format!("east/lan/{uid}")
    );

    // What the cluster reports is seen here.
    let ready = json!({"status": {"conditions": [{
        "type": "Tested", "status": "True", "reason": "Looked", "message": "somebody looked at it",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    world.admin.merge("Network", "lan", "status", &ready).await;
    let tested = |object: Option<&Value>| object.and_then(|it| condition(it, "Tested")).is_some();
    world.kube.until("networks", "lan", tested).await;

    // What is changed here arrives there.
    world
        .kube
        .patch("networks", "lan", &json!({"spec": {"mtu": 9000}}));
    world
        .admin
        .until("Network", "lan", says("/spec/mtu", json!(9000)))
        .await;

    // At rest nothing is written.
    world.settle("second").await;
    let before = (world.writes_about("lan"), world.writes_to_cluster());
    world.settle("third").await;
    let after = (world.writes_about("lan"), world.writes_to_cluster() - 1);
    assert_eq!(before, after);

    // Deleted here, it is gone there, and only then here.
    world.kube.delete("networks", "lan");
    world.kube.until("networks", "lan", is_gone).await;
    assert_eq!(world.admin.get("Network", "lan").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_works_in_the_cluster_itself_is_not_fought() {
    let world = World::start().await;
    world.apply("networks", network("lan", json!({"mtu": 2000})));
    world.kube.until_synced("networks", "lan", "Synced").await;
    let writes = world.writes_to_cluster();

    // Alice sets what Kubernetes asks for otherwise: she keeps it, and Kubernetes says so.
    world
        .admin
        .merge("Network", "lan", "", &json!({"spec": {"mtu": 9000}}))
        .await;
    let message = world.kube.until_synced("networks", "lan", "Conflict").await;
    assert!(message.contains(r#".spec.mtu (by "alice")"#), "{message}");
    world.settle("other").await;
    assert_eq!(
        world.writes_to_cluster(),
        writes + 1,
        "nothing but the other network"
    );
    let there = world.admin.get("Network", "lan").await.expect("there");
    assert_eq!(there["spec"]["mtu"], 9000);

    // Agreeing ends it.
    world
        .kube
        .patch("networks", "lan", &json!({"spec": {"mtu": 9000}}));
    world.kube.until_synced("networks", "lan", "Synced").await;

    // What she deletes stays deleted until Kubernetes is told to begin anew.
    world.admin.delete("Network", "lan").await.expect("deleted");
    let message = world
        .kube
        .until_synced("networks", "lan", "DeletedInCluster")
        .await;
    assert!(
        message.contains("operator.quorate.dev/mirrored"),
        "{message}"
    );
    assert_eq!(world.admin.get("Network", "lan").await, None);
    let again = json!({"metadata": {"annotations": {"operator.quorate.dev/mirrored": null}}});
    world.kube.patch("networks", "lan", &again);
    world.kube.until_synced("networks", "lan", "Synced").await;
    assert!(world.admin.get("Network", "lan").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_refuses_is_said_in_its_words_and_ends_by_itself_when_it_may_be() {
    let world = World::start().await;
    world.apply(
        "networks",
        network("vlan", json!({"parent": "trunk", "vlan": 7})),
    );
    let message = world.kube.until_synced("networks", "vlan", "Invalid").await;
    assert!(message.contains("trunk"), "{message}");

    world.apply("networks", network("trunk", json!({})));
    world.kube.until_synced("networks", "vlan", "Synced").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_end_and_begin_again_and_so_may_the_operator() {
    let mut world = World::start().await;
    world.apply("networks", network("lan", json!({"mtu": 1500})));
    world.kube.until_synced("networks", "lan", "Synced").await;

    // Without the cluster, Kubernetes takes what people ask for, and says that it has not arrived.
    world.cluster.stop();
    world
        .kube
        .patch("networks", "lan", &json!({"spec": {"mtu": 2000}}));
    world.apply("networks", network("new", json!({})));
    world
        .kube
        .until_synced("networks", "lan", "ClusterUnreachable")
        .await;
    world.cluster.resume().await;
    world.admin = world.cluster.admin().await;
    world
        .admin
        .until("Network", "lan", says("/spec/mtu", json!(2000)))
        .await;
    world.kube.until_synced("networks", "new", "Synced").await;
    world.kube.until_synced("networks", "lan", "Synced").await;

    // Without Kubernetes, the cluster goes on. What happened meanwhile is not in the history any more.
    world.kube.stop().await;
    world
        .kube
        .patch("networks", "lan", &json!({"spec": {"mtu": 3000}}));
    world.kube.compact();
    world.kube.resume().await;
    world
        .admin
        .until("Network", "lan", says("/spec/mtu", json!(3000)))
        .await;

    // Another replica takes over at once when one ends.
    let writes = 4;
    world.until_written(writes).await;
    world.add_replica("second");
    world.end_replica().await;
    world
        .kube
        .patch("networks", "lan", &json!({"spec": {"mtu": 4000}}));
    world
        .admin
        .until("Network", "lan", says("/spec/mtu", json!(4000)))
        .await;
    world.settle("last").await;
    world.until_written(writes + 2).await;
    assert_eq!(
        world.writes_to_cluster(),
        writes + 2,
        "the change and the last network"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_kubernetes_serves_several_clusters_which_may_have_objects_of_one_name() {
    let world = World::of_two_clusters().await;
    let west = world.west.as_ref().expect("a second cluster").admin().await;

    world.apply("networks", network("nowhere", json!({})));
    let message = world
        .kube
        .until_synced("networks", "nowhere", "UnknownCluster")
        .await;
    assert!(message.contains("east, west"), "{message}");

    let mut lan = network("lan", json!({"mtu": 2000}));
    lan["metadata"]["labels"] = json!({"operator.quorate.dev/cluster": "east"});
    world.apply("networks", lan);
    let mut other = network("west-lan", json!({"mtu": 3000}));
    other["metadata"]["labels"] = json!({"operator.quorate.dev/cluster": "west"});
    other["metadata"]["annotations"] = json!({"operator.quorate.dev/name": "lan"});
    world.apply("networks", other.clone());
    for name in ["lan", "west-lan"] {
        world.kube.until_synced("networks", name, "Synced").await;
    }
    let mtu = |object: Option<Value>| object.expect("there")["spec"]["mtu"].clone();
    assert_eq!(mtu(world.admin.get("Network", "lan").await), 2000);
    assert_eq!(mtu(west.get("Network", "lan").await), 3000);

    // One that comes later and stands for the same object has no say.
    other["metadata"]["name"] = "late".into();
    other["spec"]["mtu"] = 4000.into();
    world.apply("networks", other);
    let message = world
        .kube
        .until_synced("networks", "late", "Duplicate")
        .await;
    assert!(message.contains("west-lan"), "{message}");
    assert_eq!(mtu(west.get("Network", "lan").await), 3000);

    // An object does not move.
    let label = json!({"metadata": {"labels": {"operator.quorate.dev/cluster": "west"}}});
    world.kube.patch("networks", "lan", &label);
    world.kube.until_synced("networks", "lan", "Moved").await;
    assert_eq!(mtu(world.admin.get("Network", "lan").await), 2000);

    // What is deleted here is deleted where it is.
    world.kube.delete("networks", "west-lan");
    world.kube.until("networks", "west-lan", is_gone).await;
    world.kube.until_synced("networks", "late", "Synced").await;
    assert_eq!(mtu(west.get("Network", "lan").await), 4000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_uses_exactly_the_rights_that_its_manifests_grant() {
    // A certificate that is due is renewed, and what is new is kept in the Secret.
    let world = World::with_certificate_for(30 * DAY).await;
    let renewed = |secret: &Value| {
        secret["metadata"]["name"] == "quorate-east" && secret["metadata"]["resourceVersion"] != "1"
    };

    // A guest needs a password that Kubernetes keeps, and is carried over only where its label allows it.
    let guest = json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachine", "metadata": {"name": "web"},
        "spec": {"memory": "1Gi", "display": {"password": {"secret": "screen", "key": "password"}}},
    });
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "screen"},
        "stringData": {"password": "not for everybody"},
    });
    world.kube.apply("", "secrets", NAMESPACE, secret.clone());
    world.apply("virtualmachines", guest);
    let message = world
        .kube
        .until_synced("virtualmachines", "web", "SecretNotAllowed")
        .await;
    assert!(
        message.contains("operator.quorate.dev/mirror=true"),
        "{message}"
    );
    secret["metadata"]["labels"] = json!({"operator.quorate.dev/mirror": "true"});
    world.kube.apply("", "secrets", NAMESPACE, secret);
    world
        .kube
        .until_synced("virtualmachines", "web", "Synced")
        .await;
    let carried = world
        .admin
        .get("Secret", "screen")
        .await
        .expect("carried over");
    assert_eq!(
        carried["spec"]["data"]["password"],
        "bm90IGZvciBldmVyeWJvZHk="
    );

    // What the cluster tells about it is told here.
    world.admin.apply(&event("web")).await;
    let told =
        |event: &Value| event["involvedObject"]["name"] == "web" && event["reason"] == "Tried";
    while world.kube.find("events", told).is_none() || world.kube.find("secrets", renewed).is_none()
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let told = world.kube.find("events", told).expect("it was told");
    let here = world.kube.get("virtualmachines", "web").expect("here");
    assert_eq!(told["involvedObject"]["uid"], here["metadata"]["uid"]);

    world.kube.delete("virtualmachines", "web");
    world.kube.until("virtualmachines", "web", is_gone).await;
    let rights = world.kube.rights();
    assert_eq!(rights.refused, []);
    assert_eq!(rights.unused_verbs(), [""; 0]);
    assert_eq!(rights.unused_resources(), [""; 0]);
}

fn event(guest: &str) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "Event", "metadata": {"name": "web-tried"},
        "spec": {
            "regarding": {"kind": "VirtualMachine", "name": guest},
            "reason": "Tried", "note": "somebody tried something", "type": "Normal",
            "firstTimestamp": now, "lastTimestamp": now, "reportingController": "test",
        },
    })
}
