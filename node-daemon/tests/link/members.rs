use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use prost::Message;
use quorate_identity::{
    Authority, Clock, Credentials, Dates, LiveCredentials, Subject, SystemClock, Trust,
};
use quorate_node_daemon::link::GrpcLink;
use quorate_proto::api::v1::identity_server::{Identity, IdentityServer};
use quorate_proto::api::v1::{
    CanIReply, CanIRequest, CertifyHypervisorReply, CertifyHypervisorRequest, JoinReply,
    JoinRequest, RenewReply, RenewRequest, WhoAmIReply, WhoAmIRequest,
};
use quorate_proto::host::v1::hosts_server::{Hosts, HostsServer};
use quorate_proto::host::v1::relay_server::{Relay, RelayServer};
use quorate_proto::host::v1::{
    FiguresReply, FiguresRequest, FollowRequest, LeaveReply, LeaveRequest, MemberAddress, Parcel,
    PeerAnswer, PeerQuestion, PlanUpdate, RegisterReply, RegisterRequest, ReportReply,
    ReportRequest,
};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tonic::metadata::MetadataValue;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

/// A cluster of members that share an authority. One of them leads.
pub(crate) struct Cluster {
    authority: Arc<Authority>,
    leader: Arc<Mutex<Option<MemberAddress>>>,
}

/// One member, listening.
pub(crate) struct Member {
    pub(crate) address: MemberAddress,
    pub(crate) asked: Arc<AtomicU64>,
    /// Parcels that it was given.
    carried: Arc<AtomicU64>,
    /// All of its connections, so that they end with it.
    runtime: Option<Runtime>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let founded = Authority::create("anvil", Arc::new(founding())).expect("an authority");
        let authority =
            Authority::from_pem(&founded.certificate_pem(), &founded.key_pem(), clock());
        Self {
            authority: Arc::new(authority.expect("the same")),
            leader: Arc::default(),
        }
    }

    pub(crate) async fn member(&self, id: u64) -> Member {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.spawn(TcpListener::bind("127.0.0.1:0")).await;
        let listener = listener.expect("bound").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let address = MemberAddress {
            id,
            name: format!("m{id}"),
            addresses: vec![format!("127.0.0.1:{port}")],
        };
        let subject = Subject::member(id);
        let own = Credentials::issue(&self.authority, &subject, &address.addresses);
        let config = self
            .trust()
            .server_config(LiveCredentials::new(own.expect("issued")))
            .expect("settings");
        let asked = Arc::new(AtomicU64::new(0));
        let identity = Signer(Arc::clone(&self.authority));
        let service = Service {
            id,
            leader: Arc::clone(&self.leader),
            asked: Arc::clone(&asked),
        };
        let carried = Arc::new(AtomicU64::new(0));
        let echo = Echo(Arc::clone(&carried));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let incoming = stream::unfold((listener, acceptor), |(listener, acceptor)| async move {
            loop {
                let (tcp, _) = listener.accept().await.ok()?;
                if let Ok(tls) = acceptor.accept(tcp).await {
                    return Some((Ok::<_, std::io::Error>(tls), (listener, acceptor)));
                }
            }
        });
        runtime.spawn(async move {
            let served = Server::builder()
                .add_service(HostsServer::new(service))
                .add_service(RelayServer::new(echo))
                .add_service(IdentityServer::new(identity));
            served
                .serve_with_incoming(incoming)
                .await
                .expect("it serves");
        });
        Member {
            address,
            asked,
            carried,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn leads(&self, member: Option<&Member>) {
        *self.leader.lock().expect("unpoisoned") = member.map(|member| member.address.clone());
    }

    /// What joining this cluster left on a host when it was founded, long ago.
    pub(crate) fn joined(&self, dir: &Path, member: &Member) {
        let then = Authority::from_pem(
            &self.authority.certificate_pem(),
            &self.authority.key_pem(),
            Arc::new(founding()),
        );
        let subject = Subject::node("an1").expect("a name");
        let own = Credentials::issue(&then.expect("the same"), &subject, &[]).expect("issued");
        own.save(&dir.join("node.crt"), &dir.join("node.key"))
            .expect("written");
        let authority = self.authority.certificate_pem();
        std::fs::write(dir.join("ca.crt"), authority).expect("written");
        let config = format!(
            "name: an1\nendpoints: [\"{}\"]\nrunDir: run\nwatchdog: none\n",
            member.address.addresses[0]
        );
        std::fs::write(dir.join("node.yaml"), config).expect("written");
    }

    fn trust(&self) -> Trust {
        Trust::from_pem(&self.authority.certificate_pem(), clock()).expect("its own certificate")
    }

    /// A host's way to those members.
    pub(crate) fn link(&self, members: &[&Member]) -> GrpcLink {
        let subject = Subject::node("an1").expect("a name");
        let own = Credentials::issue(&self.authority, &subject, &[]).expect("issued");
        let tls = self
            .trust()
            .client_config(Some(LiveCredentials::new(own)), Dates::Ignored)
            .expect("settings");
        let endpoints: Vec<String> = members
            .iter()
            .map(|member| member.address.addresses[0].clone())
            .collect();
        GrpcLink::new(tls, &endpoints)
    }
}

impl Member {
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// As when its machine loses power.
    pub(crate) fn dies(self) {
        drop(self);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn founding() -> Timestamp {
    "2020-01-01T00:00:00Z".parse().expect("a time")
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

struct Service {
    id: u64,
    leader: Arc<Mutex<Option<MemberAddress>>>,
    asked: Arc<AtomicU64>,
}

impl Service {
    /// Only the leader answers.
    fn answer<T>(&self, reply: T) -> Result<Response<T>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let leader = self.leader.lock().expect("unpoisoned").clone();
        if leader.as_ref().is_some_and(|leader| leader.id == self.id) {
            return Ok(Response::new(reply));
        }
        let mut status = Status::new(Code::Unavailable, "another member leads");
        let trailers = status.metadata_mut();
        let reason = MetadataValue::from_static("NotLeader");
        trailers.insert("quorate-host-reason", reason);
        if let Some(leader) = leader {
            let value = MetadataValue::from_bytes(&leader.encode_to_vec());
            trailers.insert_bin("quorate-leader-bin", value);
        }
        Err(status)
    }
}

#[tonic::async_trait]
impl Hosts for Service {
    type FollowStream = BoxStream<'static, Result<PlanUpdate, Status>>;

    async fn register(
        &self,
        _: Request<RegisterRequest>,
    ) -> Result<Response<RegisterReply>, Status> {
        self.answer(RegisterReply {
            incarnation: self.id,
            ..RegisterReply::default()
        })
    }

    async fn follow(
        &self,
        _: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let first = PlanUpdate {
            revision: self.id,
            ..PlanUpdate::default()
        };
        let updates = stream::iter([Ok(first)]).chain(stream::pending());
        Ok(Response::new(updates.boxed()))
    }

    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportReply>, Status> {
        self.answer(ReportReply::default())
    }

    async fn figures(&self, _: Request<FiguresRequest>) -> Result<Response<FiguresReply>, Status> {
        self.answer(FiguresReply {})
    }

    async fn leave(&self, _: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        self.answer(LeaveReply {})
    }

    async fn ask_about_peer(
        &self,
        _: Request<PeerQuestion>,
    ) -> Result<Response<PeerAnswer>, Status> {
        self.answer(PeerAnswer::default())
    }
}

/// Every host says at once to everybody what it hears.
struct Echo(Arc<AtomicU64>);

#[tonic::async_trait]
impl Relay for Echo {
    type CarryStream = BoxStream<'static, Result<Parcel, Status>>;

    async fn carry(
        &self,
        request: Request<Streaming<Parcel>>,
    ) -> Result<Response<Self::CarryStream>, Status> {
        let carried = Arc::clone(&self.0);
        let parcels = request.into_inner().inspect(move |_| {
            carried.fetch_add(1, Ordering::Relaxed);
        });
        Ok(Response::new(parcels.boxed()))
    }
}

struct Signer(Arc<Authority>);

#[tonic::async_trait]
impl Identity for Signer {
    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let subject = Subject::node("an1").expect("a name");
        let certificate = self.0.issue(&request.get_ref().csr, &subject, &[]);
        Ok(Response::new(RenewReply {
            certificate: certificate.expect("signed"),
            ca_certificate: self.0.certificate_pem(),
        }))
    }

    async fn certify_hypervisor(
        &self,
        request: Request<CertifyHypervisorRequest>,
    ) -> Result<Response<CertifyHypervisorReply>, Status> {
        let hypervisors = self.0.hypervisors().expect("an authority");
        let addresses = ["10.0.0.1".parse().expect("an address")];
        let certificate = hypervisors.issue(&request.get_ref().csr, "an1", &addresses);
        Ok(Response::new(CertifyHypervisorReply {
            certificate: certificate.expect("signed"),
            authority: hypervisors.certificate_pem(),
        }))
    }

    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        Err(Status::unimplemented("nobody joins in these stories"))
    }

    async fn who_am_i(&self, _: Request<WhoAmIRequest>) -> Result<Response<WhoAmIReply>, Status> {
        Err(Status::unimplemented("nobody asks in these stories"))
    }

    async fn can_i(&self, _: Request<CanIRequest>) -> Result<Response<CanIReply>, Status> {
        Err(Status::unimplemented("nobody asks in these stories"))
    }
}
