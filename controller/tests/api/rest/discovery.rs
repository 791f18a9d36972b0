//! What there is and what it looks like. Kubernetes documentation, "The Kubernetes API".

use http::Method;
use quorate_identity::Subject;
use serde_json::{Value, json};

use super::client::{Http, request};
use crate::support::{TestCluster, network};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_found_in_the_old_and_in_the_new_way() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);

    let groups = admin.get("/apis").await.ok();
    assert_eq!(groups["kind"], "APIGroupList");
    let own = admin.get("/apis/quorate.dev").await.ok();
    assert_eq!(
        own["preferredVersion"]["groupVersion"],
        "quorate.dev/v1alpha1"
    );
    let resources = admin.get("/apis/quorate.dev/v1alpha1").await.ok();
    assert_eq!(resources["kind"], "APIResourceList");
    let listed: Vec<&str> = resources["resources"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|resource| resource["name"].as_str())
        .collect();
    for kind in quorate_crds::kinds() {
        assert!(listed.contains(&kind.plural), "{listed:?}");
        let status = format!("{}/status", kind.plural);
        assert_eq!(listed.contains(&status.as_str()), kind.status);
    }

    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let reply = admin
        .send(request(Method::GET, "/apis", &[("accept", accept)], ""))
        .await;
    assert_eq!(
        reply.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let all = reply.ok();
    let group = &all["items"][0];
    assert_eq!(group["metadata"]["name"], "quorate.dev");
    let names: Vec<&str> = group["versions"][0]["resources"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|resource| resource["resource"].as_str())
        .collect();
    assert_eq!(names.len(), quorate_crds::kinds().len());

    let core = admin.get("/api/v1").await.ok();
    assert_eq!(core["resources"][0]["name"], "events");
    admin.get("/apis/apps").await.refused(404, "NotFound");
    admin
        .get("/apis/quorate.dev/v9")
        .await
        .refused(404, "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_are_told_in_both_versions_of_openapi() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);

    let index = admin.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/quorate.dev/v1alpha1"]["serverRelativeURL"]
        .as_str()
        .expect("a path")
        .to_owned();
    assert!(url.contains("?hash="), "{url}");
    let document = admin.get(&url).await.ok();
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["dev.quorate.v1alpha1.VirtualMachine"]["x-kubernetes-group-version-kind"][0]["kind"],
        "VirtualMachine"
    );

    let whole = admin.get("/openapi/v2").await.ok();
    assert_eq!(whole["swagger"], "2.0");
    let asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let reply = admin
        .send(request(
            Method::GET,
            "/openapi/v2",
            &[("accept", asked)],
            "",
        ))
        .await;
    assert!(reply.code.is_success());
    assert!(reply.body.starts_with(b"\x0a\x032.0"), "the field swagger");
}

/// Load balancers have no certificates.
#[tokio::test(flavor = "multi_thread")]
async fn health_and_version_are_told_to_everybody_and_nothing_else_is() {
    let cluster = TestCluster::of_one().await;
    let stranger = Http::new(&cluster, 0, None);
    for path in ["/healthz", "/livez", "/readyz"] {
        let reply = stranger.get(path).await;
        assert!(reply.code.is_success());
        assert_eq!(reply.body, "ok");
    }
    let words = stranger.get("/readyz?verbose").await.body;
    assert!(String::from_utf8_lossy(&words).contains("[+]leader ok"));
    let version = stranger.get("/version").await.ok();
    assert_eq!(version["major"], "1");
    for path in [
        "/api",
        "/apis",
        "/openapi/v3",
        "/openapi/v2",
        "/apis/quorate.dev/v1alpha1/networks",
        "/api/v1/events",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/no/such/path",
    ] {
        stranger.get(path).await.refused(401, "Unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_of_the_kinds_can_be_read() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let all = admin.get(path).await.ok();
    assert_eq!(
        all["items"].as_array().map(Vec::len),
        Some(quorate_crds::kinds().len())
    );
    let one = admin.get(&format!("{path}/volumes.quorate.dev")).await.ok();
    assert_eq!(one["spec"]["names"]["kind"], "Volume");
    let parents = admin
        .get(&format!(
            "{path}?labelSelector=applyset.kubernetes.io/is-parent-type"
        ))
        .await
        .ok();
    assert_eq!(
        parents["items"][0]["metadata"]["name"],
        "secrets.quorate.dev"
    );
    let mut watch = admin
        .watch(&format!(
            "{path}?watch=1&resourceVersion=1&timeoutSeconds=1"
        ))
        .await;
    assert!(watch.next().await.is_none(), "nothing changes");
    let mut watch = admin
        .watch(&format!("{path}?watch=1&timeoutSeconds=1"))
        .await;
    assert_eq!(watch.event().await.0, "ADDED");
    admin
        .post(path, &Value::Null)
        .await
        .refused(405, "MethodNotAllowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_told_to_who_may_see_the_status() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    admin
        .post("/apis/quorate.dev/v1alpha1/networks", &network("a"))
        .await
        .ok();
    let host = json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "Node", "metadata": {"name": "an1"},
        "spec": {"fencing": {"unprotected": true}},
    });
    admin
        .post("/apis/quorate.dev/v1alpha1/nodes", &host)
        .await
        .ok();
    let operation = json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "FenceOperation", "metadata": {"name": "an1-1"},
        "spec": {"node": "an1", "incarnation": 1, "action": "PowerCycle", "reason": "a test", "requestedBy": "a person"},
    });
    admin
        .post("/apis/quorate.dev/v1alpha1/fenceoperations", &operation)
        .await
        .ok();
    let page = loop {
        let reply = admin.get("/metrics").await;
        assert_eq!(
            reply.headers["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let page = String::from_utf8(reply.body.to_vec()).expect("text");
        // An answered call ends a moment later.
        if page.lines().any(|line| line == "quorate_calls 1") {
            break page;
        }
    };
    for line in [
        "quorate_leader 1",
        "quorate_voters 1",
        "# TYPE quorate_revision gauge",
        "quorate_objects{resource=\"networks\"} 1",
        "quorate_hosts{state=\"Unknown\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}: {page}");
    }
    let of_operations = |line: &str| line.starts_with("quorate_fence_operations{phase=\"");
    assert_eq!(page.lines().filter(|line| of_operations(line)).count(), 1);
    let eve = Subject::person("eve", &[]).expect("a name");
    Http::new(&cluster, 0, Some(&eve))
        .get("/metrics")
        .await
        .refused(403, "Forbidden");
    Http::new(&cluster, 0, None)
        .get("/metrics")
        .await
        .refused(401, "Unauthorized");
}
