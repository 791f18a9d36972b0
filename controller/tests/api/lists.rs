//! Lists: selectors and pages. Kubernetes documentation, "API concepts: Retrieving large results sets in chunks" and
//! "Labels and Selectors".

use quorate_proto::api::v1::{ListReply, ListRequest};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Client, TestCluster, details, network, secret};

fn names(reply: &ListReply) -> Vec<String> {
    reply
        .objects
        .iter()
        .map(|bytes| serde_json::from_slice::<Value>(bytes).expect("JSON"))
        .map(|object| {
            object["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned()
        })
        .collect()
}

fn all(kind: &str) -> ListRequest {
    ListRequest {
        kind: kind.into(),
        ..ListRequest::default()
    }
}

async fn some_networks(admin: &Client, names: &[&str]) {
    for name in names {
        let mut object = network(name);
        object["metadata"]["labels"] = json!({"first": &name[..1], "name": name});
        admin.create(object).await.expect("created");
    }
}

/// Equality- and set-based label selectors; field selectors.
#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose_by_labels_and_by_fields() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    some_networks(&admin, &["aa", "ab", "ba"]).await;
    admin.create(network("bare")).await.expect("created");

    let labels = [
        ("first=a", vec!["aa", "ab"]),
        ("first!=a", vec!["ba", "bare"]),
        ("name in (aa,ba)", vec!["aa", "ba"]),
        ("name notin (aa,ba),first", vec!["ab"]),
        ("!first", vec!["bare"]),
    ];
    for (selector, wanted) in labels {
        let request = ListRequest {
            label_selector: selector.into(),
            ..all("networks")
        };
        assert_eq!(
            names(&admin.list(request).await.expect(selector)),
            wanted,
            "{selector}"
        );
    }
    let fields = [
        ("metadata.name=ab", vec!["ab"]),
        (
            "metadata.name!=ab,spec.addressing=None",
            vec!["aa", "ba", "bare"],
        ),
    ];
    for (selector, wanted) in fields {
        let request = ListRequest {
            field_selector: selector.into(),
            ..all("networks")
        };
        assert_eq!(
            names(&admin.list(request).await.expect(selector)),
            wanted,
            "{selector}"
        );
    }
    let bad = ListRequest {
        label_selector: "a in (".into(),
        ..all("networks")
    };
    assert_eq!(
        admin.list(bad).await.expect_err("no selector").code(),
        Code::InvalidArgument
    );
}

/// "limit" and "continue": all pages show the revision of the first, whatever happens in between;
/// remainingItemCount.
#[tokio::test(flavor = "multi_thread")]
async fn all_pages_show_the_revision_of_the_first() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    some_networks(&admin, &["a", "b", "c", "d", "e"]).await;

    let first = ListRequest {
        limit: 2,
        ..all("network")
    };
    let first = admin.list(first).await.expect("a page");
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.remaining, 3);

    admin.delete("network", "d").await.expect("deleted");
    some_networks(&admin, &["cc"]).await;
    let next = |token: &str| ListRequest {
        limit: 2,
        continue_token: token.into(),
        ..all("network")
    };
    let second = admin
        .list(next(&first.continue_token))
        .await
        .expect("a page");
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second.remaining, 1);
    assert_eq!(second.resource_version, first.resource_version);
    let third = admin
        .list(next(&second.continue_token))
        .await
        .expect("a page");
    assert_eq!(names(&third), ["e"]);
    assert_eq!(third.continue_token, "");

    let now = admin.list(all("network")).await.expect("a list");
    assert_eq!(names(&now), ["a", "b", "c", "cc", "e"]);
}

/// The default limit of gRPC clients is 4 MiB, and an object may have 1.5 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_objects_is_small_enough_for_any_client() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let large = "A".repeat(1_400_000);
    for name in ["a", "b", "c", "d"] {
        let object = secret(name, json!({ "large": large }));
        admin.create(object).await.expect("created");
    }

    let mut request = all("secret");
    let mut seen = Vec::new();
    loop {
        let page = admin.list(request.clone()).await.expect("a page");
        let bytes: usize = page.objects.iter().map(|object| object.len()).sum();
        assert!(bytes < 4 << 20, "{bytes} bytes on a page");
        seen.extend(names(&page));
        if page.continue_token.is_empty() {
            break;
        }
        request.continue_token = page.continue_token;
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
}

/// Pages work with selectors too; a full last page has no successor.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_selection_hold_selected_objects_only() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    some_networks(&admin, &["a1", "b1", "a2", "b2", "a3"]).await;
    let request = |token: String| ListRequest {
        limit: 2,
        label_selector: "first=a".into(),
        continue_token: token,
        ..all("network")
    };
    let first = admin.list(request(String::new())).await.expect("a page");
    assert_eq!(names(&first), ["a1", "a2"]);
    let second = admin
        .list(request(first.continue_token))
        .await
        .expect("a page");
    assert_eq!(names(&second), ["a3"]);
    assert_eq!(second.continue_token, "");
}

/// "410 ResourceExpired" for a continue token whose revision was compacted.
#[tokio::test(flavor = "multi_thread")]
async fn a_continue_token_expires_with_its_revision() {
    let cluster = TestCluster::that_keeps(8).await;
    let admin = cluster.admin(0).await;
    some_networks(&admin, &["a", "b", "c"]).await;
    let first = ListRequest {
        limit: 1,
        ..all("network")
    };
    let first = admin.list(first).await.expect("a page");
    admin.make_others().await;
    let next = ListRequest {
        continue_token: first.continue_token,
        ..all("network")
    };
    let refused = admin.list(next).await.expect_err("expired");
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(details(&refused)["reason"], "Expired");
}

/// A token is for the kind it was issued for, and nothing else is a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_continue_token_is_refused() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    some_networks(&admin, &["a", "b"]).await;
    let first = ListRequest {
        limit: 1,
        ..all("network")
    };
    let token = admin.list(first).await.expect("a page").continue_token;
    for (kind, token) in [("secret", token.as_str()), ("network", "garbage")] {
        let request = ListRequest {
            continue_token: token.into(),
            ..all(kind)
        };
        let refused = admin.list(request).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

/// Short names and plurals name kinds; an unknown kind brings a suggestion.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_have_several_names_and_a_near_miss_is_recognised() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    for kind in [
        "vm",
        "VirtualMachine",
        "virtualmachines",
        "virtualmachines.quorate.dev",
    ] {
        admin.list(all(kind)).await.expect(kind);
    }
    let refused = admin
        .list(all("VirtualMachin"))
        .await
        .expect_err("no such kind");
    assert_eq!(refused.code(), Code::NotFound);
    assert!(
        refused.message().contains("\"VirtualMachine\""),
        "{}",
        refused.message()
    );
}
