//! Capacity and over-provisioning (R9): what is not there is refused with the arithmetic.

use quorate_proto::api::v1::{Outcome, PatchRequest, PatchType};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{Client, TestCluster, details, object_ref, options};

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn guest(name: &str, spec: Value) -> Value {
    let mut guest = object("VirtualMachine", name, json!({"memory": "8Gi", "cpus": 2}));
    for (field, value) in spec.as_object().expect("fields") {
        guest["spec"][field] = value.clone();
    }
    guest
}

async fn apply(admin: &Client, object: Value) {
    admin.apply("ops", object).await.expect("applied");
}

/// What a host or a pool says of itself.
async fn tell(admin: &Client, kind: &str, name: &str, status: Value) {
    let mut object = object_ref(kind, name);
    object.subresource = "status".into();
    let request = PatchRequest {
        object: Some(object),
        r#type: PatchType::Merge.into(),
        patch: json!({"status": status}).to_string().into(),
        options: Some(options("tester")),
    };
    let mut objects = admin.objects.clone();
    objects.patch(request).await.expect("told");
}

async fn host(admin: &Client, name: &str) {
    let fencing = json!({"fencing": {"unprotected": true}});
    apply(admin, object("Node", name, fencing)).await;
    let there = json!({"memory": "32Gi", "cpus": 8});
    tell(admin, "node", name, json!({"allocatable": there})).await;
}

async fn refused(admin: &Client, object: Value) -> (String, String) {
    let refused: Status = admin.apply("ops", object).await.expect_err("no room");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let cause = details(&refused)["details"]["causes"][0].clone();
    let text = |field: &str| cause[field].as_str().expect("a text").to_owned();
    (text("field"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_would_not_survive_the_loss_of_a_host_is_refused_with_the_arithmetic() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    // As long as nobody knows what the hosts have, everything may fit.
    apply(
        &admin,
        object("Node", "an1", json!({"fencing": {"unprotected": true}})),
    )
    .await;
    apply(&admin, guest("early", json!({"memory": "12Gi"}))).await;
    host(&admin, "an1").await;
    host(&admin, "an2").await;

    apply(&admin, guest("web", json!({"memory": "12Gi"}))).await;
    let (field, text) = refused(&admin, guest("db", json!({"memory": "12Gi"}))).await;
    assert_eq!(field, "spec.memory");
    assert_eq!(
        text,
        "found 12 GiB, allowed: at most 8 GiB: if an1 is lost, an2 is left with 32 GiB, of which 24 GiB are promised to 2 \
         other protected guests; set withoutReserve to give the reserve up for this guest"
    );
    apply(
        &admin,
        guest("db", json!({"memory": "12Gi", "withoutReserve": true})),
    )
    .await;

    // What is promised stays promised: a change that asks for nothing more is taken.
    apply(
        &admin,
        guest("web", json!({"memory": "12Gi", "priority": 7})),
    )
    .await;
    // One that gave its own place in the reserve up takes none from the others.
    let (_, text) = refused(&admin, guest("web", json!({"memory": "24Gi"}))).await;
    assert!(
        text.contains("allowed: at most 20 GiB")
            && text.contains("12 GiB are promised to one other protected guest"),
        "{text}"
    );

    // A guest that is off takes nothing, and is asked when it is started.
    let off = json!({"memory": "30Gi", "protected": false, "desiredState": "Stopped"});
    apply(&admin, guest("lab", off)).await;
    let (_, text) = refused(
        &admin,
        guest("lab", json!({"memory": "30Gi", "protected": false})),
    )
    .await;
    assert!(
        text.contains("an1 32 GiB + an2 32 GiB together have 64 GiB, of which 36 GiB are promised to 3 other guests"),
        "{text}"
    );

    let single = object(
        "Cluster",
        "anvil",
        json!({"capacity": {"surviveNodeLosses": 0}}),
    );
    apply(&admin, single).await;
    apply(&admin, guest("mail", json!({"memory": "12Gi"}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_guests_that_fit_only_without_each_other_one_is_admitted() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    host(&admin, "an1").await;
    host(&admin, "an2").await;
    let writers: Vec<_> = (0..6)
        .map(|number| {
            let admin = admin.clone();
            let guest = guest(&format!("g{number}"), json!({"memory": "20Gi"}));
            tokio::spawn(async move { admin.apply("ops", guest).await.is_ok() })
        })
        .collect();
    let mut admitted = 0;
    for writer in writers {
        admitted += usize::from(writer.await.expect("ran"));
    }
    assert_eq!(admitted, 1);
}

async fn pool(admin: &Client, spec: Value) {
    let mut pool = object(
        "StoragePool",
        "fast",
        json!({"hosts": [{"node": "an1"}, {"node": "an2"}]}),
    );
    for (field, value) in spec.as_object().expect("fields") {
        pool["spec"][field] = value.clone();
    }
    apply(admin, pool).await;
    let part = |host: &str| json!({"node": host, "state": "Ready", "capacity": "100Gi"});
    let status = json!({"hosts": [part("an1"), part("an2")]});
    tell(admin, "storagepool", "fast", status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_promises_no_more_than_it_has_unless_volume_and_pool_say_so() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    host(&admin, "an1").await;
    host(&admin, "an2").await;
    pool(&admin, json!({"reserve": "10Gi"})).await;
    let volume = |name: &str, spec: Value| {
        let mut volume = object("Volume", name, json!({"pool": "fast"}));
        for (field, value) in spec.as_object().expect("fields") {
            volume["spec"][field] = value.clone();
        }
        volume
    };
    apply(&admin, volume("data", json!({"size": "60Gi"}))).await;
    let (field, text) = refused(&admin, volume("more", json!({"size": "40Gi"}))).await;
    assert_eq!(field, "spec.size");
    assert_eq!(
        text,
        "found 40 GiB, allowed: at most 30 GiB on each of 2 hosts of pool fast: an1 has 100 GiB, less 10 GiB in reserve, \
         less 60 GiB promised, leaves 30 GiB; an2 has 100 GiB, less 10 GiB in reserve, less 60 GiB promised, leaves 30 GiB"
    );
    let disk = json!({"disks": [{"name": "system", "size": "40Gi", "pool": "fast"}]});
    let (field, text) = refused(&admin, guest("web", disk)).await;
    assert_eq!(field, "spec.disks[0].size");
    assert!(text.contains("leaves 30 GiB"), "{text}");
    let (_, text) = refused(&admin, volume("data", json!({"size": "95Gi"}))).await;
    assert!(text.contains("allowed: at most 90 GiB"), "{text}");

    let promise = || volume("more", json!({"size": "40Gi", "overProvision": true}));
    let (field, text) = refused(&admin, promise()).await;
    assert_eq!(field, "spec.overProvision");
    assert!(text.contains("thin.allowOverProvisioning"), "{text}");
    let thin = json!({"allowOverProvisioning": true, "maxPercent": 150});
    pool(
        &admin,
        json!({"provisioning": "Thin", "thin": thin, "reserve": "10Gi"}),
    )
    .await;
    apply(&admin, promise()).await;
    let far = volume("far", json!({"size": "60Gi", "overProvision": true}));
    let (_, text) = refused(&admin, far).await;
    assert!(
        text.contains("100 GiB, 150 % of which may be promised: 150 GiB, less 10 GiB in reserve, less 100 GiB promised"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_goes_when_the_leader_has_seen_that_no_host_keeps_it_and_gives_back_what_it_claimed()
 {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    host(&admin, "an1").await;
    pool(&admin, json!({"hosts": [{"node": "an1"}]})).await;
    let named = |name: &str| {
        let spec = json!({"pool": "fast", "size": "1Gi", "replicas": 1, "logicalVolume": "old"});
        object("Volume", name, spec)
    };
    apply(&admin, named("data")).await;
    let kept = admin.get("volume", "data").await.expect("there");
    assert_eq!(kept["metadata"]["finalizers"], json!(["quorate.dev/data"]));
    admin.apply("ops", named("other")).await.expect_err("taken");

    let going = admin.delete("volume", "data").await.expect("marked");
    assert_eq!(going.outcome, Outcome::Deleting);
    while admin.get("volume", "data").await.is_ok() {
        tokio::task::yield_now().await;
    }
    apply(&admin, named("other")).await;
}
