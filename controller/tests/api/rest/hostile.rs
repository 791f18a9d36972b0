//! What no client would send.

use bytes::Bytes;
use http::Method;
use quorate_controller::{api::CallLimits, member::Tuning};
use quorate_identity::Subject;
use serde_json::json;

use super::client::{Http, path, request};
use crate::{
    hostile::malformed,
    support::{TestCluster, network, tuning},
};

/// A small generator: the same requests every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const STEPS: &[&str] = &[
    "api",
    "apis",
    "v1",
    "v1alpha1",
    "quorate.dev",
    "networks",
    "secrets",
    "events",
    "namespaces",
    "default",
    "a",
    "status",
    "scale",
    "openapi",
    "v2",
    "v3",
    "authorization.k8s.io",
    "selfsubjectaccessreviews",
    "customresourcedefinitions",
    "apiextensions.k8s.io",
    "%2e%2e",
    "..",
    "%00",
    "%ff",
    "%2f",
    ".",
    "healthz",
    "a%20b",
    "%F0%9F%A6%80",
    "watch",
];
const QUERIES: &[&str] = &[
    "",
    "watch=1&timeoutSeconds=1",
    "limit=-1",
    "limit=1",
    "continue=AAAA",
    "labelSelector=%28%28",
    "fieldSelector=metadata.name%3Da",
    "resourceVersion=18446744073709551615",
    "resourceVersion=0",
    "dryRun=All",
    "fieldManager=%00",
    "fieldManager=x&force=true",
    "%zz",
    "a=%",
    "=&=&&",
    "sendInitialEvents=true",
    "timeoutSeconds=99999999999999999999",
    "includeObject=Object",
    "propagationPolicy=Orphan",
    "fieldValidation=Strict",
];
const BODIES: &[&str] = &[
    "",
    "null",
    "[]",
    "{}",
    "{",
    "\u{0}",
    "[[[[[[",
    "{\"a\":1}{\"b\":2}",
    "- - -",
    "a: &a [*a]",
    "k8s\u{0}\u{1}\u{2}",
    "{\"apiVersion\":\"quorate.dev/v1alpha1\",\"kind\":\"Network\"}",
    "{\"apiVersion\":\"quorate.dev/v1alpha1\",\"kind\":\"Network\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"addressing\":\"None\"}}",
    "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[]}",
    "[{\"op\":\"remove\",\"path\":\"\"}]",
    "{\"metadata\":null}",
    "{\"metadata\":{\"finalizers\":[\"\"]}}",
];
const TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
    "",
    "application/vnd.kubernetes.protobuf",
];
const METHODS: [Method; 7] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
];

fn anything(dice: &mut Dice) -> http::Request<http_body_util::Full<Bytes>> {
    let mut to = match dice.roll(3) {
        0 => String::new(),
        1 => path(dice.pick(&["networks", "secrets", "nodes", "roles"])),
        _ => format!("{}/a", path("networks")),
    };
    for _ in 0..dice.roll(4) {
        to.push('/');
        to.push_str(dice.pick(STEPS));
    }
    if !to.starts_with('/') {
        to.insert(0, '/');
    }
    to.push('?');
    to.push_str(dice.pick(QUERIES));
    let method = METHODS[dice.roll(METHODS.len())].clone();
    let headers = [("content-type", dice.pick(TYPES))];
    request(method, &to, &headers, dice.pick(BODIES))
}

/// Whoever has no rights changes nothing and learns nothing, and nothing makes the member stumble.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_nonsense_passes_without_a_trace() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    admin.post(&path("networks"), &network("a")).await.ok();
    let before = admin.get(&path("networks")).await.ok();

    let stranger = Http::new(&cluster, 0, None);
    let eve = Subject::person("eve", &[]).expect("a name");
    let eve = Http::new(&cluster, 0, Some(&eve));
    let mut dice = Dice(0x5eed);
    for _ in 0..300 {
        let asked = anything(&mut dice);
        let words = format!("{} {}", asked.method(), asked.uri());
        let who = if dice.roll(2) == 0 { &stranger } else { &eve };
        let reply = who.send(asked).await;
        assert!(reply.code.as_u16() < 500, "{words}: {reply:?}");
        let text = String::from_utf8_lossy(&reply.body);
        assert!(!text.contains("rollbackAfter\":\"30s"), "{words}: {text}");
    }
    let after = admin.get(&path("networks")).await.ok();
    assert_eq!(after["items"], before["items"]);
}

/// The same from somebody who may do everything: mistakes, but no faults of the server.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_from_an_administrator_is_refused_and_never_a_fault() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    let mut dice = Dice(0xad_317);
    for _ in 0..300 {
        let asked = anything(&mut dice);
        let words = format!("{} {}", asked.method(), asked.uri());
        let reply = admin.send(asked).await;
        assert!(reply.code.as_u16() < 500, "{words}: {reply:?}");
        if !reply.code.is_success() && !reply.body.is_empty() {
            assert_eq!(reply.json()["kind"], "Status", "{words}");
        }
    }
    admin.get("/readyz").await;
}

/// By every verb that takes an object.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_refused_and_leave_nothing_behind() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    let head = "apiVersion: quorate.dev/v1alpha1\nkind: Network\nmetadata:\n  name: lan\n";
    let mut bodies = malformed();
    bodies.extend([
        (
            "deep JSON that is closed",
            format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)),
        ),
        (
            "a key twice in JSON",
            format!("{{\"kind\":\"Secret\",{}", &network("lan").to_string()[1..]),
        ),
        (
            "a number beyond all bounds",
            format!("{head}spec: {{mtu: 1e999}}\n"),
        ),
    ]);
    let one = format!("{}/lan", path("networks"));
    for (what, body) in &bodies {
        for (method, to, kind) in [
            (Method::POST, path("networks"), "application/yaml"),
            (Method::PUT, one.clone(), "application/yaml"),
            (
                Method::PATCH,
                format!("{one}?fieldManager=x"),
                "application/apply-patch+yaml",
            ),
            (Method::PATCH, one.clone(), "application/merge-patch+json"),
            (Method::PATCH, one.clone(), "application/json-patch+json"),
        ] {
            let asked = request(method, &to, &[("content-type", kind)], body);
            let reply = admin.send(asked).await;
            assert!(
                reply.code.is_client_error(),
                "{what} as {kind}: {}",
                reply.code
            );
            assert_eq!(reply.json()["kind"], "Status", "{what} as {kind}");
        }
    }
    for plural in ["networks", "secrets"] {
        let left = admin.get(&path(plural)).await.ok();
        assert_eq!(left["items"], json!([]), "nothing was written");
    }
    admin.post(&path("networks"), &network("lan")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_its_sender_reads_why() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    let long = format!(
        "{}?fieldSelector={}",
        path("networks"),
        "a".repeat(20 << 10)
    );
    admin.get(&long).await.refused(413, "RequestEntityTooLarge");
    let mut large = network("a");
    large["metadata"]["annotations"] = json!({"x": "A".repeat(5 << 20)});
    admin
        .post(&path("networks"), &large)
        .await
        .refused(413, "RequestEntityTooLarge");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_too_much_at_once_is_told_to_wait() {
    let cluster = TestCluster::of_one_with(Tuning {
        calls: CallLimits {
            watches: 1,
            ..CallLimits::default()
        },
        ..tuning()
    })
    .await;
    let admin = Http::admin(&cluster);
    let watch = format!("{}?watch=1", path("networks"));
    let first = admin.watch(&watch).await;
    assert!(first.code.is_success());
    let reply = admin.get(&watch).await;
    assert_eq!(reply.headers["retry-after"], "1");
    reply.refused(429, "TooManyRequests");
    // Room is made when a watcher hangs up.
    drop(first);
    loop {
        let again = admin.watch(&format!("{watch}&timeoutSeconds=1")).await;
        if again.code.is_success() {
            break;
        }
        tokio::task::yield_now().await;
    }
}
