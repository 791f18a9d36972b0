//! Three members of Quorate, started by `quorated dev`, through their public API.
//!
//! A "put" is an Update of a Secret whose one opaque value has the wanted size. That is the dearest
//! way to store bytes in Quorate: the member authenticates, authorises, validates, tracks field
//! ownership, encrypts and audits it. etcd does none of that beyond the certificate.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use quorate_proto::api::v1::{
    ApplyRequest, ChangeOptions, CreateRequest, GetRequest, ListRequest, ObjectRef, PatchRequest,
    PatchType, StatusRequest, UpdateRequest, WatchRequest, WatchType,
    cluster_client::ClusterClient, objects_client::ObjectsClient,
};
use serde_json::{Value, json};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{
    peer::{Peer, Result, Sort},
    rest::Rest,
};

/// A running development cluster; dropped, it is stopped.
pub(crate) struct Quorate {
    supervisor: Child,
    context: Value,
    endpoint: Endpoint,
    channels: Vec<Channel>,
}

/// The annotation that says which change an object has seen last.
pub(crate) const MARK: &str = "bench.quorate.dev/change";

impl Quorate {
    /// Start `quorated dev` under `directory` and wait until it has a leader.
    pub(crate) async fn start(quorated: &Path, directory: &Path) -> Result<Self> {
        let home = directory.join("quorate");
        let log = std::fs::File::create(directory.join("quorate.log"))?;
        let supervisor = Command::new(quorated)
            .args(["dev", "--members", "3", "--dir"])
            .arg(&home)
            .env("QUORATE_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", quorated.display()))?;
        let context = home.join("config.yaml");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if Instant::now() > deadline {
                return Err(format!(
                    "quorated dev did not become ready, see {}",
                    directory.display()
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let Some((context, endpoints)) = read_context(&context)? else {
                continue;
            };
            if let Some(endpoint) = leader_of(&endpoints).await {
                let mut quorate = Self {
                    supervisor,
                    context,
                    endpoint,
                    channels: Vec::new(),
                };
                quorate.connect(1).await?;
                return Ok(quorate);
            }
        }
    }

    fn objects(&self, connection: usize) -> ObjectsClient<Channel> {
        ObjectsClient::new(self.channels[connection % self.channels.len()].clone())
            .max_decoding_message_size(256 << 20)
    }

    /// Create guests, and return them as they are sent to whoever lists them.
    pub(crate) async fn make_guests(&self, count: usize) -> Result<Vec<Bytes>> {
        for number in 0..count {
            let object = crate::apply_cost::guest(number, 1).to_string().into();
            let request = CreateRequest {
                object,
                ..Default::default()
            };
            self.objects(number).create(request).await?;
        }
        self.all(0, "VirtualMachine").await
    }

    async fn all(&self, connection: usize, kind: &str) -> Result<Vec<Bytes>> {
        let mut request = ListRequest {
            kind: kind.into(),
            ..Default::default()
        };
        let mut found = Vec::new();
        loop {
            let reply = self.objects(connection).list(request.clone()).await?;
            let page = reply.into_inner();
            found.extend(page.objects);
            if page.continue_token.is_empty() {
                return Ok(found);
            }
            request.continue_token = page.continue_token;
        }
    }

    /// The Kubernetes face of the member that leads.
    pub(crate) fn rest(&self) -> Result<Rest> {
        let pem = |field: &str| self.context[field].as_str().unwrap_or_default();
        let address = self.endpoint.uri().authority();
        Rest::new(
            address.ok_or("no address")?.to_string(),
            pem("certificateAuthority"),
            pem("clientCertificate"),
            pem("clientKey"),
        )
    }

    /// Changes an object that [`Peer::prepare`] has made, and marks it.
    pub(crate) async fn mark(&self, connection: usize, key: usize, change: usize) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {MARK: change.to_string()}}});
        let request = PatchRequest {
            object: Some(ObjectRef {
                kind: "Secret".into(),
                name: name(key),
                subresource: String::new(),
            }),
            r#type: PatchType::Merge.into(),
            patch: patch.to_string().into(),
            ..Default::default()
        };
        self.objects(connection).patch(request).await?;
        Ok(())
    }

    /// One server-side apply of a manifest, as `quorate apply` sends it.
    pub(crate) async fn apply(&self, manifest: &Value) -> Result<()> {
        let options = Some(ChangeOptions {
            field_manager: "bench".into(),
            ..Default::default()
        });
        let request = ApplyRequest {
            manifest: manifest.to_string().into(),
            options,
            ..Default::default()
        };
        self.objects(0).apply(request).await?;
        Ok(())
    }
}

/// The context that `quorated dev` has written, and its members.
fn read_context(path: &PathBuf) -> Result<Option<(Value, Vec<Endpoint>)>> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(None);
    };
    let config: Value = serde_saphyr::from_str(&text)?;
    let context = &config["contexts"][0];
    let pem = |field: &str| context[field].as_str().unwrap_or_default().to_owned();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem("certificateAuthority")))
        .identity(Identity::from_pem(
            pem("clientCertificate"),
            pem("clientKey"),
        ))
        .domain_name(quorate_identity::MEMBER_NAME);
    let Some(endpoints) = context["endpoints"].as_array() else {
        return Ok(None);
    };
    let endpoints = endpoints.iter().filter_map(Value::as_str).map(|address| {
        Ok(Endpoint::from_shared(format!("https://{address}"))?
            .tls_config(tls.clone())?
            .tcp_nodelay(true))
    });
    let endpoints = endpoints.collect::<Result<_>>()?;
    Ok(Some((context.clone(), endpoints)))
}

/// The endpoint of the member that leads, once all three are voters: both peers are measured there.
async fn leader_of(endpoints: &[Endpoint]) -> Option<Endpoint> {
    for endpoint in endpoints {
        let channel = endpoint.connect().await.ok()?;
        let status = ClusterClient::new(channel)
            .status(StatusRequest {})
            .await
            .ok()?
            .into_inner();
        let voters = status
            .members
            .iter()
            .filter(|member| member.role == 1)
            .count();
        if voters == 3 && status.leader_id == status.member_id {
            return Some(endpoint.clone());
        }
    }
    None
}

impl Drop for Quorate {
    fn drop(&mut self) {
        // The supervisor takes its members with it when it is asked, not when it is killed.
        let _ = Command::new("kill")
            .args(["-TERM", &self.supervisor.id().to_string()])
            .status();
        let _ = self.supervisor.wait();
    }
}

impl Peer for Quorate {
    fn name(&self) -> &'static str {
        "quorate"
    }

    fn processes(&self) -> Vec<u32> {
        let id = self.supervisor.id();
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .collect()
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
            let request = CreateRequest {
                object: secret(key, value),
                ..Default::default()
            };
            match self.objects(key).create(request).await {
                Ok(_) => {}
                Err(status) if status.code() == tonic::Code::AlreadyExists => {
                    self.put(key, key, value.clone()).await?
                }
                Err(status) => return Err(status.into()),
            }
        }
        Ok(())
    }

    async fn put(&self, connection: usize, key: usize, value: Bytes) -> Result<()> {
        let request = UpdateRequest {
            object: secret(key, &value),
            ..Default::default()
        };
        self.objects(connection).update(request).await?;
        Ok(())
    }

    async fn get(&self, connection: usize, key: usize) -> Result<()> {
        let object = Some(ObjectRef {
            kind: "Secret".into(),
            name: name(key),
            subresource: String::new(),
        });
        self.objects(connection)
            .get(GetRequest {
                object,
                ..Default::default()
            })
            .await?;
        Ok(())
    }

    async fn list(&self, connection: usize, what: Sort) -> Result<usize> {
        let kind = match what {
            Sort::Keys => "Secret",
            Sort::Guests => "VirtualMachine",
        };
        Ok(self.all(connection, kind).await?.len())
    }

    async fn watch(
        &self,
        watchers: usize,
        seen: tokio::sync::mpsc::UnboundedSender<Instant>,
    ) -> Result<Vec<tokio::task::JoinHandle<()>>> {
        let mut tasks = Vec::new();
        let list = ListRequest {
            kind: "Secret".into(),
            limit: 1,
            ..Default::default()
        };
        let now = self
            .objects(0)
            .list(list)
            .await?
            .into_inner()
            .resource_version;
        for watcher in 0..watchers {
            let request = WatchRequest {
                kind: "Secret".into(),
                resource_version: now.clone(),
                ..Default::default()
            };
            let mut changes = self.objects(watcher).watch(request).await?.into_inner();
            let seen = seen.clone();
            tasks.push(tokio::spawn(async move {
                while let Ok(Some(change)) = changes.message().await {
                    if change.r#type() == WatchType::Modified {
                        let _ = seen.send(Instant::now());
                    }
                }
            }));
        }
        Ok(tasks)
    }
}

fn name(key: usize) -> String {
    format!("key-{key:06}")
}

/// A Secret whose one value has as many base64 characters as `value` has bytes.
fn secret(key: usize, value: &Bytes) -> Bytes {
    let data = String::from_utf8_lossy(value);
    json!({
        "apiVersion": quorate_crds::API_VERSION,
        "kind": "Secret",
        "metadata": {"name": name(key)},
        "spec": {"data": {"value": data}},
    })
    .to_string()
    .into()
}
