//! Three members of the distribution's etcd, with TLS between clients and members and among members.
//!
//! The few messages that the benchmark sends are declared here by their published wire numbers, so
//! that no foreign protocol file has to be kept.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio_stream::StreamExt as _;
use tonic::{
    client::Grpc,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_prost::ProstCodec;

use crate::{
    certificates::Certificates,
    peer::{Peer, Result, Sort},
};

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreate>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchCreate {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<WatchEvent>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchEvent {
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}

/// A running etcd cluster; dropped, it is killed.
pub(crate) struct Etcd {
    members: Vec<Child>,
    endpoint: Endpoint,
    channels: Vec<Channel>,
}

impl Etcd {
    /// Start three members with their data under `directory` and wait until they answer a write.
    pub(crate) async fn start(directory: &Path, certificates: &Certificates) -> Result<Self> {
        let ports: Vec<(u16, u16)> = (0..3)
            .map(|_| Ok((free_port()?, free_port()?)))
            .collect::<Result<_>>()?;
        let cluster: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(n, (_, peer))| format!("m{n}=https://127.0.0.1:{peer}"))
            .collect();
        let (ca, cert, key) = certificates.files();
        let mut members = Vec::new();
        for (n, (client, peer)) in ports.iter().enumerate() {
            let log = std::fs::File::create(directory.join(format!("etcd-{n}.log")))?;
            members.push(
                Command::new("etcd")
                    .args(["--name", &format!("m{n}")])
                    .arg("--data-dir")
                    .arg(directory.join(format!("etcd-{n}")))
                    .args([
                        "--listen-client-urls",
                        &format!("https://127.0.0.1:{client}"),
                    ])
                    .args([
                        "--advertise-client-urls",
                        &format!("https://127.0.0.1:{client}"),
                    ])
                    .args(["--listen-peer-urls", &format!("https://127.0.0.1:{peer}")])
                    .args([
                        "--initial-advertise-peer-urls",
                        &format!("https://127.0.0.1:{peer}"),
                    ])
                    .args(["--initial-cluster", &cluster.join(",")])
                    .args([
                        "--initial-cluster-token",
                        "quorate-bench",
                        "--initial-cluster-state",
                        "new",
                    ])
                    .args([
                        "--client-cert-auth",
                        "--peer-client-cert-auth",
                        "--logger",
                        "zap",
                    ])
                    .arg("--trusted-ca-file")
                    .arg(ca)
                    .arg("--peer-trusted-ca-file")
                    .arg(ca)
                    .arg("--cert-file")
                    .arg(cert)
                    .arg("--key-file")
                    .arg(key)
                    .arg("--peer-cert-file")
                    .arg(cert)
                    .arg("--peer-key-file")
                    .arg(key)
                    .stdin(Stdio::null())
                    .stdout(log.try_clone()?)
                    .stderr(log)
                    .spawn()
                    .map_err(|error| {
                        format!(
                            "etcd does not start: {error} (Debian: apt-get install etcd-server)"
                        )
                    })?,
            );
        }
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&certificates.ca))
            .identity(Identity::from_pem(&certificates.cert, &certificates.key))
            .domain_name("localhost");
        let mut leader = None;
        let deadline = Instant::now() + Duration::from_secs(30);
        while leader.is_none() {
            if Instant::now() > deadline {
                return Err("etcd did not become ready within 30 s".into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            for (client, _) in &ports {
                let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{client}"))?
                    .tls_config(tls.clone())?
                    .tcp_nodelay(true);
                let Ok(channel) = endpoint.connect().await else {
                    continue;
                };
                if is_leader(channel).await.unwrap_or(false) {
                    leader = Some(endpoint);
                    break;
                }
            }
        }
        let endpoint = leader.ok_or("no leader")?;
        let mut etcd = Self {
            members,
            endpoint,
            channels: Vec::new(),
        };
        etcd.connect(1).await?;
        Ok(etcd)
    }

    /// Keep what Quorate sends for its guests, byte for byte.
    pub(crate) async fn keep_guests(&self, guests: &[Bytes]) -> Result<()> {
        for (number, guest) in guests.iter().enumerate() {
            let key = format!("guest-{number:06}").into();
            let value = guest.clone();
            let channel = self.channel(number);
            let _: PutResponse =
                unary(channel, "/etcdserverpb.KV/Put", PutRequest { key, value }).await?;
        }
        Ok(())
    }

    fn channel(&self, connection: usize) -> Channel {
        self.channels[connection % self.channels.len()].clone()
    }
}

/// Whether the member behind this connection leads: both peers are measured at their leader.
async fn is_leader(channel: Channel) -> Result<bool> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct StatusRequest {}
    #[derive(Clone, PartialEq, prost::Message)]
    struct Header {
        #[prost(uint64, tag = "2")]
        member_id: u64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct StatusResponse {
        #[prost(message, optional, tag = "1")]
        header: Option<Header>,
        #[prost(uint64, tag = "4")]
        leader: u64,
    }
    let status: StatusResponse = unary(
        channel,
        "/etcdserverpb.Maintenance/Status",
        StatusRequest {},
    )
    .await?;
    Ok(status.leader != 0
        && status
            .header
            .is_some_and(|header| header.member_id == status.leader))
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

impl Peer for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn processes(&self) -> Vec<u32> {
        self.members.iter().map(Child::id).collect()
    }

    async fn connect(&mut self, connections: usize) -> Result<()> {
        self.channels.clear();
        for _ in 0..connections {
            self.channels.push(self.endpoint.connect().await?);
        }
        Ok(())
    }

    async fn prepare(&self, count: usize, value: &Bytes) -> Result<()> {
        for key in 0..count {
            self.put(key, key, value.clone()).await?;
        }
        Ok(())
    }

    async fn put(&self, connection: usize, key: usize, value: Bytes) -> Result<()> {
        let request = PutRequest {
            key: key_name(key),
            value,
        };
        let _: PutResponse =
            unary(self.channel(connection), "/etcdserverpb.KV/Put", request).await?;
        Ok(())
    }

    async fn get(&self, connection: usize, key: usize) -> Result<()> {
        let request = RangeRequest {
            key: key_name(key),
            range_end: Bytes::new(),
        };
        let answer: RangeResponse =
            unary(self.channel(connection), "/etcdserverpb.KV/Range", request).await?;
        if answer.kvs.len() == 1 {
            Ok(())
        } else {
            Err(format!("key {key} is missing").into())
        }
    }

    async fn list(&self, connection: usize, what: Sort) -> Result<usize> {
        let (key, range_end) = match what {
            Sort::Keys => ("key-".into(), "key.".into()),
            Sort::Guests => ("guest-".into(), "guest.".into()),
        };
        let request = RangeRequest { key, range_end };
        let answer: RangeResponse =
            unary(self.channel(connection), "/etcdserverpb.KV/Range", request).await?;
        Ok(answer.kvs.len())
    }

    async fn watch(
        &self,
        watchers: usize,
        seen: tokio::sync::mpsc::UnboundedSender<Instant>,
    ) -> Result<Vec<tokio::task::JoinHandle<()>>> {
        let mut tasks = Vec::new();
        for watcher in 0..watchers {
            let mut grpc = Grpc::new(self.channel(watcher));
            grpc.ready().await?;
            let create = WatchCreate {
                key: "key-".into(),
                range_end: "key.".into(),
            };
            // The stream of requests stays open: etcd ends a watch whose requests end.
            let requests = tokio_stream::once(WatchRequest {
                create: Some(create),
            })
            .chain(tokio_stream::pending());
            let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
            let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
            let mut answers = grpc
                .streaming(tonic::Request::new(requests), path, codec)
                .await?
                .into_inner();
            let first = answers.message().await?.ok_or("the watch ended at once")?;
            if !first.created {
                return Err("etcd did not confirm the watch".into());
            }
            let seen = seen.clone();
            tasks.push(tokio::spawn(async move {
                while let Ok(Some(answer)) = answers.message().await {
                    let now = Instant::now();
                    for _ in answer.events {
                        let _ = seen.send(now);
                    }
                }
            }));
        }
        Ok(tasks)
    }
}

async fn unary<Q, A>(channel: Channel, path: &'static str, request: Q) -> Result<A>
where
    Q: prost::Message + Default + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel).max_decoding_message_size(256 << 20);
    grpc.ready().await?;
    let path = PathAndQuery::from_static(path);
    Ok(grpc
        .unary(
            tonic::Request::new(request),
            path,
            ProstCodec::<Q, A>::default(),
        )
        .await?
        .into_inner())
}

fn key_name(key: usize) -> Bytes {
    format!("key-{key:06}").into()
}

/// A port that is free now; members bind it a moment later.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
