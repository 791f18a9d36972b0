//! Deletion. Kubernetes documentation, "Finalizers" and "API concepts: resource deletion".

use quorate_proto::api::v1::{DeleteRequest, Outcome};
use serde_json::json;
use tonic::Code;

use crate::support::{TestCluster, details, network, object_ref, version};

/// Without finalizers an object goes at once, and a second deletion does not find it.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_finalizers_goes_at_once() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin.create(network("lan")).await.expect("created");
    let gone = admin.delete("network", "lan").await.expect("deleted");
    assert_eq!(gone.outcome, Outcome::Deleted);
    assert_eq!(
        admin.get("network", "lan").await.expect_err("gone").code(),
        Code::NotFound
    );
    assert_eq!(
        admin
            .delete("network", "lan")
            .await
            .expect_err("gone")
            .code(),
        Code::NotFound
    );
}

/// "Finalizers": deletion sets deletionTimestamp and waits; no new finalizer can be added; the object goes with
/// the last one.
#[tokio::test(flavor = "multi_thread")]
async fn finalizers_hold_an_object_until_the_last_is_removed() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut held = network("lan");
    held["metadata"]["finalizers"] = json!(["example.org/a", "example.org/b"]);
    admin.create(held).await.expect("created");

    let marked = admin.delete("network", "lan").await.expect("marked");
    assert_eq!(marked.outcome, Outcome::Deleting);
    assert!(marked.object["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked.object["metadata"]["generation"], 2);
    let again = admin
        .delete("network", "lan")
        .await
        .expect("marked already");
    assert_eq!(version(&again.object), version(&marked.object));

    let more =
        json!({"metadata": {"finalizers": ["example.org/a", "example.org/b", "example.org/c"]}});
    let refused = admin
        .merge("network", "lan", more)
        .await
        .expect_err("too late");
    assert_eq!(
        details(&refused)["details"]["causes"][0]["field"],
        "metadata.finalizers"
    );

    let one = json!({"metadata": {"finalizers": ["example.org/a"]}});
    let still = admin.merge("network", "lan", one).await.expect("one left");
    assert_eq!(still.outcome, Outcome::Configured);
    let none = json!({"metadata": {"finalizers": null}});
    let gone = admin
        .merge("network", "lan", none)
        .await
        .expect("none left");
    assert_eq!(gone.outcome, Outcome::Deleted);
    assert_eq!(
        admin.get("network", "lan").await.expect_err("gone").code(),
        Code::NotFound
    );
}

/// "Preconditions": uid and resourceVersion must be as given.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_can_insist_on_uid_and_version() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let object = admin.create(network("lan")).await.expect("created").object;
    let request = |uid: &str, version: &str| DeleteRequest {
        object: Some(object_ref("network", "lan")),
        uid: uid.into(),
        resource_version: version.into(),
        ..DeleteRequest::default()
    };

    let other = admin
        .delete_with(request("00000000-0000-4000-8000-000000000000", ""))
        .await;
    assert_eq!(other.expect_err("another uid").code(), Code::Aborted);
    let older = admin.delete_with(request("", "1")).await;
    assert_eq!(older.expect_err("another version").code(), Code::Aborted);
    let uid = object["metadata"]["uid"].as_str().expect("a uid");
    admin
        .delete_with(request(uid, &version(&object)))
        .await
        .expect("deleted");
}
