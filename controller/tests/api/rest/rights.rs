//! Who is refused what: the same answers as over gRPC.

use http::Method;
use quorate_identity::Subject;
use quorate_proto::api::v1 as pb;
use serde_json::{Value, json};

use super::client::{Http, path, request};
use crate::support::{TestCluster, network, object_ref, secret};

fn person(name: &str) -> Subject {
    Subject::person(name, &[]).expect("a name")
}

fn bind(role: &str, user: &str) -> Value {
    json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "RoleBinding",
        "metadata": {"name": format!("{role}-{user}")},
        "spec": {"role": role, "subjects": [{"kind": "User", "name": user}]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_needs_its_right() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    admin.post(&path("networks"), &network("a")).await.ok();
    admin
        .post(&path("secrets"), &secret("s", json!({})))
        .await
        .ok();
    admin
        .post(&path("rolebindings"), &bind("viewer", "vic"))
        .await
        .ok();
    let networks = path("networks");
    let one = format!("{networks}/a");

    let nobody = Http::new(&cluster, 0, Some(&person("eve")));
    for path in [
        one.clone(),
        networks.clone(),
        format!("{networks}?watch=1"),
        "/api/v1/events".to_owned(),
        "/api/v1/namespaces/default/events/x".to_owned(),
    ] {
        nobody.get(&path).await.refused(403, "Forbidden");
    }
    let viewer = Http::new(&cluster, 0, Some(&person("vic")));
    viewer.get(&one).await.ok();
    viewer.get(&networks).await.ok();
    viewer.get(&path("secrets")).await.refused(403, "Forbidden");
    for who in [&nobody, &viewer] {
        let merge = "application/merge-patch+json";
        let json_patch = "application/json-patch+json";
        let apply = "application/apply-patch+yaml";
        who.post(&networks, &network("b"))
            .await
            .refused(403, "Forbidden");
        who.put(&one, &network("a")).await.refused(403, "Forbidden");
        who.patch(&one, merge, &json!({}))
            .await
            .refused(403, "Forbidden");
        who.patch(&one, json_patch, &json!([]))
            .await
            .refused(403, "Forbidden");
        who.patch(&format!("{one}?fieldManager=x"), apply, &network("a"))
            .await
            .refused(403, "Forbidden");
        who.patch(&format!("{one}/status"), merge, &json!({"status": {}}))
            .await
            .refused(403, "Forbidden");
        who.delete(&one, "").await.refused(403, "Forbidden");
        who.delete(&networks, "").await.refused(403, "Forbidden");
        who.post(&format!("{networks}?dryRun=All"), &network("b"))
            .await
            .refused(403, "Forbidden");
    }
    admin.get(&one).await.ok();
}

/// Renewing it is all that an expired certificate is good for, and that is done over gRPC.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_lets_nobody_in() {
    let cluster = TestCluster::of_one().await;
    let late = crate::rights::expired(&cluster, &Subject::admin());
    let admin = Http::with(&cluster, 0, Some(late));
    for path in [path("networks"), "/apis".to_owned(), "/metrics".to_owned()] {
        let status = admin.get(&path).await.refused(401, "Unauthorized");
        let words = status["message"].as_str().expect("words");
        assert!(words.contains("renew it"), "{words}");
    }
    admin
        .post(&path("networks"), &network("a"))
        .await
        .refused(401, "Unauthorized");
}

/// A host reads its own records and writes their status, whatever face it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_reaches_nothing_but_its_own() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    admin
        .post(&path("secrets"), &secret("s", json!({})))
        .await
        .ok();
    let host = Http::new(&cluster, 0, Some(&Subject::node("an1").expect("a name")));
    for plural in ["secrets", "virtualmachines", "nodes", "nodeplans", "roles"] {
        host.get(&path(plural)).await.refused(403, "Forbidden");
    }
    host.get(&format!("{}/s", path("secrets")))
        .await
        .refused(403, "Forbidden");
    host.get(&format!("{}/an1", path("nodes")))
        .await
        .refused(404, "NotFound");
    host.get(&format!("{}/an2", path("nodes")))
        .await
        .refused(403, "Forbidden");
    host.get(&format!(
        "{}?fieldSelector=spec.node%3Dan1",
        path("nodeplans")
    ))
    .await
    .ok();
    host.get(&format!(
        "{}?fieldSelector=spec.node%3Dan2",
        path("nodeplans")
    ))
    .await
    .refused(403, "Forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_as_somebody_else() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    for header in [
        "impersonate-user",
        "Impersonate-Group",
        "impersonate-extra-x",
    ] {
        let asked = request(Method::GET, &path("networks"), &[(header, "x")], "");
        let status = admin.send(asked).await.refused(403, "Forbidden");
        let words = status["message"].as_str().expect("words");
        assert!(words.contains("act as somebody else"), "{words}");
    }
}

/// A page somewhere makes the browser of an administrator send it.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_send_nothing_here() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    for (site, code) in [
        ("cross-site", 403),
        ("same-site", 403),
        ("same-origin", 201),
    ] {
        let headers = [("sec-fetch-site", site)];
        let body = network("a").to_string();
        let sent = request(Method::POST, &path("networks"), &headers, &body);
        assert_eq!(admin.send(sent).await.code.as_u16(), code, "{site}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_right_does() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    admin
        .post(&path("rolebindings"), &bind("viewer", "vic"))
        .await
        .ok();
    let viewer = Http::new(&cluster, 0, Some(&person("vic")));
    let mut watch = viewer.watch(&format!("{}?watch=1", path("networks"))).await;
    assert!(watch.code.is_success());
    let binding = format!("{}/viewer-vic", path("rolebindings"));
    admin.delete(&binding, "").await.ok();
    // The right is asked for again after a second, when there is something to tell.
    let mut told = 0;
    let status = loop {
        admin
            .post(&path("networks"), &network(&format!("n{told}")))
            .await
            .ok();
        told += 1;
        let (event, _, object) = watch.event().await;
        if event == "ERROR" {
            break object;
        }
    };
    assert_eq!(status["code"], 403);
    assert!(watch.next().await.is_none());
}

/// What a review says is what happens.
#[tokio::test(flavor = "multi_thread")]
async fn reviews_tell_the_truth() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    admin
        .post(&path("rolebindings"), &bind("viewer", "vic"))
        .await
        .ok();
    let viewer = Http::new(&cluster, 0, Some(&person("vic")));
    let review = |group: &str, kind: &str, spec: Value| json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
    let access = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    for (verb, group, resource, allowed) in [
        ("list", "quorate.dev", "networks", true),
        ("create", "quorate.dev", "networks", false),
        ("deletecollection", "quorate.dev", "networks", false),
        ("get", "quorate.dev", "secrets", false),
        ("list", "", "events", true),
        ("list", "apps", "deployments", false),
        ("dance", "quorate.dev", "networks", false),
        ("*", "*", "*", false),
    ] {
        let asked =
            json!({"resourceAttributes": {"verb": verb, "group": group, "resource": resource}});
        let body = review("authorization.k8s.io", "SelfSubjectAccessReview", asked);
        let answered = viewer.post(access, &body).await.ok();
        assert_eq!(
            answered["status"]["allowed"], allowed,
            "{verb} {group}/{resource}"
        );
        if !allowed {
            assert!(answered["status"]["reason"].is_string(), "{answered}");
        }
    }
    let everything = json!({"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}});
    let body = review(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        everything,
    );
    assert_eq!(
        admin.post(access, &body).await.ok()["status"]["allowed"],
        true
    );

    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let body = review(
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        json!({"namespace": "default"}),
    );
    let answered = viewer.post(rules, &body).await.ok();
    let granted = answered["status"]["resourceRules"]
        .as_array()
        .expect("a list");
    let networks = granted.iter().any(|rule| {
        let resources = rule["resources"].as_array().expect("a list");
        resources.contains(&json!("networks")) && rule["verbs"] == json!(["get", "list", "watch"])
    });
    assert!(networks, "{answered}");

    let me = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let body = review("authentication.k8s.io", "SelfSubjectReview", json!({}));
    let answered = viewer.post(me, &body).await.ok();
    assert_eq!(answered["status"]["userInfo"]["username"], "vic");
}

/// A change leaves the same line in the audit log, whichever face it came by.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_noted_as_over_grpc() {
    let mut cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    rest.post(&path("networks"), &network("rest")).await.ok();
    rest.delete(&path("networks"), "").await.ok();
    let grpc = cluster.admin(0).await;
    grpc.create(network("grpc")).await.expect("created");
    grpc.delete_with(pb::DeleteRequest {
        object: Some(object_ref("network", "grpc")),
        ..pb::DeleteRequest::default()
    })
    .await
    .expect("deleted");
    // The log is complete when the member has stopped.
    let member = cluster.sites[0].member.take().expect("it runs");
    member.stop().await;
    let log = cluster.sites[0].config.audit_dir.join("audit.log");
    let lines = || {
        let text = std::fs::read_to_string(&log).expect("the log");
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .collect::<Vec<_>>()
    };
    let of = |name: &str| -> Vec<Value> {
        let all = lines();
        let about = all.into_iter().filter(|line| line["name"] == name);
        about
            .map(|line| json!([line["verb"], line["kind"], line["user"], line["result"]]))
            .collect()
    };
    assert_eq!(of("rest").len(), 2);
    assert_eq!(of("rest"), of("grpc"));
}
