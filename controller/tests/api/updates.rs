//! Create, update, patch and the status subresource. Kubernetes documentation, "API Conventions" and "API concepts".

use quorate_proto::api::v1::{Outcome, PatchType};
use quorate_store::Bucket;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{TestCluster, network, secret, version};

/// Create: "409 AlreadyExists"; a resourceVersion "must not be set on objects to be created"; server fields
/// are the server's.
#[tokio::test(flavor = "multi_thread")]
async fn create_makes_an_object_once_and_gives_it_its_identity() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut wanted = network("lan");
    wanted["metadata"]["uid"] = json!("mine");
    wanted["metadata"]["generation"] = json!(7);
    wanted["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");

    let made = admin.create(wanted).await.expect("created").object;
    assert_eq!(made["metadata"]["uid"].as_str().map(str::len), Some(36));
    assert_eq!(made["metadata"]["generation"], 1);
    assert!(made["metadata"].get("deletionTimestamp").is_none());
    assert!(made["metadata"]["creationTimestamp"].is_string());

    let twice = admin
        .create(network("lan"))
        .await
        .expect_err("there is one");
    assert_eq!(twice.code(), Code::AlreadyExists);
    let mut versioned = network("wan");
    versioned["metadata"]["resourceVersion"] = json!("1");
    let refused = admin.create(versioned).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

/// ObjectMeta.generateName: the server completes the name.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_name_begins_as_asked() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut wanted = network("");
    wanted["metadata"] = json!({"generateName": "lan-"});
    let made = admin.create(wanted).await.expect("created").object;
    let name = made["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("lan-") && name.len() == 9, "{name}");
}

/// "Concurrency Control and Consistency": an update with an older resourceVersion fails with 409.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_on_top_of_an_older_version_is_a_conflict() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let first = admin.create(network("lan")).await.expect("created").object;
    let mut second = first.clone();
    second["spec"]["mtu"] = json!(9000);
    let second = admin.update(second).await.expect("updated").object;

    let mut stale = first;
    stale["spec"]["mtu"] = json!(1400);
    let refused = admin.update(stale.clone()).await.expect_err("stale");
    assert_eq!(refused.code(), Code::Aborted);
    assert!(
        refused.message().contains("modified"),
        "{}",
        refused.message()
    );
    assert_eq!(admin.get("network", "lan").await.expect("there"), second);

    stale["metadata"]
        .as_object_mut()
        .expect("metadata")
        .remove("resourceVersion");
    let unconditional = admin.update(stale).await.expect("updated");
    assert_eq!(unconditional.object["spec"]["mtu"], 1400);
}

/// "metadata.generation: a sequence number representing a specific generation of the desired state":
/// metadata and status do not count.
#[tokio::test(flavor = "multi_thread")]
async fn generation_counts_changes_of_the_spec_only() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut object = admin.create(network("lan")).await.expect("created").object;

    object["metadata"]["labels"] = json!({"a": "b"});
    let object = admin.update(object).await.expect("labelled").object;
    assert_eq!(object["metadata"]["generation"], 1);

    let mut with_status = object;
    with_status["status"] = json!({"observedGeneration": 1});
    let object = admin
        .update_part(with_status, "status")
        .await
        .expect("reported")
        .object;
    assert_eq!(object["metadata"]["generation"], 1);

    let mut wanted = object;
    wanted["spec"]["mtu"] = json!(9000);
    let object = admin.update(wanted).await.expect("changed").object;
    assert_eq!(object["metadata"]["generation"], 2);
    assert_eq!(object["status"]["observedGeneration"], 1);
}

/// "Status subresource": PUT on the object ignores status, PUT on /status ignores everything else.
#[tokio::test(flavor = "multi_thread")]
async fn spec_and_status_are_written_apart() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let object = admin.create(network("lan")).await.expect("created").object;

    let mut both = object.clone();
    both["spec"]["mtu"] = json!(9000);
    both["status"] = json!({"observedGeneration": 41});
    let spec_only = admin.update(both.clone()).await.expect("updated").object;
    assert_eq!(spec_only["spec"]["mtu"], 9000);
    assert!(spec_only.get("status").is_none(), "{spec_only}");

    both["metadata"] = spec_only["metadata"].clone();
    both["metadata"]["labels"] = json!({"a": "b"});
    both["spec"]["mtu"] = json!(1400);
    let status_only = admin
        .update_part(both, "status")
        .await
        .expect("updated")
        .object;
    assert_eq!(status_only["status"]["observedGeneration"], 41);
    assert_eq!(status_only["spec"]["mtu"], 9000);
    assert!(status_only["metadata"].get("labels").is_none());

    let no_status = admin.update_part(secret("s", json!({})), "status").await;
    assert_eq!(
        no_status.expect_err("no such part").code(),
        Code::InvalidArgument
    );
}

/// Immutable metadata: uid (409 on mismatch), creationTimestamp.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_cannot_change_who_an_object_is() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let object = admin.create(network("lan")).await.expect("created").object;

    let mut older = object.clone();
    older["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    older["spec"]["mtu"] = json!(9000);
    let kept = admin.update(older).await.expect("updated").object;
    assert_eq!(
        kept["metadata"]["creationTimestamp"],
        object["metadata"]["creationTimestamp"]
    );

    let mut other = network("lan");
    other["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    assert_eq!(
        admin.update(other).await.expect_err("another").code(),
        Code::Aborted
    );
    let absent = admin.update(network("wan")).await.expect_err("absent");
    assert_eq!(absent.code(), Code::NotFound);
}

/// A no-op update does not write: the resourceVersion stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_changes_nothing_writes_nothing() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let object = admin.create(network("lan")).await.expect("created").object;
    // The leader itself may have something to tell meanwhile, elsewhere.
    let networks = Bucket::new("networks");
    let written = || {
        let view = cluster.member(0).store().view();
        view.bucket_revision(&networks)
    };
    let before = written();
    let same = admin.update(object.clone()).await.expect("updated");
    assert_eq!(same.outcome, Outcome::Unchanged);
    assert_eq!(version(&same.object), version(&object));
    assert_eq!(written(), before);
}

/// "application/merge-patch+json": RFC 7386, null removes; a resourceVersion in the patch is a precondition.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_patch_sets_what_it_says_and_null_removes() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut labelled = network("lan");
    labelled["metadata"]["labels"] = json!({"a": "1", "b": "2"});
    let first = admin.create(labelled).await.expect("created").object;

    let patch = json!({"metadata": {"labels": {"a": null, "c": "3"}}});
    let patched = admin.merge("network", "lan", patch).await.expect("patched");
    assert_eq!(
        patched.object["metadata"]["labels"],
        json!({"b": "2", "c": "3"})
    );

    let stale = json!({"metadata": {"resourceVersion": version(&first)}, "spec": {"mtu": 9000}});
    let refused = admin
        .merge("network", "lan", stale)
        .await
        .expect_err("stale");
    assert_eq!(refused.code(), Code::Aborted);
    let renamed = json!({"metadata": {"name": "wan"}});
    let refused = admin
        .merge("network", "lan", renamed)
        .await
        .expect_err("no renaming");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

/// "application/json-patch+json": RFC 6902; a failed `test` changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_json_patch_is_done_as_a_whole_or_not_at_all() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let first = admin.create(network("lan")).await.expect("created").object;

    let failing = json!([
        {"op": "replace", "path": "/spec/mtu", "value": 9000},
        {"op": "test", "path": "/spec/mtu", "value": 1234},
    ]);
    let refused = admin
        .patch("network", "lan", PatchType::Json, failing)
        .await;
    assert_eq!(
        refused.expect_err("the test fails").code(),
        Code::InvalidArgument
    );
    assert_eq!(admin.get("network", "lan").await.expect("there"), first);

    let working = json!([{"op": "replace", "path": "/spec/mtu", "value": 9000}]);
    let done = admin
        .patch("network", "lan", PatchType::Json, working)
        .await;
    assert_eq!(done.expect("patched").object["spec"]["mtu"], 9000);
}

/// A JSON patch that copies a document into itself again and again must not fill the memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_json_patch_that_doubles_the_object_is_stopped() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin.create(secret("s", json!({}))).await.expect("created");
    let mut steps: Vec<Value> = vec![json!({"op": "add", "path": "/spec/x", "value": {}})];
    steps.extend(
        (0..60).map(|at| json!({"op": "copy", "from": "/spec", "path": format!("/spec/x{at}")})),
    );
    let refused = admin
        .patch("secret", "s", PatchType::Json, Value::Array(steps))
        .await
        .expect_err("too large");
    assert_eq!(refused.code(), Code::ResourceExhausted);
}

/// Patches without a precondition are retried on top of what others wrote: none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_of_one_object_are_all_kept() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin.create(network("lan")).await.expect("created");
    let patches = (0..16).map(|n| {
        let admin = admin.clone();
        tokio::spawn(async move {
            let patch = json!({"metadata": {"labels": {format!("l{n}"): "x"}}});
            admin.merge("network", "lan", patch).await
        })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.expect("ran").expect("patched");
    }
    let object = admin.get("network", "lan").await.expect("there");
    let labels = object["metadata"]["labels"]
        .as_object()
        .map(serde_json::Map::len);
    assert_eq!(labels, Some(16));
}
