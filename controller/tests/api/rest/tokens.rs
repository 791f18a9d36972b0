//! Callers that show an access token and no certificate.

use std::time::Duration;

use http::{Method, StatusCode};
use quorate_identity::{KeyRequest, Subject};
use quorate_proto::api::v1::{self as pb, cluster_client::ClusterClient};
use serde_json::{Value, json};
use tonic::{Code, Status, transport::Channel};

use super::{
    client::{Http, Lines, Reply, path, request},
    rights::bind,
};
use crate::support::{Client, TestCluster, network};

/// A program that knows a token, without any certificate.
struct Program {
    http: Http,
    authorization: String,
}

impl Program {
    fn with(cluster: &TestCluster, at: usize, token: &str) -> Self {
        Self {
            http: Http::new(cluster, at, None),
            authorization: format!("Bearer {token}"),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Reply {
        let headers = [
            ("authorization", self.authorization.as_str()),
            ("content-type", "application/json"),
        ];
        self.http.send(request(method, path, &headers, body)).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, "").await
    }

    async fn watch(&self, path: &str) -> Lines {
        let headers = [("authorization", self.authorization.as_str())];
        self.http
            .watch_as(request(Method::GET, path, &headers, ""))
            .await
    }
}

fn for_user(name: &str) -> pb::CreateAccessTokenRequest {
    pb::CreateAccessTokenRequest {
        user: name.into(),
        ..pb::CreateAccessTokenRequest::default()
    }
}

async fn create(by: &Client, asked: pb::CreateAccessTokenRequest) -> pb::CreateAccessTokenReply {
    let reply = by.cluster.clone().create_access_token(asked).await;
    reply.expect("made").into_inner()
}

async fn refused(by: &Client, asked: pb::CreateAccessTokenRequest) -> Status {
    let reply = by.cluster.clone().create_access_token(asked).await;
    reply.expect_err("not made")
}

async fn revoke(by: &Client, id: &str) {
    let asked = pb::RevokeAccessTokenRequest { id: id.into() };
    let reply = by.cluster.clone().revoke_access_token(asked).await;
    reply.expect("revoked");
}

async fn let_him(admin: &Client, role: &str, user: &str) {
    admin.create(bind(role, user)).await.expect("bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_a_token_is_the_user_of_the_token_and_the_audit_log_names_both() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let token = create(
        &admin,
        pb::CreateAccessTokenRequest {
            groups: vec!["robots".into()],
            ..for_user("flux")
        },
    )
    .await;
    let flux = Program::with(&cluster, 0, &token.token);
    let who = flux
        .ask(
            Method::POST,
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}"#,
        )
        .await
        .ok();
    assert_eq!(
        who["status"]["userInfo"],
        json!({"username": "flux", "groups": ["robots"]})
    );
    let networks = path("networks");
    let refused = flux.get(&networks).await.refused(403, "Forbidden");
    let message = refused["message"].to_string();
    assert!(message.contains("flux"), "{message}");

    let_him(&admin, "operator", "flux").await;
    let created = flux
        .ask(Method::POST, &networks, &network("a").to_string())
        .await;
    assert_eq!(created.code, StatusCode::CREATED);
    flux.get(&format!("{networks}/a")).await.ok();

    let log = cluster.sites[0].config.audit_dir.join("audit.log");
    let line = loop {
        let log = std::fs::read_to_string(&log).expect("an audit log");
        assert!(!log.contains(&token.token), "the log holds the secret");
        // The last one may be half written.
        let lines = log
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let mut lines = lines.map(|line| serde_json::from_str(line).expect("JSON"));
        let ours = |line: &Value| line["user"] == "flux" && line["result"] == "OK";
        if let Some(line) = lines.find(ours) {
            break line;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(line["certificate"], format!("token:{}", token.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_token_is_refused_and_who_goes_on_trying_is_held_back() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let good = create(&admin, for_user("flux")).await.token;
    let other = create(&admin, for_user("flux")).await.token;
    // The id of one with the secret of the other, and its check made right again.
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (mine, theirs) = (parts(&good), parts(&other));
    let mistyped = good.replace(&mine[2], &theirs[2]);
    for (authorization, says) in [
        (format!("Bearer {mistyped}"), "mistyped"),
        ("Bearer hunter2".to_owned(), "not an access token"),
        ("Bearer".to_owned(), "not readable"),
        (good.clone(), "not readable"),
        ("Basic YWRtaW46YWRtaW4=".to_owned(), "not readable"),
    ] {
        let program = Program {
            http: Http::new(&cluster, 0, None),
            authorization: authorization.clone(),
        };
        for path in ["/apis", &path("networks")] {
            let refused = program.get(path).await.refused(401, "Unauthorized");
            let message = refused["message"].to_string();
            assert!(message.contains(says), "{authorization}: {message}");
        }
    }
    let twice = Http::new(&cluster, 0, None);
    let bearer = format!("Bearer {good}");
    let headers = [("authorization", &*bearer), ("authorization", &*bearer)];
    let twice = twice
        .send(request(Method::GET, "/apis", &headers, ""))
        .await;
    twice.refused(401, "Unauthorized");

    let guesser = Program::with(&cluster, 0, "hunter2");
    let mut held_back = false;
    for _ in 0..20 {
        held_back |= guesser.get("/apis").await.code == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(held_back);
    // Who has a good one is not held back by that, from wherever it comes.
    let flux = Program::with(&cluster, 0, &good);
    flux.get("/apis").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_ends_its_watches_and_every_further_call() {
    let cluster = TestCluster::of_three().await;
    let admin = cluster.admin(0).await;
    let_him(&admin, "viewer", "flux").await;
    let token = create(&admin, for_user("flux")).await;
    let here = Program::with(&cluster, 1, &token.token);
    let mut watch = here.watch(&format!("{}?watch=1", path("networks"))).await;
    assert_eq!(
        watch.code,
        StatusCode::OK,
        "made a moment ago, at another member"
    );
    admin.create(network("a")).await.expect("created");
    assert_eq!(watch.event().await.0, "ADDED");

    revoke(&admin, &token.id).await;
    // What happens within a second of the last look may still be told.
    let mut number = 0;
    let told = loop {
        admin
            .create(network(&format!("b{number}")))
            .await
            .expect("created");
        number += 1;
        let told = watch.next().await.expect("an event or why there is none");
        if told["type"] == "ERROR" {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(told["object"]["code"], 401, "{told}");
    assert_eq!(watch.next().await, None);
    let refused = here
        .get(&path("networks"))
        .await
        .refused(401, "Unauthorized");
    let message = refused["message"].to_string();
    assert!(message.contains("revoked"), "{message}");
    let listed = admin
        .cluster
        .clone()
        .list_access_tokens(pb::ListAccessTokensRequest {})
        .await;
    assert!(listed.expect("listed").into_inner().tokens.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hands_out_more_than_he_holds_or_for_longer_than_a_year() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let_him(&admin, "viewer", "vic").await;
    let vic = Subject::person("vic", &[]).expect("a name");
    let vic = cluster.client(0, &vic).await;
    let no_right = refused(&vic, for_user("vic")).await;
    assert_eq!(no_right.code(), Code::PermissionDenied);

    for wrong in [
        pb::CreateAccessTokenRequest {
            valid_seconds: 400 * 86_400,
            ..for_user("flux")
        },
        for_user("quorate:node:an-a01n01"),
        for_user("quorate:member:1"),
        for_user("two words"),
    ] {
        let refusal = refused(&admin, wrong.clone()).await;
        assert_eq!(refusal.code(), Code::InvalidArgument, "{wrong:?}");
    }
    // Who may make tokens, and is no administrator, makes none for one.
    let role = json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "Role", "metadata": {"name": "tokens"},
        "spec": {"rules": [{"verbs": ["update"], "kinds": ["cluster/tokens"]}]},
    });
    admin.create(role).await.expect("created");
    let_him(&admin, "tokens", "vic").await;
    let_him(&admin, "operator", "opal").await;
    for (more, says) in [
        (
            pb::CreateAccessTokenRequest {
                groups: vec!["quorate:admins".into()],
                ..for_user("vic")
            },
            "administrators",
        ),
        (for_user("opal"), "nobody gives away more than he holds"),
    ] {
        let refusal = refused(&vic, more).await;
        assert_eq!(refusal.code(), Code::PermissionDenied);
        assert!(refusal.message().contains(says), "{refusal}");
    }
    create(&vic, for_user("vic")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_buys_no_certificate_and_opens_nothing_but_the_kubernetes_face() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let token = create(
        &admin,
        pb::CreateAccessTokenRequest {
            groups: vec!["quorate:admins".into()],
            ..for_user("robot")
        },
    )
    .await;
    let channel: Channel = cluster.channel(0, None).await;
    fn with<T>(message: T, token: &str) -> tonic::Request<T> {
        let mut asked = tonic::Request::new(message);
        let value = format!("Bearer {token}").parse().expect("a header");
        asked.metadata_mut().insert("authorization", value);
        asked
    }
    let mut cluster_calls = ClusterClient::new(channel.clone());
    let refused = cluster_calls
        .create_access_token(with(for_user("robot"), &token.token))
        .await
        .expect_err("no certificate");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let csr = KeyRequest::generate().expect("a key").request().to_owned();
    let refused = pb::identity_client::IdentityClient::new(channel)
        .renew(with(pb::RenewRequest { csr }, &token.token))
        .await
        .expect_err("no certificate");
    assert_eq!(refused.code(), Code::Unauthenticated);

    // Where a certificate is shown as well, the certificate says who calls.
    let eve = Subject::person("eve", &[]).expect("a name");
    let both = Http::new(&cluster, 0, Some(&eve));
    let bearer = format!("Bearer {}", token.token);
    let headers = [("authorization", &*bearer)];
    let asked = request(Method::GET, &path("networks"), &headers, "");
    both.send(asked).await.refused(403, "Forbidden");
}
