//! Who is let in by whom, over real TLS 1.3 handshakes in memory.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use quorate_identity::{
    Authority, Clock, Credentials, Dates, JoinToken, KeyRequest, LiveCredentials, Peer, Subject,
    Trust, VALIDITY, explain_tls_error, joining_client_config,
};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

const TODAY: &str = "2026-06-01T12:00:00Z";

fn today() -> Timestamp {
    TODAY.parse().expect("a time")
}

fn years(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n * 365 * 24)
}

/// A cluster whose certificates were all issued on one day.
struct Cluster {
    authority: Authority,
}

impl Cluster {
    fn new() -> Self {
        Self::born(today())
    }

    fn born(at: Timestamp) -> Self {
        Self {
            authority: Authority::create("anvil", Arc::new(at)).expect("an authority"),
        }
    }

    fn issue(&self, subject: &Subject) -> Arc<LiveCredentials> {
        let addresses = ["10.20.0.1:7443".to_owned(), "an-a01n01".to_owned()];
        LiveCredentials::new(
            Credentials::issue(&self.authority, subject, &addresses).expect("a certificate"),
        )
    }

    fn trust(&self, now: Timestamp) -> Trust {
        let clock: Arc<dyn Clock> = Arc::new(now);
        Trust::from_pem(&self.authority.certificate_pem(), clock).expect("trust")
    }

    /// Member 1, whose clock says `now`.
    fn server(&self, now: Timestamp) -> ServerConfig {
        self.trust(now)
            .server_config(self.issue(&Subject::member(1)))
            .expect("settings")
    }

    fn client(&self, subject: &Subject) -> ClientConfig {
        self.trust(today())
            .client_config(Some(self.issue(subject)), Dates::Checked)
            .expect("settings")
    }
}

/// Shakes hands, has the client send a byte, and tells whom the server saw.
fn connect(client: ClientConfig, server: ServerConfig) -> Result<Option<Peer>, String> {
    let name = "10.20.0.1".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    client.writer().write_all(b"?").expect("buffered");
    loop {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("in memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("in memory");
        }
        let verdict = server.process_new_packets();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("in memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("in memory");
        }
        client
            .process_new_packets()
            .map_err(|error| explain_tls_error(&error).expect("a TLS error"))?;
        verdict.map_err(|error| format!("server: {error}"))?;
        if matches!(server.reader().read(&mut [0]), Ok(1)) {
            return Ok(server
                .peer_certificates()
                .map(|chain| Peer::from_certificate(&chain[0]).expect("readable")));
        }
    }
}

#[test]
fn the_server_sees_whom_the_certificate_names() {
    let cluster = Cluster::new();
    let alice = Subject::person("alice@example.org", &["ops".into(), "dev".into()]).expect("named");

    let seen = connect(cluster.client(&alice), cluster.server(today()))
        .expect("let in")
        .expect("a certificate");

    assert_eq!(seen.subject, alice);
    assert_eq!(seen.subject.groups(), ["dev", "ops"]);
    assert!(!seen.is_expired(today()));
    assert!(seen.is_expired(today() + VALIDITY + SignedDuration::from_secs(1)));
}

#[test]
fn what_a_request_asks_for_besides_its_key_is_ignored() {
    let cluster = Cluster::new();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params =
        rcgen::CertificateParams::new(["member.quorate.internal".to_owned()]).expect("parameters");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "quorate:member:1");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let request = params.serialize_request(&key).expect("a request");

    let eve = Subject::person("eve", &[]).expect("named");
    let chain = cluster
        .authority
        .issue(&request.pem().expect("text"), &eve, &[])
        .expect("issued");

    let credentials = Credentials::from_pem(&chain, &key.serialize_pem()).expect("a pair");
    assert_eq!(credentials.peer().subject, eve);
    let server = cluster
        .trust(today())
        .server_config(LiveCredentials::new(credentials))
        .expect("settings");
    let refusal = connect(cluster.client(&Subject::admin()), server).expect_err("no member");
    assert!(refusal.contains("not a Quorate member"), "{refusal}");
}

#[test]
fn who_shows_no_certificate_is_let_in_as_nobody() {
    let cluster = Cluster::new();
    let client = cluster
        .trust(today())
        .client_config(None, Dates::Checked)
        .expect("settings");
    assert_eq!(connect(client, cluster.server(today())), Ok(None));
}

#[test]
fn a_certificate_of_another_clusters_authority_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let stranger = ours
        .trust(today())
        .client_config(Some(theirs.issue(&Subject::admin())), Dates::Checked)
        .expect("settings");
    let refusal = connect(stranger, ours.server(today())).expect_err("a stranger");
    assert!(refusal.contains("refused our certificate"), "{refusal}");
}

#[test]
fn a_server_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let refusal = connect(ours.client(&Subject::admin()), theirs.server(today()))
        .expect_err("another cluster");
    assert!(refusal.contains("another cluster"), "{refusal}");
}

#[test]
fn a_stolen_host_certificate_cannot_play_the_server() {
    let cluster = Cluster::new();
    let node = Subject::node("an-a01n01").expect("named");
    let server = cluster
        .trust(today())
        .server_config(cluster.issue(&node))
        .expect("settings");
    let refusal = connect(cluster.client(&Subject::admin()), server).expect_err("no member");
    assert!(refusal.contains("not a Quorate member"), "{refusal}");
}

#[test]
fn an_expired_certificate_is_let_in_and_known_to_be_expired() {
    let cluster = Cluster::new();
    let later = today() + years(3);
    let seen = connect(cluster.client(&Subject::admin()), cluster.server(later))
        .expect("let in")
        .expect("a certificate");
    assert!(seen.is_expired(later));
}

#[test]
fn people_are_told_of_a_members_expired_certificate_and_daemons_go_on() {
    let cluster = Cluster::new();
    let later = cluster.trust(today() + years(3));
    let own = cluster.issue(&Subject::admin());

    let person = later
        .client_config(Some(own.clone()), Dates::Checked)
        .expect("settings");
    let refusal = connect(person, cluster.server(today())).expect_err("expired");
    assert!(refusal.contains("expired"), "{refusal}");

    let daemon = later
        .client_config(Some(own), Dates::Ignored)
        .expect("settings");
    connect(daemon, cluster.server(today())).expect("any date will do");
}

#[test]
fn a_cluster_whose_clocks_are_dead_still_talks() {
    let cluster = Cluster::new();
    let dead = Timestamp::UNIX_EPOCH;
    let client = cluster
        .trust(dead)
        .client_config(Some(cluster.issue(&Subject::admin())), Dates::Checked)
        .expect("settings");
    let seen = connect(client, cluster.server(dead))
        .expect("let in")
        .expect("a certificate");
    assert!(!seen.is_expired(dead));
}

#[test]
fn what_an_authority_with_a_dead_clock_issues_is_valid_once_the_clock_is_set() {
    let healthy = Cluster::new();
    let dead = Authority::from_pem(
        &healthy.authority.certificate_pem(),
        &healthy.authority.key_pem(),
        Arc::new(Timestamp::UNIX_EPOCH),
    )
    .expect("the same authority");
    let renewed = Credentials::issue(&dead, &Subject::member(1), &[]).expect("issued");
    assert!(!renewed.peer().is_expired(today()));
}

#[test]
fn a_joiner_talks_to_nobody_but_the_cluster_of_its_token() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let token = JoinToken::generate(ours.authority.hash()).expect("random");
    let clock: Arc<dyn Clock> = Arc::new(today());
    let joiner = || joining_client_config(&token, &clock).expect("settings");

    assert_eq!(connect(joiner(), ours.server(today())), Ok(None));
    let refusal = connect(joiner(), theirs.server(today())).expect_err("another cluster");
    assert!(
        refusal.contains("another cluster than the token"),
        "{refusal}"
    );

    token
        .verify_authority(&ours.authority.certificate_pem())
        .expect("the right one");
    token
        .verify_authority(&theirs.authority.certificate_pem())
        .expect_err("another one");
}

#[test]
fn renewed_credentials_are_shown_from_the_next_handshake_on() {
    let cluster = Cluster::new();
    let own = cluster.issue(&Subject::admin());
    let client = cluster
        .trust(today())
        .client_config(Some(own.clone()), Dates::Checked)
        .expect("settings");
    let first = connect(client.clone(), cluster.server(today())).expect("let in");

    own.replace(cluster.issue(&Subject::admin()).current());

    let second = connect(client, cluster.server(today())).expect("let in");
    assert_ne!(
        first.expect("a certificate").serial,
        second.expect("a certificate").serial
    );
}

#[test]
fn an_authority_and_credentials_come_back_from_their_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let cluster = Cluster::new();
    cluster
        .authority
        .save(&file("ca.crt"), &file("ca.key"))
        .expect("saved");
    let own = cluster.issue(&Subject::member(3)).current();
    own.save(&file("member.crt"), &file("member.key"))
        .expect("saved");

    let authority =
        Authority::load(&file("ca.crt"), &file("ca.key"), Arc::new(today())).expect("loaded");
    assert_eq!(authority.hash(), cluster.authority.hash());
    let loaded = Credentials::load(&file("member.crt"), &file("member.key")).expect("loaded");
    assert_eq!(loaded.peer(), own.peer());
    assert_eq!(loaded.peer().subject.member_id(), Some(3));
}

#[test]
fn files_that_do_not_belong_together_are_refused_with_a_way_out() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let error = Authority::from_pem(
        &ours.authority.certificate_pem(),
        &theirs.authority.key_pem(),
        Arc::new(today()),
    )
    .expect_err("two authorities");
    assert!(error.to_string().contains("from another member"), "{error}");

    let key = KeyRequest::generate().expect("a key");
    let chain = ours.issue(&Subject::admin()).current();
    let error = Credentials::from_pem(chain.chain_pem(), key.key()).expect_err("another key");
    assert!(error.to_string().contains("does not belong"), "{error}");
}

#[test]
fn foreign_bytes_never_panic() {
    let cluster = Cluster::new();
    let credentials = cluster.issue(&Subject::admin()).current();
    let der = credentials.certificates()[0].to_vec();
    for at in 0..der.len() {
        let mut damaged = der.clone();
        damaged[at] ^= 0xff;
        let _ = Peer::from_certificate(&damaged.into());
        let _ = Peer::from_certificate(&der[..at].into());
    }
    let request = KeyRequest::generate().expect("a key");
    let text = request.request();
    for at in 0..text.len() {
        let _ = cluster.authority.issue(&text[..at], &Subject::admin(), &[]);
    }
}
