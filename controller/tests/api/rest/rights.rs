//! Who is refused what: the same answers as over gRPC.

use std::sync::Arc;

use http::Method;
use quorate_identity::{Authority, Credentials, LiveCredentials, Subject, SystemClock};
use quorate_proto::api::v1 as pb;
use serde_json::{Value, json};

use super::client::{Http, path, request};
use crate::{
    rights::{object, plan},
    support::{TestCluster, network, object_ref, secret},
};

fn person(name: &str) -> Subject {
    Subject::person(name, &[]).expect("a name")
}

pub(super) fn bind(role: &str, user: &str) -> Value {
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

/// TLS ends it; at the latest when something is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_gets_no_answer_at_all() {
    let cluster = TestCluster::of_one().await;
    let theirs = Authority::create("test", Arc::new(SystemClock)).expect("an authority");
    let forged = Credentials::issue(&theirs, &Subject::admin(), &[]).expect("issued");
    let forger = Http::with(&cluster, 0, Some(LiveCredentials::new(forged)));
    for path in ["/healthz", "/apis", &path("networks")] {
        let answer = forger.try_send(request(Method::GET, path, &[], "")).await;
        assert!(answer.is_none(), "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_no_verb_is_answered() {
    let cluster = TestCluster::of_one().await;
    let nobody = Http::new(&cluster, 0, None);
    let one = format!("{}/a", path("networks"));
    let body = network("a").to_string();
    for (method, to, kind) in [
        (Method::POST, path("networks"), "application/json"),
        (Method::PUT, one.clone(), "application/json"),
        (Method::PATCH, one.clone(), "application/merge-patch+json"),
        (Method::PATCH, one.clone(), "application/json-patch+json"),
        (
            Method::PATCH,
            format!("{one}?fieldManager=x"),
            "application/apply-patch+yaml",
        ),
        (Method::DELETE, one.clone(), ""),
        (Method::DELETE, path("networks"), ""),
        (Method::GET, format!("{one}?watch=1"), ""),
        (
            Method::POST,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(),
            "application/json",
        ),
        (Method::GET, "/metrics".to_owned(), ""),
    ] {
        let asked = request(method, &to, &[("content-type", kind)], &body);
        nobody.send(asked).await.refused(401, "Unauthorized");
    }
    let admin = Http::admin(&cluster);
    admin.get(&one).await.refused(404, "NotFound");
}

/// Members speak to each other over gRPC. Here their certificate shows figures and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_members_certificate_reads_no_object() {
    let cluster = TestCluster::of_one().await;
    let member = Http::new(&cluster, 0, Some(&Subject::member(1)));
    assert!(member.get("/metrics").await.code.is_success());
    for kind in quorate_crds::kinds() {
        let all = path(kind.plural);
        member.get(&all).await.refused(403, "Forbidden");
        member
            .get(&format!("{all}?watch=1"))
            .await
            .refused(403, "Forbidden");
    }
    member
        .post(&path("networks"), &network("a"))
        .await
        .refused(403, "Forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_host_certificate_reads_its_own_plan_and_no_other() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    for name in ["n1", "n2"] {
        let node = object("Node", name, json!({}));
        admin.post(&path("nodes"), &node).await.ok();
    }
    for (name, data) in [("mine", "bWluZQ=="), ("theirs", "dGhlaXJz")] {
        let secret = secret(name, json!({"password": data}));
        admin.post(&path("secrets"), &secret).await.ok();
    }
    for record in [plan("n1", "n1-web", "mine"), plan("n2", "n2-web", "theirs")] {
        admin.post(&path("nodeplans"), &record).await.ok();
    }
    let thief = Http::new(&cluster, 0, Some(&Subject::node("n1").expect("a name")));

    for own in ["nodes/n1", "nodeplans/n1-web"] {
        thief.get(&path(own)).await.ok();
    }
    let readable = thief.get(&path("secrets/mine")).await.ok();
    assert_eq!(readable["spec"]["data"]["password"], "bWluZQ==");
    let own = "nodeplans?fieldSelector=spec.node%3Dn1";
    let listed = thief.get(&path(own)).await.ok();
    let listed = listed["items"].as_array().expect("a list");
    // The leader may have written records of its own by now.
    assert!(!listed.is_empty());
    for record in listed {
        assert_eq!(record["spec"]["node"], "n1", "{record}");
    }

    for other in [
        "nodes/n2",
        "nodes/n2/status",
        "nodeplans/n2-web",
        "nodeplans/no-such-record",
        "secrets/theirs",
        "secrets/no-such-secret",
        "virtualmachines/web",
        "roles/admin",
        "nodeplans",
        "nodeplans?fieldSelector=spec.node%3Dn2",
        "nodeplans?watch=1",
        "nodeplans/n2-web?watch=1",
        "nodeplans?watch=1&fieldSelector=spec.node%3Dn2",
        "nodes",
        "secrets",
        "secrets?fieldSelector=metadata.name%3Dmine",
        "secrets/theirs?watch=1&fieldSelector=metadata.name%3Dmine",
        "virtualmachines",
    ] {
        let status = thief.get(&path(other)).await.refused(403, "Forbidden");
        let words = status["message"].as_str().expect("words");
        assert!(words.contains("host \"n1\""), "{other}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_host_certificate_writes_its_own_status_and_nothing_else() {
    const MERGE: &str = "application/merge-patch+json";
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    for name in ["n1", "n2"] {
        let node = object("Node", name, json!({}));
        admin.post(&path("nodes"), &node).await.ok();
    }
    let before = admin.get(&path("nodes/n2")).await.ok();
    let thief = Http::new(&cluster, 0, Some(&Subject::node("n1").expect("a name")));

    let said = json!({"status": {"observedGeneration": 41}, "spec": {"mode": "Maintenance"}});
    // The planner writes other parts of its status meanwhile.
    let written = loop {
        let mut own = thief.get(&path("nodes/n1")).await.ok();
        own["status"] = said["status"].clone();
        own["spec"] = said["spec"].clone();
        let reply = thief.put(&path("nodes/n1/status"), &own).await;
        if reply.code != 409 {
            break reply.ok();
        }
    };
    assert_eq!(written["status"]["observedGeneration"], 41);
    assert_eq!(written["spec"], before["spec"]);

    let mut other = before.clone();
    other["status"] = said["status"].clone();
    let role = json!({"role": "admin", "subjects": [{"kind": "User", "name": "quorate:node:n1"}]});
    for reply in [
        thief.put(&path("nodes/n2/status"), &other).await,
        thief.patch(&path("nodes/n2/status"), MERGE, &said).await,
        thief.put(&path("nodes/n1"), &written).await,
        thief.patch(&path("nodes/n1"), MERGE, &said).await,
        thief
            .post(&path("nodes"), &object("Node", "n3", json!({})))
            .await,
        thief
            .post(&path("rolebindings"), &object("RoleBinding", "mine", role))
            .await,
        thief.delete(&path("nodes/n1"), "").await,
        thief.delete(&path("nodes"), "").await,
    ] {
        reply.refused(403, "Forbidden");
    }
    let after = admin.get(&path("nodes/n2")).await.ok();
    assert_eq!(after["spec"], before["spec"]);
    assert_ne!(after["status"]["observedGeneration"], 41);
    admin.get(&path("nodes/n3")).await.refused(404, "NotFound");
}

/// Nobody gives away more than he holds, whatever verb he takes for it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_away_more_than_he_holds() {
    const MERGE: &str = "application/merge-patch+json";
    const JSON: &str = "application/json-patch+json";
    const APPLY: &str = "application/apply-patch+yaml";
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    let keeper = json!({"rules": [
        {"kinds": ["roles", "rolebindings"], "verbs": ["*"]},
        {"kinds": ["nodes"], "verbs": ["get"]},
    ]});
    admin
        .post(&path("roles"), &object("Role", "keeper", keeper))
        .await
        .ok();
    admin
        .post(&path("rolebindings"), &bind("keeper", "eve"))
        .await
        .ok();
    let eve = Http::new(&cluster, 0, Some(&person("eve")));
    let held = json!({"rules": [{"kinds": ["nodes"], "verbs": ["get"]}]});
    let look = object("Role", "look", held);
    eve.post(&path("roles"), &look).await.ok();
    eve.post(&path("rolebindings"), &bind("look", "mallory"))
        .await
        .ok();

    let rules = json!([{"kinds": ["nodes"], "verbs": ["get", "delete"]}]);
    let mut more = look.clone();
    more["spec"]["rules"] = rules.clone();
    let step = json!([{"op": "replace", "path": "/spec/rules", "value": rules}]);
    for reply in [
        eve.post(
            &path("roles"),
            &object("Role", "more", more["spec"].clone()),
        )
        .await,
        eve.put(&path("roles/look"), &more).await,
        eve.patch(
            &path("roles/look"),
            MERGE,
            &json!({"spec": {"rules": rules}}),
        )
        .await,
        eve.patch(&path("roles/look"), JSON, &step).await,
        eve.patch(&path("roles/look?fieldManager=e&force=true"), APPLY, &more)
            .await,
        eve.post(&path("rolebindings"), &bind("admin", "eve")).await,
        eve.post(&path("rolebindings"), &bind("not-yet", "eve"))
            .await,
        eve.post(&path("rolebindings?dryRun=All"), &bind("admin", "eve"))
            .await,
    ] {
        reply.refused(403, "Forbidden");
    }
    // A binding's role stays what it was, whoever asks.
    let other_role = json!({"spec": {"role": "admin"}});
    eve.patch(&path("rolebindings/look-mallory"), MERGE, &other_role)
        .await
        .refused(422, "Invalid");
    let kept = admin.get(&path("roles/look")).await.ok();
    assert_eq!(kept["spec"]["rules"], look["spec"]["rules"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_gone_at_once() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    admin.post(&path("networks"), &network("a")).await.ok();
    admin
        .post(&path("rolebindings"), &bind("viewer", "bob"))
        .await
        .ok();
    let bob = Http::new(&cluster, 0, Some(&person("bob")));
    bob.get(&path("networks/a")).await.ok();
    admin
        .delete(&path("rolebindings/viewer-bob"), "")
        .await
        .ok();
    bob.get(&path("networks/a")).await.refused(403, "Forbidden");
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
    let eve = Http::new(&cluster, 0, Some(&person("eve")));
    let refused = eve.post(&path("networks"), &network("refused")).await;
    refused.refused(403, "Forbidden");
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
    assert_eq!(
        of("refused"),
        [json!(["create", "networks", "eve", "Forbidden"])]
    );
}
