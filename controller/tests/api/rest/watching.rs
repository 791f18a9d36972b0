//! Watches. Kubernetes documentation, "Efficient detection of changes", "Watch bookmarks", "Streaming lists".

use http::Method;
use serde_json::json;

use super::client::{Http, path};
use crate::support::{TestCluster, network, version};

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_there_and_then_every_change() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    grpc.create(network("a")).await.expect("created");
    let rest = Http::admin(&cluster);
    let mut watch = rest.watch(&format!("{}?watch=1", path("networks"))).await;
    assert!(watch.code.is_success());
    let (event, name, first) = watch.event().await;
    assert_eq!((event.as_str(), name.as_str()), ("ADDED", "a"));

    let mut from = rest
        .watch(&format!(
            "{}?watch=true&resourceVersion={}",
            path("networks"),
            version(&first)
        ))
        .await;
    grpc.merge("network", "a", json!({"spec": {"mtu": 9000}}))
        .await
        .expect("changed");
    grpc.delete("network", "a").await.expect("deleted");
    for watch in [&mut watch, &mut from] {
        let (event, _, object) = watch.event().await;
        assert_eq!(event, "MODIFIED");
        assert_eq!(object["spec"]["mtu"], 9000);
        let (event, name, _) = watch.event().await;
        assert_eq!((event.as_str(), name.as_str()), ("DELETED", "a"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_list_ends_with_a_bookmark_that_says_so() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    let object = grpc.create(network("a")).await.expect("created").object;
    let rest = Http::admin(&cluster);
    let query =
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = rest.watch(&format!("{}?{query}", path("networks"))).await;
    assert_eq!(watch.event().await.0, "ADDED");
    let (event, _, mark) = watch.event().await;
    assert_eq!(event, "BOOKMARK");
    assert_eq!(
        mark["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    // The leader may have written something of its own since.
    let number = |object| version(object).parse::<u64>().expect("a number");
    assert!(number(&mark) >= number(&object));
    assert_eq!(mark["kind"], "Network");
    rest.get(&format!(
        "{}?watch=1&sendInitialEvents=true",
        path("networks")
    ))
    .await
    .refused(400, "BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_version_that_is_gone_is_told_so_inside() {
    let cluster = TestCluster::that_keeps(8).await;
    let grpc = cluster.admin(0).await;
    let old = grpc.create(network("a")).await.expect("created").object;
    grpc.make_others().await;
    let rest = Http::admin(&cluster);
    let from = format!(
        "{}?watch=1&resourceVersion={}",
        path("networks"),
        version(&old)
    );
    let mut watch = rest.watch(&from).await;
    assert!(watch.code.is_success());
    let (event, _, status) = watch.event().await;
    assert_eq!(event, "ERROR");
    assert_eq!(status["code"], 410);
    assert_eq!(status["reason"], "Expired");
    assert!(watch.next().await.is_none(), "and that is all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_time_is_over_and_when_the_member_stops() {
    let mut cluster = TestCluster::of_one().await;
    let rest = Http::admin(&cluster);
    let mut short = rest
        .watch(&format!("{}?watch=1&timeoutSeconds=1", path("networks")))
        .await;
    assert!(short.next().await.is_none());

    let mut long = rest.watch(&format!("{}?watch=1", path("networks"))).await;
    assert!(long.code.is_success());
    let member = cluster.sites[0].member.take().expect("it runs");
    let (_, ended) = tokio::join!(member.stop(), long.next());
    assert!(ended.is_none(), "cleanly, not broken off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_one_object_by_its_path_tells_of_no_other() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    let rest = Http::admin(&cluster);
    let mut watch = rest.watch(&format!("{}/b?watch=1", path("networks"))).await;
    grpc.create(network("a")).await.expect("created");
    grpc.create(network("b")).await.expect("created");
    assert_eq!(watch.event().await.1, "b");
}

/// `kubectl get -w` asks for tables; their columns come once.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_tables_tells_the_columns_once() {
    let cluster = TestCluster::of_one().await;
    let grpc = cluster.admin(0).await;
    for name in ["a", "b"] {
        grpc.create(network(name)).await.expect("created");
    }
    let rest = Http::admin(&cluster);
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = rest
        .watch_as(super::client::request(
            Method::GET,
            &format!("{}?watch=1", path("networks")),
            &[("accept", accept)],
            "",
        ))
        .await;
    let (_, _, first) = watch.event().await;
    assert!(
        first["columnDefinitions"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    assert_eq!(first["rows"][0]["cells"][0], "a");
    let (_, _, second) = watch.event().await;
    assert_eq!(second["columnDefinitions"], json!([]));
    assert_eq!(second["rows"][0]["cells"][0], "b");
}
