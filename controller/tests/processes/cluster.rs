//! `quorated dev --restart` as a child process, and clients of its members.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use quorate_identity::{Credentials, Dates, LiveCredentials, MEMBER_NAME, SystemClock, Trust};
use quorate_proto::api::v1::{
    ListRequest, StatusReply, StatusRequest, cluster_client::ClusterClient,
    objects_client::ObjectsClient,
};
use rustix::process::{Pid, Signal, kill_process};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tonic::{
    Code,
    transport::{Channel, Endpoint, Uri},
};

/// A member that was killed does not answer; its connection may hang for a moment.
const PATIENCE: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct DevCluster {
    home: TempDir,
    supervisor: Child,
    channels: Vec<Channel>,
}

impl DevCluster {
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut supervisor = Command::new(env!("CARGO_BIN_EXE_quorated"))
            .args(["dev", "--restart", "--dir"])
            .arg(home.path())
            .env("QUORATE_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("quorated starts");
        let contexts = home.path().join("config.yaml");
        // The file is written when the cluster is ready.
        while !contexts.exists() {
            let ended = supervisor.try_wait().expect("it can be asked");
            assert_eq!(ended, None, "there is no cluster; its logs: {home:?}");
            sleep(ASK_EVERY).await;
        }
        let channels = channels(&contexts).await;
        let cluster = Self {
            home,
            supervisor,
            channels,
        };
        cluster.until_whole().await;
        cluster
    }

    pub(crate) fn objects(&self, at: usize) -> ObjectsClient<Channel> {
        ObjectsClient::new(self.channels[at % self.channels.len()].clone())
            .max_decoding_message_size(64 << 20)
    }

    async fn status(&self, at: usize) -> Option<StatusReply> {
        let mut client = ClusterClient::new(self.channels[at].clone());
        let asked = tokio::time::timeout(PATIENCE, client.status(StatusRequest {}));
        let reply = asked.await.ok()?.ok()?.into_inner();
        reply.has_quorum.then_some(reply)
    }

    /// The member that leads and knows it.
    pub(crate) async fn leader(&self) -> usize {
        loop {
            for at in 0..self.channels.len() {
                if let Some(status) = self.status(at).await
                    && status.leader_id == status.member_id
                {
                    return at;
                }
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Waits until all members are there and have everything.
    pub(crate) async fn until_whole(&self) {
        loop {
            let leader = self.leader().await;
            if let Some(status) = self.status(leader).await
                && status.members.len() == self.channels.len()
                && status
                    .members
                    .iter()
                    .filter(|member| !member.is_leader)
                    .all(|member| {
                        member.reachable == Some(true) && member.lag.is_some_and(|lag| lag < 1000)
                    })
            {
                return;
            }
            sleep(ASK_EVERY).await;
        }
    }

    pub(crate) async fn revision(&self) -> u64 {
        loop {
            let leader = self.leader().await;
            if let Some(status) = self.status(leader).await {
                return status.revision;
            }
        }
    }

    /// Every Secret's name.
    pub(crate) async fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut token = String::new();
        loop {
            let request = ListRequest {
                kind: "Secret".into(),
                continue_token: token.clone(),
                ..ListRequest::default()
            };
            let leader = self.leader().await;
            let page = match self.objects(leader).list(request).await {
                Ok(page) => page.into_inner(),
                // Another one is elected meanwhile.
                Err(status) if status.code() == Code::Unavailable => continue,
                Err(status) => panic!("{status}"),
            };
            names.extend(page.objects.iter().map(|bytes| name_of(bytes)));
            token = page.continue_token;
            if token.is_empty() {
                return names;
            }
        }
    }

    pub(crate) fn kill(&self, at: usize) {
        let pid = std::fs::read_to_string(self.home.path().join(format!("m{}/pid", at + 1)))
            .expect("the member's pid");
        let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a pid");
        kill_process(pid, Signal::KILL).expect("killed");
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        let pid = i32::try_from(self.supervisor.id())
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.supervisor.wait();
    }
}

pub(crate) fn name_of(object: &[u8]) -> String {
    let object: Value = serde_json::from_slice(object).expect("JSON");
    object["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

async fn channels(contexts: &Path) -> Vec<Channel> {
    let text = std::fs::read_to_string(contexts).expect("readable");
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    let context = &config["contexts"][0];
    let pem = |field: &str| context[field].as_str().expect("a text").to_owned();
    let own = Credentials::from_pem(&pem("clientCertificate"), &pem("clientKey")).expect("usable");
    let tls: ClientConfig = Trust::from_pem(&pem("certificateAuthority"), Arc::new(SystemClock))
        .expect("an authority")
        .client_config(Some(LiveCredentials::new(own)), Dates::Checked)
        .expect("settings");
    let tls = TlsConnector::from(Arc::new(tls));
    context["endpoints"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|endpoint| channel(endpoint.as_str().expect("a text").to_owned(), tls.clone()))
        .collect()
}

fn channel(address: String, tls: TlsConnector) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address")
        .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (tls, address) = (tls.clone(), address.clone());
            async move {
                let tcp = tokio::net::TcpStream::connect(address).await?;
                let name = ServerName::try_from(MEMBER_NAME).expect("a name");
                tls.connect(name, tcp).await.map(TokioIo::new)
            }
        }))
}
