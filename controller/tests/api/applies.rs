//! Server-side apply. Kubernetes documentation, "Server-Side Apply".

use quorate_proto::api::v1::Outcome;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{TestCluster, details, network, options, secret, version};

/// "Apply: create or update"; a repeated apply of the same configuration is a no-op and keeps the
/// resourceVersion.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_creates_and_the_same_apply_again_changes_nothing() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;

    let first = admin.apply("ops", network("lan")).await.expect("applied");
    assert_eq!(first.outcome, Outcome::Created);
    assert_eq!(first.object["metadata"]["generation"], 1);
    let again = admin.apply("ops", network("lan")).await.expect("applied");
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert_eq!(again.object, first.object);
}

/// "Conflicts": a field that another manager owns with another value is refused, and the message names the
/// field and its manager. "Force" takes it over.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_field_and_manager_and_force_takes_the_field_over() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut mine = network("lan");
    mine["spec"]["mtu"] = json!(9000);
    admin.apply("alice", mine.clone()).await.expect("applied");

    let mut yours = network("lan");
    yours["spec"]["mtu"] = json!(1400);
    let refused = admin
        .apply("bob", yours.clone())
        .await
        .expect_err("a conflict");
    assert_eq!(refused.code(), Code::Aborted);
    let details = details(&refused);
    assert_eq!(details["reason"], "Conflict");
    let cause = &details["details"]["causes"][0];
    assert_eq!(cause["reason"], "FieldManagerConflict");
    assert!(
        cause["field"]
            .as_str()
            .expect("a path")
            .contains("spec.mtu"),
        "{cause}"
    );
    assert!(
        cause["message"].as_str().expect("a text").contains("alice"),
        "{cause}"
    );

    let mut force = options("bob");
    force.force = true;
    let taken = admin.apply_with(yours, force).await.expect("forced");
    assert_eq!(taken.object["spec"]["mtu"], 1400);
    admin
        .apply("alice", mine)
        .await
        .expect_err("now it is alice who conflicts");
}

/// "Sharing": managers that set the same value own the field together; it goes when the last one drops it.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_goes_when_its_last_owner_drops_it() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut with = network("lan");
    with["metadata"]["labels"] = json!({"rack": "7"});
    admin.apply("alice", with.clone()).await.expect("applied");
    admin.apply("bob", with).await.expect("shared");

    let still = admin.apply("alice", network("lan")).await.expect("applied");
    assert_eq!(still.object["metadata"]["labels"]["rack"], "7");
    let gone = admin.apply("bob", network("lan")).await.expect("applied");
    assert!(
        gone.object["metadata"]["labels"].get("rack").is_none(),
        "{}",
        gone.object
    );
}

/// API concepts, "Dry-run": the answer is what would be stored, and nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_like_the_real_thing_and_changes_nothing() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut dry = options("ops");
    dry.dry_run = true;

    let would = admin
        .apply_with(network("lan"), dry.clone())
        .await
        .expect("fine");
    assert_eq!(would.outcome, Outcome::Created);
    assert_eq!(would.object["spec"]["mtu"], 1500, "defaults are filled in");
    assert_eq!(
        admin
            .get("network", "lan")
            .await
            .expect_err("absent")
            .code(),
        Code::NotFound
    );

    let real = admin.apply("ops", network("lan")).await.expect("applied");
    let mut other = network("lan");
    other["spec"]["mtu"] = json!(9000);
    let would = admin.apply_with(other, dry).await.expect("fine");
    assert_eq!(would.outcome, Outcome::Configured);
    assert_eq!(
        admin.get("network", "lan").await.expect("there"),
        real.object
    );
}

/// "metadata.managedFields must be nil" in an applied configuration.
#[tokio::test(flavor = "multi_thread")]
async fn an_applied_manifest_that_brings_managed_fields_is_refused() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let live = admin.apply("ops", network("lan")).await.expect("applied");
    let refused = admin.apply("ops", live.object).await.expect_err("refused");
    assert_eq!(
        details(&refused)["details"]["causes"][0]["field"],
        "metadata.managedFields"
    );
}

/// Field validation "Strict": an unknown field is an error that names it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_is_refused_by_its_path() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut misspelt = network("lan");
    misspelt["spec"]["mut"] = json!(9000);
    let refused = admin.apply("ops", misspelt).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let cause = details(&refused)["details"]["causes"][0].clone();
    assert_eq!(cause["field"], "spec.mut");
    assert_eq!(cause["reason"], "FieldValueUnknown");
}

/// A Secret's values are compared open: applying the same again does not seal them anew.
#[tokio::test(flavor = "multi_thread")]
async fn applying_the_same_secret_again_changes_nothing() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let password = secret("bmc", json!({"password": "aHVudGVyMg=="}));
    let first = admin.apply("ops", password.clone()).await.expect("applied");
    let again = admin.apply("ops", password).await.expect("applied");
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert_eq!(version(&again.object), version(&first.object));
    assert_eq!(again.object["spec"]["data"]["password"], "aHVudGVyMg==");
}

/// The merge takes `metadata` away together with the last field in it that anybody owned. What guards a guest that runs, or
/// a volume's data, is nobody's field and must stay.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_lets_go_of_the_last_label_keeps_what_guards_the_object() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let guest = |labels: Value| {
        json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachine",
            "metadata": {"name": "web", "labels": labels},
            "spec": {"memory": "1Gi"},
        })
    };
    let first = admin
        .apply("git", guest(json!({"tier": "front"})))
        .await
        .expect("applied")
        .object;
    let guards = first["metadata"]["finalizers"].clone();
    assert_eq!(guards, json!(["quorate.dev/guest"]));
    let mut bare = guest(Value::Null);
    bare["metadata"] = json!({"name": "web"});
    let second = admin.apply("git", bare).await.expect("applied").object;
    assert_eq!(second["metadata"].get("labels"), None);
    assert_eq!(second["metadata"]["finalizers"], guards);
}
