//! Get and list. Kubernetes documentation, "API concepts".

use http::Method;
use serde_json::json;

use super::client::{Http, path, request};
use crate::support::{TestCluster, network, secret, version};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_the_same_on_both_faces_and_in_both_versions_of_http() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    let rest = Http::admin(&cluster);
    let created = grpc.create(network("a")).await.expect("created").object;

    let one = format!("{}/a", path("networks"));
    assert_eq!(rest.get(&one).await.ok(), created);
    let by_http2 = rest
        .send_by_http2(request(Method::GET, &one, &[], ""))
        .await;
    assert_eq!(by_http2.ok(), created);
    let list = rest.get(&path("networks")).await.ok();
    assert_eq!(list["kind"], "NetworkList");
    assert_eq!(list["apiVersion"], "quorate.dev/v1alpha1");
    assert_eq!(list["items"], json!([created]));

    let applied = rest.post(&path("networks"), &network("b")).await.ok();
    assert_eq!(grpc.get("network", "b").await.expect("there"), applied);
    rest.get(&format!("{}/c", path("networks")))
        .await
        .refused(404, "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_pages_that_show_one_state() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    let rest = Http::admin(&cluster);
    for name in ["a", "b", "c"] {
        grpc.create(network(name)).await.expect("created");
    }
    let first = rest
        .get(&format!("{}?limit=2", path("networks")))
        .await
        .ok();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().expect("a token");
    grpc.delete("network", "c").await.expect("deleted");

    let second = rest
        .get(&format!("{}?limit=2&continue={token}", path("networks")))
        .await
        .ok();
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    assert_eq!(second["metadata"].get("continue"), None);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );

    let exact = format!(
        "{}?resourceVersion={}&resourceVersionMatch=Exact",
        path("networks"),
        first["metadata"]["resourceVersion"].as_str().expect("one")
    );
    let then = rest.get(&exact).await.ok();
    assert_eq!(then["items"].as_array().map(Vec::len), Some(3));
}

/// Most clients look for no continue token when they have set no limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_a_limit_is_whole_however_large() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    let large = "A".repeat(1 << 20);
    for name in ["a", "b", "c", "d"] {
        let object = secret(name, json!({"k": large}));
        grpc.create(object).await.expect("created");
    }
    let list = Http::admin(&cluster).get(&path("secrets")).await.ok();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(4));
    assert_eq!(list["metadata"].get("continue"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_kept_is_gone() {
    let cluster = TestCluster::that_keeps(8).await;
    let grpc = cluster.admin(0).await;
    let old = grpc.create(network("a")).await.expect("created").object;
    grpc.make_others().await;
    let exact = format!(
        "{}?resourceVersion={}&resourceVersionMatch=Exact",
        path("networks"),
        version(&old)
    );
    Http::admin(&cluster)
        .get(&exact)
        .await
        .refused(410, "Expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose_and_nonsense_is_refused() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    let rest = Http::admin(&cluster);
    let mut labelled = network("a");
    labelled["metadata"]["labels"] = json!({"tier": "front"});
    grpc.create(labelled).await.expect("created");
    grpc.create(network("b")).await.expect("created");
    for (query, names) in [
        ("labelSelector=tier%20in%20(front)", vec!["a"]),
        ("labelSelector=!tier", vec!["b"]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
    ] {
        let list = rest
            .get(&format!("{}?{query}", path("networks")))
            .await
            .ok();
        let found: Vec<&str> = list["items"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|item| item["metadata"]["name"].as_str())
            .collect();
        assert_eq!(found, names, "{query}");
    }
    for query in [
        "labelSelector=(",
        "limit=many",
        "continue=x",
        "resourceVersion=x",
    ] {
        rest.get(&format!("{}?{query}", path("networks")))
            .await
            .refused(400, "BadRequest");
    }
}

/// "Receiving resources as Tables" and "metadata only".
#[tokio::test(flavor = "multi_thread")]
async fn an_object_comes_in_the_form_in_which_it_is_asked_for() {
    let cluster = TestCluster::of_one().await;
    cluster
        .admin(0)
        .await
        .create(network("a"))
        .await
        .expect("created");
    let rest = Http::admin(&cluster);
    let networks = path("networks");
    let get = |path: String, accept: &'static str| {
        rest.send(request(Method::GET, &path, &[("accept", accept)], ""))
    };

    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = get(networks.clone(), accept).await.ok();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    let row = &table["rows"][0];
    assert_eq!(row["cells"][0], "a");
    assert_eq!(
        row["cells"].as_array().map(Vec::len),
        table["columnDefinitions"].as_array().map(Vec::len)
    );
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    let whole = get(format!("{networks}?includeObject=Object"), accept)
        .await
        .ok();
    assert_eq!(whole["rows"][0]["object"]["spec"]["addressing"], "None");
    let bare = get(format!("{networks}/a?includeObject=None"), accept)
        .await
        .ok();
    assert_eq!(bare["rows"][0].get("object"), None);

    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let metadata = get(networks.clone(), accept).await.ok();
    assert_eq!(metadata["kind"], "PartialObjectMetadataList");
    assert_eq!(metadata["items"][0]["metadata"]["name"], "a");
    assert_eq!(metadata["items"][0].get("spec"), None);

    get(networks, "application/vnd.kubernetes.protobuf")
        .await
        .refused(406, "NotAcceptable");
}

/// kubectl's `describe` looks among the core's events, by the object's uid.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_where_kubectl_looks_for_them() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    let object = grpc.create(network("a")).await.expect("created").object;
    let event = |name: &str, of: &str| {
        json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "Event",
            "metadata": {"name": name},
            "spec": {
                "regarding": {"kind": "Network", "name": of},
                "reason": "Tested", "note": "by a test", "type": "Warning", "count": 1,
                "firstTimestamp": "2026-01-01T00:00:00Z",
                "lastTimestamp": "2026-01-01T00:00:00Z",
                "reportingController": "test",
            },
        })
    };
    grpc.create(event("a.1", "a")).await.expect("created");
    grpc.create(event("b.1", "b")).await.expect("created");

    let rest = Http::admin(&cluster);
    let uid = object["metadata"]["uid"].as_str().expect("a uid");
    let found = rest
        .get(&format!(
            "/api/v1/events?fieldSelector=involvedObject.name%3Da,involvedObject.uid%3D{uid}"
        ))
        .await
        .ok();
    assert_eq!(found["kind"], "EventList");
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["items"][0]["message"], "by a test");
    let inside = rest.get("/api/v1/namespaces/default/events").await.ok();
    let inside = inside["items"].as_array().expect("a list");
    // The leader has events of its own to tell.
    let ours = inside
        .iter()
        .filter(|event| event["involvedObject"]["kind"] == "Network");
    assert_eq!(ours.count(), 2);
    let elsewhere = rest.get("/api/v1/namespaces/other/events").await.ok();
    assert_eq!(elsewhere["items"], json!([]));
    let one = rest.get("/api/v1/namespaces/default/events/a.1").await.ok();
    assert_eq!(one["involvedObject"]["kind"], "Network");
}
