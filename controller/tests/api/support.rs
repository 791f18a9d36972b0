//! Members in this process, on loopback, with real TLS, and clients to talk to them.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use quorate_controller::{
    cluster_info::ClusterInfo,
    member::{RunningMember, StartError, Tuning},
};
use quorate_identity::{
    Authority, Bootstrap, Credentials, Dates, Keyring, LiveCredentials, MEMBER_NAME, MemberConfig,
    PkiDir, Subject, SystemClock, Trust,
};
use quorate_proto::{
    api::v1::{
        self as pb, cluster_client::ClusterClient, identity_client::IdentityClient,
        objects_client::ObjectsClient,
    },
    client::explanation,
};
use quorate_store::{HistoryLimits, StoreConfig};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Uri},
};

/// A member with its files.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) config: MemberConfig,
    pub(crate) member: Option<RunningMember>,
    _port: TcpSocket,
}

/// A cluster of members in this process.
pub(crate) struct TestCluster {
    pub(crate) sites: Vec<Site>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) keyring: Keyring,
    tuning: Tuning,
}

/// For a member that is alone: nobody else is elected, however long this machine lets it wait, and it leads soon after a
/// restart.
pub(crate) fn tuning() -> Tuning {
    Tuning {
        store: StoreConfig {
            heartbeat: Duration::from_millis(50),
            election_timeout: Duration::from_millis(250),
            propose_timeout: Duration::from_secs(60),
            ..StoreConfig::default()
        },
        ..Tuning::default()
    }
}

/// For several members: who leads goes on to lead, unless a busy machine lets all of them wait for long.
pub(crate) fn tuning_of_several() -> Tuning {
    let mut tuning = tuning();
    tuning.store.election_timeout = Duration::from_secs(5);
    tuning
}

/// An address for a member, and what keeps its port: nobody else is given it, also while the member does not listen there.
fn own_address() -> (String, TcpSocket) {
    let port = TcpSocket::new_v4().expect("a socket");
    port.set_reuseaddr(true)
        .expect("the member may listen there");
    port.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    (port.local_addr().expect("its address").to_string(), port)
}

fn site(name: &str, authority: &Authority, keyring: &Keyring, note: &Bootstrap) -> Site {
    let dir = tempfile::tempdir().expect("a directory");
    let (address, port) = own_address();
    let config = MemberConfig {
        name: name.into(),
        data_dir: dir.path().join("data"),
        pki_dir: dir.path().join("pki"),
        listen: vec![address.parse().expect("an address")],
        addresses: vec![address],
        audit_dir: dir.path().join("audit"),
        // No test here asks the fence devices of this network.
        agent_dirs: vec![dir.path().join("agents")],
        election_timeout_ms: None,
    };
    std::fs::create_dir(&config.data_dir).expect("made");
    let pki = PkiDir::new(&config.pki_dir);
    pki.create().expect("made");
    authority
        .save(&pki.ca_certificate(), &pki.ca_key())
        .expect("saved");
    keyring.save(&pki.keyring()).expect("saved");
    note.write(&config.data_dir).expect("written");
    Site {
        dir,
        config,
        member: None,
        _port: port,
    }
}

impl TestCluster {
    /// A new cluster of one member that leads.
    pub(crate) async fn of_one() -> Self {
        Self::of_one_with(tuning()).await
    }

    /// One that keeps no more than its last changes.
    pub(crate) async fn that_keeps(changes: usize) -> Self {
        let mut short = tuning_of_several();
        short.store.history = HistoryLimits {
            changes,
            bytes: 1 << 20,
        };
        Self::of_one_with(short).await
    }

    /// The same, with a member that is set up otherwise.
    pub(crate) async fn of_one_with(tuning: Tuning) -> Self {
        let authority = Authority::create("test", Arc::new(SystemClock)).expect("an authority");
        let keyring = Keyring::generate().expect("a keyring");
        let note = Bootstrap::Found {
            cluster_name: "test".into(),
            cluster_id: "cluster".into(),
            history_id: "history".into(),
            witness: false,
        };
        let site = site("m1", &authority, &keyring, &note);
        let mut cluster = Self {
            sites: vec![site],
            authority: Arc::new(authority),
            keyring,
            tuning,
        };
        cluster.start(0).await;
        cluster.is_founded().await;
        cluster
    }

    /// Waits until the first member leads, knows it, and has written down what the cluster is called.
    async fn is_founded(&self) {
        let store = self.member(0).store();
        store.barrier().await.expect("a leader");
        let mut leadership = store.leadership();
        let leads = leadership.wait_for(|now| now.is_self).await;
        leads.expect("the store runs");
        while ClusterInfo::read(&store.view()).name.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A new cluster of three voters.
    pub(crate) async fn of_three() -> Self {
        Self::of_three_with(tuning_of_several()).await
    }

    /// The same, with members that are set up otherwise.
    pub(crate) async fn of_three_with(tuning: Tuning) -> Self {
        let mut cluster = Self::of_one_with(tuning).await;
        for name in ["m2", "m3"] {
            cluster.grow(name).await;
        }
        cluster
    }

    /// Adds a voter.
    pub(crate) async fn grow(&mut self, name: &str) {
        let store = self.member(0).store().clone();
        let id = store.allocate_member_id().await.expect("an id");
        let note = Bootstrap::Join {
            member_id: id,
            cluster_id: "cluster".into(),
            history_id: "history".into(),
            witness: false,
        };
        let site = site(name, &self.authority, &self.keyring, &note);
        let member = quorate_store::Member {
            name: name.into(),
            addresses: site.config.addresses.clone(),
            witness: false,
            feature_level: quorate_proto::FEATURE_LEVEL,
        };
        self.sites.push(site);
        store.add_learner(id, member).await.expect("a learner");
        self.start(self.sites.len() - 1).await;
        store.promote(id).await.expect("a voter");
    }

    pub(crate) async fn start(&mut self, at: usize) {
        let site = &mut self.sites[at];
        let member = loop {
            match RunningMember::start(&site.config, self.tuning.clone()).await {
                Ok(member) => break member,
                // Its predecessor in this process has connections that are not closed yet.
                Err(StartError::Io { source, .. })
                    if matches!(
                        source.kind(),
                        ErrorKind::ResourceBusy | ErrorKind::AddrInUse
                    ) =>
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("the member does not start: {error}"),
            }
        };
        site.member = Some(member);
    }

    /// Ends a member as far as the others can tell as a crash does: it hands nothing over and says no word.
    pub(crate) async fn kill(&mut self, at: usize) {
        let member = self.sites[at].member.take().expect("it runs");
        member.store().shutdown().await;
        member.stop().await;
    }

    pub(crate) fn member(&self, at: usize) -> &RunningMember {
        self.sites[at].member.as_ref().expect("it runs")
    }

    /// Credentials for anybody.
    pub(crate) fn credentials(&self, subject: &Subject) -> Arc<LiveCredentials> {
        let issued = Credentials::issue(&self.authority, subject, &[]).expect("issued");
        LiveCredentials::new(issued)
    }

    /// A connection to one member.
    pub(crate) async fn channel(&self, at: usize, own: Option<Arc<LiveCredentials>>) -> Channel {
        let address = self.sites[at].config.addresses[0].clone();
        self.try_channel(&address, own).await.expect("connected")
    }

    pub(crate) async fn try_channel(
        &self,
        address: &str,
        own: Option<Arc<LiveCredentials>>,
    ) -> Result<Channel, tonic::transport::Error> {
        let trust = Trust::from_pem(&self.authority.certificate_pem(), Arc::new(SystemClock))
            .expect("trust");
        let tls = trust.client_config(own, Dates::Checked).expect("settings");
        connect(address, TlsConnector::from(Arc::new(tls))).await
    }

    /// A client that may do everything, at one member.
    pub(crate) async fn admin(&self, at: usize) -> Client {
        let channel = self
            .channel(at, Some(self.credentials(&Subject::admin())))
            .await;
        Client::new(channel)
    }

    /// A client for somebody else.
    pub(crate) async fn client(&self, at: usize, subject: &Subject) -> Client {
        Client::new(self.channel(at, Some(self.credentials(subject))).await)
    }
}

pub(crate) async fn connect(
    address: &str,
    tls: TlsConnector,
) -> Result<Channel, tonic::transport::Error> {
    let address = address.to_owned();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let (tls, address) = (tls.clone(), address.clone());
            async move {
                let tcp = tokio::net::TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                let name = ServerName::try_from(MEMBER_NAME).expect("a name");
                tls.connect(name, tcp).await.map(TokioIo::new)
            }
        }))
        .await
}

/// All services over one connection, in the words of the tests.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) objects: ObjectsClient<Channel>,
    pub(crate) cluster: ClusterClient<Channel>,
    pub(crate) identity: IdentityClient<Channel>,
}

/// What a call came to.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) object: Value,
    pub(crate) outcome: pb::Outcome,
}

impl Client {
    /// Twenty changes that nobody asks for.
    pub(crate) async fn make_others(&self) {
        for n in 0..20 {
            let object = secret(&format!("s{n}"), json!({}));
            self.create(object).await.expect("created");
        }
    }

    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            objects: ObjectsClient::new(channel.clone()).max_decoding_message_size(64 << 20),
            cluster: ClusterClient::new(channel.clone()),
            identity: IdentityClient::new(channel),
        }
    }

    pub(crate) async fn apply(&self, manager: &str, object: Value) -> Result<Done, Status> {
        self.apply_with(object, options(manager)).await
    }

    pub(crate) async fn apply_with(
        &self,
        object: Value,
        options: pb::ChangeOptions,
    ) -> Result<Done, Status> {
        let request = pb::ApplyRequest {
            manifest: object.to_string().into(),
            subresource: String::new(),
            options: Some(options),
        };
        self.objects.clone().apply(request).await.map(done)
    }

    pub(crate) async fn create(&self, object: Value) -> Result<Done, Status> {
        let request = pb::CreateRequest {
            object: object.to_string().into(),
            options: Some(options("tester")),
        };
        self.objects.clone().create(request).await.map(done)
    }

    pub(crate) async fn update(&self, object: Value) -> Result<Done, Status> {
        self.update_part(object, "").await
    }

    pub(crate) async fn update_part(&self, object: Value, part: &str) -> Result<Done, Status> {
        let request = pb::UpdateRequest {
            object: object.to_string().into(),
            subresource: part.into(),
            options: Some(options("tester")),
        };
        self.objects.clone().update(request).await.map(done)
    }

    /// Reads, changes and writes the object's status part, again when another writer, such as the planner, comes between.
    pub(crate) async fn write_status(
        &self,
        kind: &str,
        name: &str,
        change: impl Fn(&mut Value),
    ) -> Done {
        loop {
            let mut object = self.get(kind, name).await.expect("there");
            change(&mut object);
            match self.update_part(object, "status").await {
                Ok(done) => return done,
                Err(status) if status.code() == Code::Aborted => {}
                Err(status) => panic!("{status:?}"),
            }
        }
    }

    pub(crate) async fn merge(&self, kind: &str, name: &str, patch: Value) -> Result<Done, Status> {
        self.patch(kind, name, pb::PatchType::Merge, patch).await
    }

    pub(crate) async fn patch(
        &self,
        kind: &str,
        name: &str,
        patch_type: pb::PatchType,
        patch: Value,
    ) -> Result<Done, Status> {
        let request = pb::PatchRequest {
            object: Some(object_ref(kind, name)),
            r#type: patch_type.into(),
            patch: patch.to_string().into(),
            options: Some(options("tester")),
        };
        self.objects.clone().patch(request).await.map(done)
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) -> Result<Done, Status> {
        self.delete_with(pb::DeleteRequest {
            object: Some(object_ref(kind, name)),
            ..pb::DeleteRequest::default()
        })
        .await
    }

    pub(crate) async fn delete_with(&self, request: pb::DeleteRequest) -> Result<Done, Status> {
        self.objects.clone().delete(request).await.map(done)
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Result<Value, Status> {
        let request = pb::GetRequest {
            object: Some(object_ref(kind, name)),
            consistency: 0,
        };
        self.objects
            .clone()
            .get(request)
            .await
            .map(|reply| done(reply).object)
    }

    pub(crate) async fn list(&self, request: pb::ListRequest) -> Result<pb::ListReply, Status> {
        self.objects
            .clone()
            .list(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn watch(
        &self,
        request: pb::WatchRequest,
    ) -> Result<tonic::Streaming<pb::WatchReply>, Status> {
        self.objects
            .clone()
            .watch(request)
            .await
            .map(tonic::Response::into_inner)
    }
}

pub(crate) fn options(manager: &str) -> pb::ChangeOptions {
    pb::ChangeOptions {
        field_manager: manager.into(),
        dry_run: false,
        force: false,
    }
}

pub(crate) fn object_ref(kind: &str, name: &str) -> pb::ObjectRef {
    pb::ObjectRef {
        kind: kind.into(),
        name: name.into(),
        subresource: String::new(),
    }
}

fn done(reply: tonic::Response<pb::ObjectReply>) -> Done {
    let reply = reply.into_inner();
    Done {
        outcome: reply.outcome(),
        object: serde_json::from_slice(&reply.object).expect("JSON"),
    }
}

/// The JSON `Status` that came with a refusal.
pub(crate) fn details(status: &Status) -> Value {
    let bytes = explanation(status).expect("a refusal carries its details");
    serde_json::from_slice(&bytes).expect("they are JSON")
}

/// A Secret, the simplest object that holds what one likes.
pub(crate) fn secret(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "Secret",
        "metadata": {"name": name},
        "spec": {"data": data},
    })
}

/// What is left of an object's metadata for comparison.
pub(crate) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"]
        .as_str()
        .expect("it has a version")
        .to_owned()
}

/// A network without anything on it: a kind with a status that refers to nothing.
pub(crate) fn network(name: &str) -> Value {
    json!({
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "Network",
        "metadata": {"name": name},
        "spec": {"addressing": "None"},
    })
}
