//! What bad callers get: a clear refusal, nothing changed, and the server goes on as before.

use quorate_controller::{api::CallLimits, member::Tuning};
use quorate_proto::api::v1::{ApplyRequest, ListRequest, StatusRequest};
use serde_json::json;
use tonic::Code;

use crate::support::{Client, TestCluster, details, network, options, secret, tuning};

async fn apply_text(client: &Client, manifest: impl Into<Vec<u8>>) -> tonic::Status {
    let request = ApplyRequest {
        manifest: manifest.into().into(),
        subresource: String::new(),
        options: Some(options("eve")),
    };
    client
        .objects
        .clone()
        .apply(request)
        .await
        .expect_err("refused")
}

fn billion_laughs() -> String {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let last = format!("*a{},", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{last}]\n"));
    }
    text.push_str("apiVersion: quorate.dev/v1alpha1\nkind: Secret\nmetadata: {name: x}\n");
    text
}

/// What is no manifest of a network, each with what is wrong with it.
pub(crate) fn malformed() -> Vec<(&'static str, String)> {
    let head = "apiVersion: quorate.dev/v1alpha1\nkind: Network\nmetadata:\n  name: lan\n";
    vec![
        ("an alias bomb", billion_laughs()),
        (
            "deep nesting",
            format!("{head}spec: {}", "[".repeat(10_000)),
        ),
        ("deep JSON", "{\"a\":".repeat(10_000)),
        (
            "a key twice",
            format!("{head}spec: {{mtu: 1400, mtu: 9000}}\n"),
        ),
        ("no YAML at all", "\u{0}\u{1}: [".to_owned()),
        ("two objects", format!("{head}---\n{head}")),
        ("no object", String::new()),
        ("no kind", "apiVersion: quorate.dev/v1alpha1\n".to_owned()),
        ("another version", head.replace("v1alpha1", "v9")),
        ("another kind", head.replace("Network", "Netwrok")),
        ("a wrong type", format!("{head}spec: {{mtu: many}}\n")),
        ("spec is a list", format!("{head}spec: [1]\n")),
        (
            "metadata is a text",
            "apiVersion: quorate.dev/v1alpha1\nkind: Network\nmetadata: x\n".to_owned(),
        ),
        ("a name that is none", head.replace("lan", "../etc/passwd")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_manifests_are_refused_and_leave_nothing_behind() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    for (what, manifest) in malformed() {
        let refused = apply_text(&admin, manifest).await;
        assert!(
            matches!(refused.code(), Code::InvalidArgument | Code::NotFound),
            "{what}: {refused}"
        );
        assert!(!refused.message().is_empty(), "{what}");
    }
    for kind in ["network", "secret"] {
        let request = ListRequest {
            kind: kind.into(),
            ..ListRequest::default()
        };
        let left = admin.list(request).await.expect("a list").objects;
        assert!(left.is_empty(), "nothing was written");
    }
    let not_text = apply_text(&admin, vec![0xff, 0xfe, 0x00]).await;
    assert_eq!(not_text.code(), Code::InvalidArgument);
    admin
        .apply("ops", network("lan"))
        .await
        .expect("the server goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_request_is_refused_and_the_connection_goes_on() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let huge = apply_text(&admin, vec![b'#'; 5 << 20]).await;
    assert_eq!(huge.code(), Code::OutOfRange, "{huge}");

    let large = secret("large", json!({"k": "A".repeat(2 << 20)}));
    let refused = admin
        .apply("eve", large)
        .await
        .expect_err("too large to store");
    assert!(
        matches!(
            refused.code(),
            Code::ResourceExhausted | Code::InvalidArgument
        ),
        "{refused}"
    );
    admin
        .apply("ops", network("lan"))
        .await
        .expect("the server goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let slow = Tuning {
        calls: CallLimits {
            calls_per_second: 3.0,
            ..CallLimits::default()
        },
        ..tuning()
    };
    let cluster = TestCluster::of_one_with(slow).await;
    let admin = cluster.admin(0).await;
    let refused = loop {
        // All at once: one after the other may be slow enough on a busy machine.
        let calls = (0..32).map(|_| {
            admin.list(ListRequest {
                kind: "network".into(),
                ..ListRequest::default()
            })
        });
        let answers = futures_util::future::join_all(calls).await;
        if let Some(refused) = answers.into_iter().find_map(Result::err) {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = details(&refused);
    assert_eq!(details["reason"], "TooManyRequests");
    assert_eq!(details["details"]["retryAfterSeconds"], 1);
}

/// Stock tools find their way: health without a certificate, reflection with one.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_to_everybody_and_the_contract_to_known_callers() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    let cluster = TestCluster::of_one().await;
    let stranger = cluster.channel(0, None).await;
    for service in ["", "quorate.leader"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let reply = HealthClient::new(stranger.clone())
            .check(request)
            .await
            .expect("answered");
        assert_eq!(
            reply.into_inner().status(),
            ServingStatus::Serving,
            "{service}"
        );
    }
    let refused = Client::new(stranger)
        .cluster
        .status(StatusRequest {})
        .await
        .expect_err("a stranger");
    assert_eq!(refused.code(), Code::Unauthenticated);
}
