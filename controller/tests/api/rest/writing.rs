//! Changes. Kubernetes documentation, "API concepts" and "Server-side apply".

use http::StatusCode;
use serde_json::{Value, json};

use super::client::{Http, path};
use crate::support::{TestCluster, network, version};

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn a() -> String {
    format!("{}/a", path("networks"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_created_once_and_updated_on_top_of_what_was_read() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let reply = rest.post(&path("networks"), &network("a")).await;
    assert_eq!(reply.code, StatusCode::CREATED);
    let created = reply.ok();
    let status = rest
        .post(&path("networks"), &network("a"))
        .await
        .refused(409, "AlreadyExists");
    assert_eq!(status["details"]["name"], "a");
    assert_eq!(status["details"]["kind"], "networks");
    assert_eq!(status["details"]["group"], "quorate.dev");

    let mut next = created.clone();
    next["spec"]["mtu"] = json!(9000);
    let updated = rest.put(&a(), &next).await.ok();
    assert_ne!(version(&updated), version(&created));
    rest.put(&a(), &next).await.refused(409, "Conflict");
    rest.put(&format!("{}/b", path("networks")), &updated)
        .await
        .refused(400, "BadRequest");
    rest.post(&path("volumes"), &network("b"))
        .await
        .refused(400, "BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_patch_type_does_what_it_is_for() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    rest.post(&path("networks"), &network("a")).await.ok();
    let patched = rest
        .patch(&a(), MERGE, &json!({"spec": {"mtu": 9000}}))
        .await
        .ok();
    assert_eq!(patched["spec"]["mtu"], 9000);
    let steps = json!([
        {"op": "test", "path": "/spec/mtu", "value": 9000},
        {"op": "replace", "path": "/spec/mtu", "value": 8000},
    ]);
    assert_eq!(
        rest.patch(&a(), JSON, &steps).await.ok()["spec"]["mtu"],
        8000
    );
    rest.patch(&a(), JSON, &steps).await.refused(422, "Invalid");
    // What is not there is null to a test.
    let first = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.org/held"]},
    ]);
    let held = rest.patch(&a(), JSON, &first).await.ok();
    assert_eq!(held["metadata"]["finalizers"], json!(["example.org/held"]));
    rest.patch(&a(), JSON, &first).await.refused(422, "Invalid");
    for nowhere in ["/spec/none/of/it", ""] {
        let test = json!([{"op": "test", "path": nowhere, "value": null}]);
        rest.patch(&a(), JSON, &test).await.refused(422, "Invalid");
    }
    let status = rest
        .patch(
            &a(),
            "application/strategic-merge-patch+json",
            &json!({"spec": {"mtu": 1500}}),
        )
        .await
        .refused(415, "UnsupportedMediaType");
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|words| words.contains(MERGE))
    );
    rest.patch(&format!("{}?force=true", a()), MERGE, &json!({}))
        .await
        .refused(400, "BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_owns_what_it_says_and_takes_from_others_only_by_force() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let with_mtu = |mtu: u32| {
        let mut object = network("a");
        object["spec"]["mtu"] = json!(mtu);
        object
    };
    let as_one = format!("{}?fieldManager=one", a());
    let as_two = format!("{}?fieldManager=two", a());
    let reply = rest.patch(&as_one, APPLY, &with_mtu(9000)).await;
    assert_eq!(reply.code, StatusCode::CREATED);
    let status = rest
        .patch(&as_two, APPLY, &with_mtu(8000))
        .await
        .refused(409, "Conflict");
    let cause = &status["details"]["causes"][0];
    assert_eq!(cause["reason"], "FieldManagerConflict");
    assert_eq!(cause["field"], ".spec.mtu");
    let forced = rest
        .patch(&format!("{as_two}&force=true"), APPLY, &with_mtu(8000))
        .await
        .ok();
    assert_eq!(forced["spec"]["mtu"], 8000);
    rest.patch(&a(), APPLY, &with_mtu(8000))
        .await
        .refused(400, "BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_as_the_change_would_and_changes_nothing() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let dry = format!("{}?dryRun=All", path("networks"));
    assert_eq!(
        rest.post(&dry, &network("a")).await.code,
        StatusCode::CREATED
    );
    rest.get(&a()).await.refused(404, "NotFound");
    rest.post(&path("networks"), &network("a")).await.ok();
    rest.delete(&format!("{}?dryRun=All", a()), "").await.ok();
    rest.delete(&a(), r#"{"dryRun":["All"]}"#).await.ok();
    rest.get(&a()).await.ok();
    rest.post(&format!("{}?dryRun=Some", path("networks")), &network("b"))
        .await
        .refused(400, "BadRequest");
}

/// "Field validation": the default is to drop and to warn.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_refused_dropped_or_warned_of_as_the_caller_says() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let mut misspelt = network("a");
    misspelt["spec"]["mtoo"] = json!(9000);
    let strict = format!("{}?fieldValidation=Strict", path("networks"));
    let status = rest.post(&strict, &misspelt).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.mtoo");

    let reply = rest.post(&path("networks"), &misspelt).await;
    assert_eq!(
        reply.headers["warning"],
        r#"299 - "unknown field \"spec.mtoo\"""#
    );
    assert_eq!(reply.ok()["spec"].get("mtoo"), None);
    let ignore = format!("{}?fieldValidation=Ignore", a());
    let reply = rest
        .patch(&ignore, MERGE, &json!({"spec": {"mtoo": 1, "mtu": 9000}}))
        .await;
    assert!(!reply.headers.contains_key("warning"));
    assert_eq!(reply.ok()["spec"]["mtu"], 9000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_written_by_itself() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let created = rest.post(&path("networks"), &network("a")).await.ok();
    let part = format!("{}/status", a());
    let said = json!({"spec": {"mtu": 9000}, "status": {"observedGeneration": 1}});
    let changed = rest.patch(&part, MERGE, &said).await.ok();
    assert_eq!(changed["status"]["observedGeneration"], 1);
    assert_eq!(changed["spec"], created["spec"]);
    assert_eq!(rest.get(&part).await.ok(), changed);
    rest.delete(&part, "")
        .await
        .refused(405, "MethodNotAllowed");
    rest.get(&format!("{}/scale", a()))
        .await
        .refused(404, "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_says_what_it_has_done() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let created = rest.post(&path("networks"), &network("a")).await.ok();
    let wrong = r#"{"preconditions":{"uid":"another"}}"#;
    rest.delete(&a(), wrong).await.refused(409, "Conflict");
    let status = rest.delete(&a(), "").await.ok();
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"]["uid"], created["metadata"]["uid"]);
    rest.delete(&a(), "").await.refused(404, "NotFound");

    let mut held = network("a");
    held["metadata"]["finalizers"] = json!(["example.org/held"]);
    rest.post(&path("networks"), &held).await.ok();
    let marked = rest.delete(&a(), "").await.ok();
    assert_eq!(marked["kind"], "Network");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let release = json!({"metadata": {"finalizers": null}});
    rest.patch(&a(), MERGE, &release).await.ok();
    rest.get(&a()).await.refused(404, "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_deleted_as_far_as_it_is_selected() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    for name in ["a", "b", "c"] {
        let mut object = network(name);
        if name != "c" {
            object["metadata"]["labels"] = json!({"old": "yes"});
        }
        rest.post(&path("networks"), &object).await.ok();
    }
    let selected = format!("{}?labelSelector=old", path("networks"));
    let gone = rest.delete(&selected, "").await.ok();
    assert_eq!(gone["items"].as_array().map(Vec::len), Some(2));
    let left = rest.get(&path("networks")).await.ok();
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
}

/// Typed clients write null for what they do not set, and some write YAML.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_read_as_clients_write_them() {
    let cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let mut object = network("a");
    object["metadata"]["creationTimestamp"] = Value::Null;
    object["spec"]["bond"] = Value::Null;
    rest.post(&path("networks"), &object).await.ok();
    let yaml = "apiVersion: quorate.dev/v1alpha1\nkind: Network\nmetadata: {name: b}\nspec: {addressing: None}\n";
    let headers = [("content-type", "application/yaml")];
    let request = super::client::request(http::Method::POST, &path("networks"), &headers, yaml);
    rest.send(request).await.ok();
    let headers = [("content-type", "text/html")];
    let request = super::client::request(http::Method::POST, &path("networks"), &headers, yaml);
    rest.send(request)
        .await
        .refused(415, "UnsupportedMediaType");
}
