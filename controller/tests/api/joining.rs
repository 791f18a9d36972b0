//! How machines and people get in with a token, and how nobody else does.

use std::sync::Arc;

use crate::support::*;
use quorate_identity::{
    Clock, Credentials, JoinToken, KeyRequest, LiveCredentials, SystemClock, joining_client_config,
};
use quorate_proto::api::v1::{self as pb, identity_client::IdentityClient};
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};

fn invitation(kind: pb::JoinKind, name: &str) -> pb::CreateJoinTokenRequest {
    pb::CreateJoinTokenRequest {
        kind: kind.into(),
        name: name.into(),
        ..pb::CreateJoinTokenRequest::default()
    }
}

async fn token(admin: &Client, request: pb::CreateJoinTokenRequest) -> pb::CreateJoinTokenReply {
    let reply = admin.cluster.clone().create_join_token(request).await;
    reply.expect("a token").into_inner()
}

/// Joins as `quorate join` does: the server is known by the hash in the token alone.
async fn join(cluster: &TestCluster, request: pb::JoinRequest) -> Result<pb::JoinReply, Status> {
    let token: JoinToken = request.token.parse().expect("a token");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tls = joining_client_config(&token, &clock).expect("settings");
    let address = &cluster.sites[0].config.addresses[0];
    let channel = connect(address, TlsConnector::from(Arc::new(tls)))
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let reply = IdentityClient::new(channel).join(request).await?;
    Ok(reply.into_inner())
}

fn request(token: &str, key: &KeyRequest) -> pb::JoinRequest {
    pb::JoinRequest {
        token: token.to_owned(),
        csr: key.request().to_owned(),
        ..pb::JoinRequest::default()
    }
}

fn key() -> KeyRequest {
    KeyRequest::generate().expect("a key")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_joins_once_and_the_token_is_worth_nothing_after() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut invited = invitation(pb::JoinKind::User, "alice");
    invited.groups = vec!["ops".into()];
    let token = token(&admin, invited).await.token;

    let key = key();
    let reply = join(&cluster, request(&token, &key)).await.expect("let in");
    assert_eq!(reply.kind(), pb::JoinKind::User);
    assert_eq!(reply.cluster_name, "test");
    assert_eq!(reply.endpoints, cluster.sites[0].config.addresses);
    assert!(reply.member.is_none(), "the cluster's keys are for members");
    let parsed: JoinToken = token.parse().expect("a token");
    parsed
        .verify_authority(&reply.ca_certificate)
        .expect("the same authority");

    let own = Credentials::from_pem(&reply.certificate, key.key()).expect("a pair");
    let channel = cluster.channel(0, Some(LiveCredentials::new(own))).await;
    let me = IdentityClient::new(channel)
        .who_am_i(pb::WhoAmIRequest {})
        .await;
    let me = me.expect("known").into_inner();
    assert_eq!(
        (me.user.as_str(), me.groups),
        ("alice", vec!["ops".to_owned()])
    );

    let refusal = join(&cluster, request(&token, &key))
        .await
        .expect_err("used");
    assert_eq!(refusal.code(), Code::Unauthenticated, "{refusal}");
    assert!(refusal.message().contains("used already"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_try_one_token_at_once_exactly_one_gets_in() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let token = token(&admin, invitation(pb::JoinKind::User, "alice"))
        .await
        .token;
    let key = key();

    let tries = (0..8).map(|_| join(&cluster, request(&token, &key)));
    let results = futures_util::future::join_all(tries).await;

    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_certified_costs_no_token() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let token = token(&admin, invitation(pb::JoinKind::Node, "n1"))
        .await
        .token;

    let mut broken = request(&token, &key());
    broken.csr = "hello".into();
    let refusal = join(&cluster, broken).await.expect_err("no request");
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");

    let key = key();
    let reply = join(&cluster, request(&token, &key)).await.expect("let in");
    let own = Credentials::from_pem(&reply.certificate, key.key()).expect("a pair");
    assert_eq!(own.peer().subject.node_name(), Some("n1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guessed_a_mistyped_and_a_revoked_token_let_nobody_in() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let made = token(&admin, invitation(pb::JoinKind::User, "alice")).await;

    // The right form, the right cluster, the wrong secret, for an id that is there and one that is not.
    let guess = JoinToken::generate(cluster.authority.hash()).expect("random");
    let refusal = join(&cluster, request(&guess.reveal(), &key())).await;
    let guessed = refusal.expect_err("a guess");
    assert_eq!(guessed.code(), Code::Unauthenticated, "{guessed}");

    let mut typo = made.token.clone();
    let last = if typo.pop() == Some('A') { 'B' } else { 'A' };
    typo.push(last);
    typo.parse::<JoinToken>()
        .expect_err("noticed before anything is sent");
    let channel = cluster.channel(0, None).await;
    let mut raw = IdentityClient::new(channel);
    let refusal = raw.join(request(&typo, &key())).await.expect_err("a typo");
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    assert!(refusal.message().contains("mistyped"), "{refusal}");

    let mut tokens = admin.cluster.clone();
    let listed = tokens.list_join_tokens(pb::ListJoinTokensRequest {}).await;
    let listed = listed.expect("listed").into_inner().tokens;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, made.id);
    assert_eq!(listed[0].created_by, "admin");
    let revoke = pb::RevokeJoinTokenRequest {
        id: made.id.clone(),
    };
    tokens
        .revoke_join_token(revoke.clone())
        .await
        .expect("revoked");
    let twice = tokens.revoke_join_token(revoke).await.expect_err("gone");
    assert!(
        twice.message().contains("there is no join token"),
        "{twice}"
    );
    let refusal = join(&cluster, request(&made.token, &key())).await;
    let revoked = refusal.expect_err("revoked");
    assert_eq!(
        revoked.message(),
        guessed.message(),
        "a guesser learns nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_lets_nobody_in() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut short = invitation(pb::JoinKind::User, "alice");
    short.valid_seconds = 1;
    let made = token(&admin, short).await;

    while jiff::Timestamp::now().as_second() <= made.expires_unix_seconds {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    let refusal = join(&cluster, request(&made.token, &key())).await;
    assert_eq!(refusal.expect_err("too late").code(), Code::Unauthenticated);
    let mut long = invitation(pb::JoinKind::User, "alice");
    long.valid_seconds = 8 * 24 * 3600;
    let refusal = admin.cluster.clone().create_join_token(long).await;
    assert!(refusal.expect_err("too long").message().contains("7 days"));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_keeps_guessing_is_held_back() {
    let cluster = TestCluster::of_one().await;
    let channel = cluster.channel(0, None).await;
    let mut guesser = IdentityClient::new(channel);
    let key = key();

    let mut held_back = None;
    for _ in 0..50 {
        let guess = JoinToken::generate(cluster.authority.hash()).expect("random");
        let refusal = guesser.join(request(&guess.reveal(), &key)).await;
        let refusal = refusal.expect_err("a guess");
        if refusal.code() == Code::ResourceExhausted {
            held_back = Some(refusal);
            break;
        }
        assert_eq!(refusal.code(), Code::Unauthenticated, "{refusal}");
    }
    let refusal = held_back.expect("held back well before the fiftieth guess");
    assert!(refusal.message().contains("too many attempts"), "{refusal}");
    assert!(details(&refusal)["details"]["retryAfterSeconds"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_handed_what_it_needs_and_is_known_to_the_others() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let mut invited = invitation(pb::JoinKind::Member, "");
    invited.witness = true;
    let token = token(&admin, invited).await.token;
    let key = key();
    let newcomer = |name: &str, address: &str| pb::JoinRequest {
        name: name.into(),
        addresses: vec![address.to_owned()],
        supported_feature_level: 1,
        ..request(&token, &key)
    };

    let taken = cluster.sites[0].config.addresses[0].clone();
    for (wrong, word) in [
        (newcomer("", "10.0.0.2:7443"), "name"),
        (newcomer("m1", "10.0.0.2:7443"), "already called"),
        (newcomer("m2", "10.0.0.2"), "host:port"),
        (newcomer("m2", &taken), "belongs to member"),
    ] {
        let refusal = join(&cluster, wrong).await.expect_err("wrong");
        assert!(refusal.message().contains(word), "{refusal}");
    }

    let reply = join(&cluster, newcomer("m2", "127.0.0.1:9"))
        .await
        .expect("let in");
    let grant = reply.member.expect("a grant");
    assert!(grant.witness);
    assert_eq!(grant.cluster_id, "cluster");
    assert_eq!(grant.history_id, "history");
    assert_eq!(grant.ca_key, cluster.authority.key_pem());
    assert_eq!(grant.secrets_keyring, cluster.keyring.reveal());
    let own = Credentials::from_pem(&reply.certificate, key.key()).expect("a pair");
    assert_eq!(own.peer().subject.member_id(), Some(grant.member_id));
    // What a member tells of the membership follows what is committed.
    let called = || {
        let status = cluster.member(0).store().status();
        let mut members = status.members.into_iter();
        let known = members.find(|member| member.id == grant.member_id);
        known.map(|member| member.name)
    };
    while called().is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(called().as_deref(), Some("m2"));
}
