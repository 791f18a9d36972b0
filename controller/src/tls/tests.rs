use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use quorate_identity::{
    Authority, Clock, Credentials, Dates, LiveCredentials, MEMBER_NAME, PkiDir, Subject, Trust,
    VALIDITY,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

struct Cluster {
    authority: Arc<Authority>,
    trust: Trust,
    clock: Arc<dyn Clock>,
}

impl Cluster {
    fn new() -> Self {
        let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("a time");
        let clock: Arc<dyn Clock> = Arc::new(now);
        let authority = Authority::create("anvil", clock.clone()).expect("an authority");
        let trust = Trust::from_pem(&authority.certificate_pem(), clock.clone()).expect("trust");
        Self {
            authority: Arc::new(authority),
            trust,
            clock,
        }
    }

    fn issue(&self, subject: &Subject) -> Arc<LiveCredentials> {
        let own = Credentials::issue(&self.authority, subject, &[]).expect("issued");
        LiveCredentials::new(own)
    }

    async fn listen(&self, limits: Limits) -> (SocketAddr, BoxStream<'static, Connection>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = self
            .trust
            .server_config(self.issue(&Subject::member(1)))
            .expect("settings");
        let connections = listen(vec![listener], Arc::new(config), limits);
        let connections = connections.map(|connection| connection.expect("infallible"));
        (address, connections.boxed())
    }

    fn client(&self, subject: &Subject) -> ClientConfig {
        self.trust
            .client_config(Some(self.issue(subject)), Dates::Checked)
            .expect("settings")
    }
}

async fn connect(config: ClientConfig, address: SocketAddr) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from(MEMBER_NAME).expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .expect("let in");
    stream.write_all(b"?").await.expect("sent");
    stream
}

#[tokio::test]
async fn a_connection_carries_the_name_of_whom_it_comes_from() {
    let cluster = Cluster::new();
    let (address, mut connections) = cluster.listen(Limits::default()).await;

    let client = tokio::spawn(connect(cluster.client(&Subject::admin()), address));
    let connection = connections.next().await.expect("a connection");

    let info = tonic::transport::server::Connected::connect_info(&connection);
    let stream = client.await.expect("connected");
    assert_eq!(info.remote, stream.get_ref().0.local_addr().expect("known"));
    assert_eq!(info.peer.expect("a certificate").subject, Subject::admin());
}

#[tokio::test]
async fn handshakes_that_hang_are_cut_off_and_others_get_through() {
    let cluster = Cluster::new();
    let limits = Limits {
        handshakes: 4,
        handshakes_per_source: 4,
        handshake_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let (address, mut connections) = cluster.listen(limits).await;

    let mut silent = Vec::new();
    for _ in 0..limits.handshakes {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }

    // A source that has its fill is turned away until its unfinished handshakes are cut off. Whoever has shaken hands on
    // his side does not know whether the server saw it in time, and tries again as well.
    let config = cluster.client(&Subject::admin());
    let speaks = async {
        let mut open = Vec::new();
        loop {
            let tcp = TcpStream::connect(address).await.expect("connected");
            let name = ServerName::try_from(MEMBER_NAME).expect("a name");
            let connector = TlsConnector::from(Arc::new(config.clone()));
            if let Ok(stream) = connector.connect(name, tcp).await {
                open.push(stream);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = speaks => {}
        connection = connections.next() => drop(connection.expect("the one that speaks")),
    }
}

#[tokio::test]
async fn a_stranger_never_becomes_a_connection() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let (address, mut connections) = ours.listen(Limits::default()).await;
    let stranger = ours
        .trust
        .client_config(Some(theirs.issue(&Subject::admin())), Dates::Checked)
        .expect("settings");

    let tcp = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from(MEMBER_NAME).expect("a name");
    let stream = TlsConnector::from(Arc::new(stranger))
        .connect(name, tcp)
        .await;
    // The next connection is the friend's, the stranger's has left nothing.
    let friend = tokio::spawn(connect(ours.client(&Subject::admin()), address));
    let connection = connections.next().await.expect("a connection");
    let info = tonic::transport::server::Connected::connect_info(&connection);
    let friend = friend.await.expect("connected");
    assert_eq!(info.remote, friend.get_ref().0.local_addr().expect("known"));
    drop(stream);
}

#[tokio::test]
async fn callers_without_a_certificate_cannot_take_every_connection() {
    let cluster = Cluster::new();
    let limits = Limits {
        strangers_per_source: 1,
        ..Limits::default()
    };
    let (address, mut connections) = cluster.listen(limits).await;
    let nobody = cluster
        .trust
        .client_config(None, Dates::Checked)
        .expect("settings");

    let held = tokio::spawn(connect(nobody.clone(), address));
    let first = connections.next().await.expect("a connection");
    let _held = held.await.expect("connected");
    let _turned_away = connect(nobody, address).await;

    let friend = tokio::spawn(connect(cluster.client(&Subject::admin()), address));
    let second = connections.next().await.expect("a connection");
    let info = |connection| tonic::transport::server::Connected::connect_info(connection);
    assert!(info(&first).peer.is_none());
    assert!(info(&second).peer.is_some(), "the one with a certificate");
    friend.await.expect("connected");
}

#[test]
fn a_member_makes_its_certificate_anew_whenever_the_present_one_is_no_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = PkiDir::new(dir.path().join("pki"));
    pki.create().expect("created");
    let cluster = Cluster::new();
    let usable = |now: &dyn Clock, authority: &Authority| {
        usable_credentials(&pki, authority, 1, &[], now).expect("usable")
    };
    let serial = |own: &Credentials| own.peer().serial.clone();

    let first = usable(&*cluster.clock, &cluster.authority);
    let again = usable(&*cluster.clock, &cluster.authority);
    assert_eq!(serial(&first), serial(&again), "a good one is kept");

    let expired = first.peer().not_after + VALIDITY;
    let renewed = usable(&expired, &cluster.authority);
    assert_ne!(serial(&first), serial(&renewed), "an expired one is not");

    std::fs::write(pki.key(), "torn").expect("written");
    let repaired = usable(&*cluster.clock, &cluster.authority);
    assert_ne!(
        serial(&renewed),
        serial(&repaired),
        "nor one without its key"
    );

    let other = Cluster::new();
    let moved = usable(&*other.clock, &other.authority);
    assert!(
        moved.is_issued_by(&other.authority),
        "nor one of another authority"
    );
}

#[tokio::test(start_paused = true)]
async fn a_certificate_in_use_is_renewed_in_time_without_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = PkiDir::new(dir.path());
    let cluster = Cluster::new();
    let own = cluster.issue(&Subject::member(1));
    let before = own.current().peer().serial.clone();
    let in_a_year: Arc<dyn Clock> = Arc::new(own.current().peer().not_after);

    let renewal = tokio::spawn(renew_always(
        own.clone(),
        pki.clone(),
        cluster.authority.clone(),
        Vec::new(),
        in_a_year,
    ));
    while own.current().peer().serial == before {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    renewal.abort();

    let saved = Credentials::load(&pki.certificate(), &pki.key()).expect("saved");
    assert_eq!(saved.peer(), own.current().peer());
}
