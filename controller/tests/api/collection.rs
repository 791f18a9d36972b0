//! Owners and dependants. Kubernetes documentation, "Garbage Collection" and "Owners and Dependents".

use quorate_proto::api::v1::{DeleteRequest, Outcome, Propagation, WatchRequest, WatchType};
use serde_json::{Value, json};

use crate::support::{Client, TestCluster, network, object_ref};

async fn owned(admin: &Client, name: &str, owners: &[&Value], blocks: bool) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "blockOwnerDeletion": blocks,
            })
        })
        .collect();
    let mut object = network(name);
    object["metadata"]["ownerReferences"] = json!(references);
    admin.create(object).await.expect("created").object
}

async fn delete(admin: &Client, name: &str, propagation: Propagation) -> Outcome {
    admin
        .delete_with(DeleteRequest {
            object: Some(object_ref("network", name)),
            propagation: propagation.into(),
            ..DeleteRequest::default()
        })
        .await
        .expect("deleted")
        .outcome
}

/// Waits until each of the objects has gone, and returns the order in which they went.
async fn departures(admin: &Client, since: &Value, names: &[&str]) -> Vec<String> {
    let mut watch = admin
        .watch(WatchRequest {
            kind: "network".into(),
            resource_version: crate::support::version(since),
            ..WatchRequest::default()
        })
        .await
        .expect("a watch");
    let mut gone = Vec::new();
    while gone.len() < names.len() {
        let event = watch
            .message()
            .await
            .expect("the watch goes on")
            .expect("an event");
        if event.r#type() == WatchType::Deleted {
            let object: Value = serde_json::from_slice(&event.object).expect("JSON");
            gone.push(
                object["metadata"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned(),
            );
        }
    }
    gone
}

/// "Background cascading deletion": the owner goes at once, dependants afterwards, theirs too.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_background_the_owner_goes_first_and_its_dependants_follow() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let owner = admin
        .create(network("owner"))
        .await
        .expect("created")
        .object;
    let child = owned(&admin, "child", &[&owner], false).await;
    let last = owned(&admin, "grandchild", &[&child], false).await;

    assert_eq!(
        delete(&admin, "owner", Propagation::Background).await,
        Outcome::Deleted
    );
    let gone = departures(&admin, &last, &["owner", "child", "grandchild"]).await;
    assert_eq!(gone, ["owner", "child", "grandchild"]);
}

/// "Foreground cascading deletion": the owner stays, marked, until the dependants that block it are gone.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_foreground_the_dependants_go_first() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let owner = admin
        .create(network("owner"))
        .await
        .expect("created")
        .object;
    let child = owned(&admin, "child", &[&owner], true).await;
    let last = owned(&admin, "grandchild", &[&child], true).await;

    assert_eq!(
        delete(&admin, "owner", Propagation::Foreground).await,
        Outcome::Deleting
    );
    let gone = departures(&admin, &last, &["grandchild", "child", "owner"]).await;
    assert_eq!(gone, ["grandchild", "child", "owner"]);
}

/// "Orphaned dependents": the dependants stay and lose their reference.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_stay_and_forget_their_owner() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let owner = admin
        .create(network("owner"))
        .await
        .expect("created")
        .object;
    let child = owned(&admin, "child", &[&owner], true).await;

    assert_eq!(
        delete(&admin, "owner", Propagation::Orphan).await,
        Outcome::Deleting
    );
    assert_eq!(departures(&admin, &child, &["owner"]).await, ["owner"]);
    let orphan = admin.get("network", "child").await.expect("still there");
    assert_eq!(orphan["metadata"]["uid"], child["metadata"]["uid"]);
    let references = orphan["metadata"]["ownerReferences"].as_array();
    assert!(references.is_none_or(Vec::is_empty), "{orphan}");
}

/// "An object with several owners" goes with the last of them.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_two_owners_goes_with_the_second() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let first = admin
        .create(network("first"))
        .await
        .expect("created")
        .object;
    let second = admin
        .create(network("second"))
        .await
        .expect("created")
        .object;
    let child = owned(&admin, "child", &[&first, &second], false).await;

    delete(&admin, "first", Propagation::Background).await;
    delete(&admin, "second", Propagation::Background).await;
    let gone = departures(&admin, &child, &["first", "second", "child"]).await;
    assert_eq!(gone, ["first", "second", "child"]);
}

/// A dependant whose owner never existed is collected ("absent owner").
#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_an_owner_that_does_not_exist_is_collected() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut nobody = admin
        .create(network("owner"))
        .await
        .expect("created")
        .object;
    nobody["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    let child = owned(&admin, "child", &[&nobody], false).await;
    assert_eq!(departures(&admin, &child, &["child"]).await, ["child"]);
}
