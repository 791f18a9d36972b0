//! Who is refused what, over the real API: wrong authorities, expired certificates, hosts that were
//! broken into, viewers that write, and people who want more than they have.

use std::sync::Arc;

use crate::support::*;
use quorate_controller::secrets;
use quorate_identity::{
    Authority, Credentials, Dates, LiveCredentials, Subject, SystemClock, Trust,
};
use quorate_proto::{
    api::v1::{self as pb, identity_client::IdentityClient},
    raft::v1::{Frame, raft_client::RaftClient},
};
use quorate_store::Bucket;
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;
use tonic::Code;

fn node(name: &str) -> Subject {
    Subject::node(name).expect("a name")
}

fn person(name: &str, groups: &[&str]) -> Subject {
    let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    Subject::person(name, &groups).expect("a name")
}

pub(crate) fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn binding(name: &str, role: &str, user: &str) -> Value {
    object(
        "RoleBinding",
        name,
        json!({"role": role, "subjects": [{"kind": "User", "name": user}]}),
    )
}

/// One record of a host's plan that refers to one Secret.
pub(crate) fn plan(node: &str, record: &str, secret: &str) -> Value {
    object(
        "NodePlan",
        record,
        json!({
            "node": node,
            "incarnation": 1,
            "term": 1,
            "planGeneration": 1,
            "assignment": {
                "object": {"kind": "VirtualMachine", "name": "web"},
                "epoch": 1,
                "active": true,
                "secrets": [{"secret": secret, "key": "password"}],
            },
        }),
    )
}

/// What an authority issued long ago.
pub(crate) fn expired(cluster: &TestCluster, subject: &Subject) -> Arc<LiveCredentials> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let authority = rcgen::KeyPair::from_pem(&cluster.authority.key_pem()).expect("a key");
    let issuer = rcgen::Issuer::from_ca_cert_pem(&cluster.authority.certificate_pem(), authority)
        .expect("the authority");
    let mut params = rcgen::CertificateParams::default();
    let names = &mut params.distinguished_name;
    names.push(rcgen::DnType::CommonName, subject.user());
    names.push(rcgen::DnType::OrganizationName, subject.groups().join(","));
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    let chain = format!(
        "{}{}",
        certificate.pem(),
        cluster.authority.certificate_pem()
    );
    LiveCredentials::new(Credentials::from_pem(&chain, &key.serialize_pem()).expect("a pair"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_gets_no_answer_at_all() {
    let cluster = TestCluster::of_one().await;
    let theirs = Authority::create("test", Arc::new(SystemClock)).expect("an authority");
    let forged = Credentials::issue(&theirs, &Subject::admin(), &[]).expect("issued");

    let trust = Trust::from_pem(&cluster.authority.certificate_pem(), Arc::new(SystemClock));
    let tls = trust
        .expect("trust")
        .client_config(Some(LiveCredentials::new(forged)), Dates::Checked)
        .expect("settings");
    let address = &cluster.sites[0].config.addresses[0];
    // TLS 1.3 tells a client that its certificate was refused only after the client has finished.
    if let Ok(channel) = connect(address, TlsConnector::from(Arc::new(tls))).await {
        let refusal = Client::new(channel).get("secret", "bmc").await;
        let refusal = refusal.expect_err("the server hung up");
        assert_ne!(refusal.code(), Code::NotFound, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_can_be_renewed_and_do_nothing_else() {
    let cluster = TestCluster::of_one().await;
    let late = expired(&cluster, &Subject::admin());
    let channel = cluster.channel(0, Some(late)).await;
    let client = Client::new(channel.clone());

    for refusal in [
        client.get("secret", "bmc").await.expect_err("expired"),
        client
            .create(secret("x", json!({})))
            .await
            .expect_err("expired"),
    ] {
        assert_eq!(refusal.code(), Code::Unauthenticated, "{refusal}");
        assert!(refusal.message().contains("renew it"), "{refusal}");
    }

    let key = quorate_identity::KeyRequest::generate().expect("a key");
    let renewed = IdentityClient::new(channel)
        .renew(pb::RenewRequest {
            csr: key.request().to_owned(),
        })
        .await
        .expect("renewed")
        .into_inner();
    let fresh = Credentials::from_pem(&renewed.certificate, key.key()).expect("a pair");
    assert_eq!(fresh.peer().subject, Subject::admin());
    let channel = cluster.channel(0, Some(LiveCredentials::new(fresh))).await;
    let client = Client::new(channel);
    client
        .create(secret("x", json!({})))
        .await
        .expect("allowed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_nothing_but_joining_is_answered() {
    let cluster = TestCluster::of_one().await;
    let nobody = Client::new(cluster.channel(0, None).await);

    let refusal = nobody.get("vm", "web").await.expect_err("nobody");
    assert_eq!(refusal.code(), Code::Unauthenticated);
    let refusal = nobody.identity.clone().who_am_i(pb::WhoAmIRequest {}).await;
    assert_eq!(refusal.expect_err("nobody").code(), Code::Unauthenticated);
    let refusal = nobody.cluster.clone().status(pb::StatusRequest {}).await;
    assert_eq!(refusal.expect_err("nobody").code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_members_are_heard_on_the_members_transport() {
    let cluster = TestCluster::of_one().await;
    for own in [
        None,
        Some(cluster.credentials(&Subject::admin())),
        Some(cluster.credentials(&node("n1"))),
    ] {
        let channel = cluster.channel(0, own).await;
        let refusal = RaftClient::new(channel).call(Frame::default()).await;
        let refusal = refusal.expect_err("no member");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_host_certificate_reads_its_own_plan_and_no_other() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    for name in ["n1", "n2"] {
        let made = admin.create(object("Node", name, json!({}))).await;
        made.expect("a node");
    }
    for (name, data) in [("mine", "bWluZQ=="), ("theirs", "dGhlaXJz")] {
        let made = admin.create(secret(name, json!({"password": data}))).await;
        made.expect("a secret");
    }
    for record in [plan("n1", "n1-web", "mine"), plan("n2", "n2-web", "theirs")] {
        admin.create(record).await.expect("a plan");
    }
    let thief = cluster.client(0, &node("n1")).await;

    thief.get("node", "n1").await.expect("its own");
    thief.get("nodeplan", "n1-web").await.expect("its own");
    let readable = thief
        .get("secret", "mine")
        .await
        .expect("its plan refers to it");
    assert_eq!(readable["spec"]["data"]["password"], "bWluZQ==");
    let own = pb::ListRequest {
        kind: "nodeplans".into(),
        field_selector: "spec.node=n1".into(),
        ..pb::ListRequest::default()
    };
    let listed = thief.list(own).await.expect("its own");
    // The leader may have written records of its own by now.
    assert!(!listed.objects.is_empty());
    for record in &listed.objects {
        let record: Value = serde_json::from_slice(record).expect("JSON");
        assert_eq!(record["spec"]["node"], "n1", "{record}");
    }

    for (kind, name) in [
        ("node", "n2"),
        ("nodeplan", "n2-web"),
        ("nodeplan", "no-such-record"),
        ("secret", "theirs"),
        ("secret", "no-such-secret"),
        ("vm", "web"),
        ("role", "admin"),
    ] {
        let refusal = thief.get(kind, name).await.expect_err("not its own");
        assert_eq!(
            refusal.code(),
            Code::PermissionDenied,
            "{kind}/{name}: {refusal}"
        );
        assert!(refusal.message().contains("host \"n1\""), "{refusal}");
    }
    for (kind, selector) in [
        ("secrets", ""),
        ("secrets", "metadata.name=mine"),
        ("nodeplans", ""),
        ("nodeplans", "spec.node=n2"),
        ("nodes", ""),
        ("virtualmachines", ""),
    ] {
        let request = pb::ListRequest {
            kind: kind.into(),
            field_selector: selector.into(),
            ..pb::ListRequest::default()
        };
        let refusal = thief.list(request).await.expect_err("not its own");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{kind} {selector}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_host_certificate_writes_its_own_status_and_nothing_else() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    for name in ["n1", "n2"] {
        let made = admin.create(object("Node", name, json!({}))).await;
        made.expect("a node");
    }
    let thief = cluster.client(0, &node("n1")).await;

    let written = thief.write_status("node", "n1", |own| {
        own["status"] = json!({"observedGeneration": 41});
        own["spec"] = json!({"mode": "Maintenance"});
    });
    let written = written.await.object;
    assert_eq!(written["status"]["observedGeneration"], 41);
    let before = admin.get("node", "n2").await.expect("there");
    assert_eq!(written["spec"], before["spec"]);

    let own = written;
    let mut other = before.clone();
    other["status"] = json!({"observedGeneration": 41});
    for refusal in [
        thief.update_part(other, "status").await,
        thief.update(own).await,
        thief.create(object("Node", "n3", json!({}))).await,
        thief
            .create(binding("mine", "admin", "quorate:node:n1"))
            .await,
        thief.delete("node", "n1").await,
    ] {
        let refusal = refusal.expect_err("not its own status");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    }
    // The planner writes other parts of its status meanwhile.
    let after = admin.get("node", "n2").await.expect("there");
    assert_eq!(after["spec"], before["spec"]);
    assert_ne!(after["status"]["observedGeneration"], 41);
    let absent = admin.get("node", "n3").await.expect_err("not created");
    assert_eq!(absent.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_writes_is_refused_nothing_changes_and_the_audit_log_knows() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .create(binding("bob", "viewer", "bob"))
        .await
        .expect("bound");
    admin
        .create(object("Node", "n1", json!({})))
        .await
        .expect("a node");
    let bob = cluster.client(0, &person("bob", &[])).await;
    let before = bob.get("node", "n1").await.expect("a viewer reads");

    for refusal in [
        bob.merge("node", "n1", json!({"spec": {"mode": "Maintenance"}}))
            .await,
        bob.delete("node", "n1").await,
        bob.create(secret("x", json!({}))).await,
        bob.apply("bob", object("Node", "n1", json!({}))).await,
    ] {
        let refusal = refusal.expect_err("a viewer");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
        assert!(refusal.message().contains("viewer"), "{refusal}");
        assert_eq!(details(&refusal)["reason"], "Forbidden");
    }
    let refusal = bob.get("secret", "x").await.expect_err("not even read");
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    let after = bob.get("node", "n1").await.expect("there");
    assert_eq!(
        (&after["spec"], &after["metadata"]["generation"]),
        (&before["spec"], &before["metadata"]["generation"]),
        "the leader may have said something about it; nobody has changed what is wanted"
    );

    let log = cluster.sites[0].config.audit_dir.join("audit.log");
    let lines = loop {
        let lines: Vec<Value> = std::fs::read_to_string(&log)
            .expect("there")
            .split_inclusive('\n')
            // The last one may be half written.
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        if lines.iter().filter(|line| line["user"] == "bob").count() == 4 {
            break lines;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let of_bob: Vec<_> = lines.iter().filter(|line| line["user"] == "bob").collect();
    assert!(
        of_bob.iter().all(|line| line["result"] == "Forbidden"),
        "{of_bob:?}"
    );
    assert_eq!(of_bob[1]["verb"], "delete");
    assert_eq!(of_bob[1]["kind"], "nodes");
    assert_eq!(of_bob[1]["name"], "n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_away_more_than_he_holds() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let keeper = json!({"rules": [
        {"kinds": ["roles", "rolebindings"], "verbs": ["*"]},
        {"kinds": ["nodes"], "verbs": ["get"]},
        {"kinds": ["cluster/tokens"], "verbs": ["get", "update"]},
    ]});
    admin
        .create(object("Role", "keeper", keeper))
        .await
        .expect("a role");
    admin
        .create(binding("eve", "keeper", "eve"))
        .await
        .expect("bound");
    let eve = cluster.client(0, &person("eve", &[])).await;

    let held = json!({"rules": [{"kinds": ["nodes"], "verbs": ["get"]}]});
    eve.create(object("Role", "look", held))
        .await
        .expect("what eve holds");
    eve.create(binding("look", "look", "mallory"))
        .await
        .expect("what eve holds");

    let more = json!({"rules": [{"kinds": ["nodes"], "verbs": ["get", "delete"]}]});
    for refusal in [
        eve.create(object("Role", "more", more.clone())).await,
        eve.update(object("Role", "look", more)).await,
        eve.create(binding("more", "admin", "eve")).await,
        eve.create(binding("later", "not-yet", "eve")).await,
    ] {
        let refusal = refusal.expect_err("more than eve holds");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    }
    let invite = |kind: pb::JoinKind, name: &str, groups: &[&str]| pb::CreateJoinTokenRequest {
        kind: kind.into(),
        name: name.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..pb::CreateJoinTokenRequest::default()
    };
    let mut tokens = eve.cluster.clone();
    for request in [
        invite(pb::JoinKind::User, "mallory", &["quorate:admins"]),
        invite(pb::JoinKind::Member, "", &[]),
        invite(pb::JoinKind::Node, "n1", &[]),
    ] {
        let refusal = tokens.create_join_token(request).await.expect_err("more");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    }
    let request = invite(pb::JoinKind::User, "mallory", &["staff"]);
    tokens
        .create_join_token(request)
        .await
        .expect("mallory may do what eve may");
}

/// A role may allow everything; what the administrators' group alone may do, it does not reach.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_for_everything_does_not_open_the_administrators_group() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .create(binding("eve", "admin", "eve"))
        .await
        .expect("bound");
    let eve = cluster.client(0, &person("eve", &[])).await;

    let request = pb::CreateJoinTokenRequest {
        kind: pb::JoinKind::User.into(),
        name: "mallory".into(),
        groups: vec!["quorate:admins".into()],
        ..pb::CreateJoinTokenRequest::default()
    };
    let refusal = eve.cluster.clone().create_join_token(request).await;
    let refusal = refusal.expect_err("a way to the cluster's keys");
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    assert!(refusal.message().contains("administrators"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_gone_at_once() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .create(binding("bob", "viewer", "bob"))
        .await
        .expect("bound");
    admin
        .create(object("Node", "n1", json!({})))
        .await
        .expect("a node");
    let bob = cluster.client(0, &person("bob", &[])).await;
    bob.get("node", "n1").await.expect("a viewer reads");

    admin.delete("rolebinding", "bob").await.expect("gone");

    let refusal = bob.get("node", "n1").await.expect_err("no longer a viewer");
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_the_right_to_it_is_taken_away() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .create(binding("bob", "viewer", "bob"))
        .await
        .expect("bound");
    let bob = cluster.client(0, &person("bob", &[])).await;
    let request = pb::WatchRequest {
        kind: "node".into(),
        ..pb::WatchRequest::default()
    };
    let mut watch = bob.watch(request).await.expect("a viewer watches");

    admin.delete("rolebinding", "bob").await.expect("gone");
    let telling = tokio::spawn(async move {
        for number in 0.. {
            let node = object("Node", &format!("n{number}"), json!({}));
            admin.create(node).await.expect("a node");
        }
    });

    let refusal = loop {
        if let Err(refusal) = watch.message().await {
            break refusal;
        }
    };
    telling.abort();
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_who_they_are_and_what_they_may() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .create(binding("bob", "viewer", "bob"))
        .await
        .expect("bound");
    let mut bob = cluster.client(0, &person("bob", &["staff"])).await.identity;

    let me = bob
        .who_am_i(pb::WhoAmIRequest {})
        .await
        .expect("known")
        .into_inner();
    assert_eq!(
        (me.user.as_str(), me.groups),
        ("bob", vec!["staff".to_owned()])
    );

    let mut ask = async |verb: &str, kind: &str| {
        let request = pb::CanIRequest {
            verb: verb.into(),
            kind: kind.into(),
            ..pb::CanIRequest::default()
        };
        bob.can_i(request).await.map(tonic::Response::into_inner)
    };
    assert!(ask("get", "vm").await.expect("an answer").allowed);
    let refused = ask("delete", "vm").await.expect("an answer");
    assert!(!refused.allowed);
    assert!(refused.reason.contains("viewer"), "{}", refused.reason);
    let error = ask("destroy", "vm").await.expect_err("not a verb");
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_ciphertext_on_every_disk() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let written = object(
        "Secret",
        "bmc",
        json!({"stringData": {"password": "hunter2hunter2"}}),
    );
    let made = admin
        .apply("tester", written.clone())
        .await
        .expect("made")
        .object;
    assert_eq!(made["spec"]["data"]["password"], "aHVudGVyMmh1bnRlcjI=");
    assert_eq!(
        made["spec"].get("stringData"),
        None,
        "shown once is shown too often"
    );

    let again = admin
        .apply("tester", written)
        .await
        .expect("the same again");
    assert_eq!(again.outcome, pb::Outcome::Unchanged);
    assert_eq!(again.object, made);

    let mut files = vec![cluster.sites[0].dir.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("readable");
            files.extend(entries.map(|entry| entry.expect("readable").path()));
            continue;
        }
        let bytes = std::fs::read(&path).expect("readable");
        for plain in ["hunter2hunter2", "aHVudGVyMmh1bnRlcjI"] {
            let found = bytes
                .windows(plain.len())
                .any(|window| window == plain.as_bytes());
            assert!(!found, "{} holds {plain}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sealed_anew_when_the_keyring_has_a_new_key() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    for name in ["a", "b"] {
        let made = admin.create(secret(name, json!({"k": "dmFsdWU="}))).await;
        made.expect("a secret");
    }
    let store = cluster.member(0).store();
    let both = cluster.keyring.with_new_key().expect("random");

    let resealed = secrets::reseal(store, &both).await.expect("sealed anew");
    assert_eq!(resealed, 2);
    let again = secrets::reseal(store, &both).await.expect("nothing to do");
    assert_eq!(again, 0);

    let new = both.newest_only().expect("a key");
    let bucket = Bucket::new("secrets");
    for (key, stored) in store.view().list(&bucket, None, 10) {
        let mut object: Value = serde_json::from_slice(&stored.value).expect("JSON");
        secrets::open(&new, &mut object).expect("the old key is not needed any more");
        assert_eq!(object["spec"]["data"]["k"], "dmFsdWU=", "{key}");
    }
}
