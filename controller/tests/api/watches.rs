//! Watches. Kubernetes documentation, "API concepts: Efficient detection of changes" and "Watch bookmarks".

use quorate_proto::api::v1::{WatchReply, WatchRequest, WatchType};
use serde_json::{Value, json};
use tonic::{Code, Streaming};

use crate::support::{TestCluster, network, secret, version};

fn of(kind: &str) -> WatchRequest {
    WatchRequest {
        kind: kind.into(),
        ..WatchRequest::default()
    }
}

/// The next event: its type, the object's name (empty for a bookmark) and the whole.
async fn next(watch: &mut Streaming<WatchReply>) -> (WatchType, String, WatchReply) {
    let event = watch
        .message()
        .await
        .expect("the watch goes on")
        .expect("an event");
    let object: Value = serde_json::from_slice(&event.object).unwrap_or_default();
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (event.r#type(), name, event)
}

/// Without a resourceVersion a watch begins with synthetic ADDED events for what is there; a bookmark ends
/// them ("sendInitialEvents"); then changes follow, the last state with a deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_there_and_then_every_change() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin.create(network("a")).await.expect("created");
    let b = admin.create(network("b")).await.expect("created").object;

    let mut watch = admin.watch(of("network")).await.expect("a watch");
    for name in ["a", "b"] {
        let (event, found, _) = next(&mut watch).await;
        assert_eq!((event, found.as_str()), (WatchType::Added, name));
    }
    let (event, _, bookmark) = next(&mut watch).await;
    assert_eq!(event, WatchType::Bookmark);
    assert!(bookmark.initial_end);
    // The leader may have written something of its own since.
    let number = |version: &str| version.parse::<u64>().expect("a number");
    assert!(number(&bookmark.resource_version) >= number(&version(&b)));

    let patch = json!({"spec": {"mtu": 9000}});
    let changed = admin
        .merge("network", "a", patch)
        .await
        .expect("patched")
        .object;
    let (event, name, modified) = next(&mut watch).await;
    assert_eq!((event, name.as_str()), (WatchType::Modified, "a"));
    assert_eq!(
        serde_json::from_slice::<Value>(&modified.object).expect("JSON"),
        changed
    );

    admin.delete("network", "a").await.expect("deleted");
    let (event, name, deleted) = next(&mut watch).await;
    assert_eq!((event, name.as_str()), (WatchType::Deleted, "a"));
    let last: Value = serde_json::from_slice(&deleted.object).expect("JSON");
    assert_eq!(last["spec"], changed["spec"]);
    assert_eq!(version(&last), deleted.resource_version);
    assert_ne!(
        version(&last),
        version(&changed),
        "it carries the version of its deletion"
    );
}

/// A watch from a resourceVersion tells exactly what happened after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_version_misses_nothing_and_repeats_nothing() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let first = admin.create(network("a")).await.expect("created").object;
    for name in ["b", "c"] {
        admin.create(network(name)).await.expect("created");
    }
    let request = WatchRequest {
        resource_version: version(&first),
        ..of("network")
    };
    let mut watch = admin.watch(request).await.expect("a watch");
    for name in ["b", "c"] {
        let (event, found, _) = next(&mut watch).await;
        assert_eq!((event, found.as_str()), (WatchType::Added, name));
    }
}

/// With a selector, an object that begins to match is ADDED, one that ceases to match is DELETED with its last
/// matching state (kube-apiserver's watch cache).
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_leaves_the_selection_is_deleted_for_its_watcher() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin.create(network("a")).await.expect("created");
    let request = WatchRequest {
        label_selector: "on".into(),
        ..of("network")
    };
    let mut watch = admin.watch(request).await.expect("a watch");
    assert_eq!(next(&mut watch).await.0, WatchType::Bookmark);

    let labelled = |label: Value| json!({"metadata": {"labels": {"on": label}}});
    admin
        .merge("network", "a", labelled(json!("1")))
        .await
        .expect("on");
    assert_eq!(next(&mut watch).await.0, WatchType::Added);
    admin
        .merge("network", "a", labelled(json!("2")))
        .await
        .expect("still on");
    assert_eq!(next(&mut watch).await.0, WatchType::Modified);
    admin
        .merge("network", "a", labelled(Value::Null))
        .await
        .expect("off");
    let (event, _, left) = next(&mut watch).await;
    assert_eq!(event, WatchType::Deleted);
    let last: Value = serde_json::from_slice(&left.object).expect("JSON");
    assert_eq!(last["metadata"]["labels"]["on"], "2");
}

/// "410 Gone" for a resourceVersion that is no longer kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_compacted_version_is_told_so() {
    let cluster = TestCluster::that_keeps(8).await;
    let admin = cluster.admin(0).await;
    let old = admin.create(network("a")).await.expect("created").object;
    admin.make_others().await;
    let request = WatchRequest {
        resource_version: version(&old),
        ..of("network")
    };
    assert_eq!(
        admin.watch(request).await.expect_err("expired").code(),
        Code::OutOfRange
    );
}

/// A watcher that does not read is cut off when history has left it behind, and no writer waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_is_cut_off_and_slows_nobody() {
    let cluster = TestCluster::that_keeps(64).await;
    let admin = cluster.admin(0).await;
    let mut watch = cluster
        .admin(0)
        .await
        .watch(of("secret"))
        .await
        .expect("a watch");
    assert_eq!(next(&mut watch).await.0, WatchType::Bookmark);

    // More than the connection's windows hold, so that the server cannot get rid of it.
    let large = "A".repeat(1 << 20);
    let writer = admin.clone();
    for n in 0..48 {
        let object = secret(&format!("s{}", n % 4), json!({"k": large}));
        writer.apply("w", object).await.expect("written");
        let label = json!({"metadata": {"labels": {"n": n.to_string()}}});
        writer
            .merge("secret", &format!("s{}", n % 4), label)
            .await
            .expect("written");
    }
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the watch ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::OutOfRange);
}
