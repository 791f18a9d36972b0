use std::{path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use quorate_crds::manifest::to_yaml;
use quorate_identity::{
    Authority, Bootstrap, Credentials, Dates, JoinToken, KeyRequest, Keyring, LiveCredentials,
    MEMBER_NAME, SystemClock, Trust, joining_client_config,
};
use quorate_proto::api::v1::{
    CreateJoinTokenRequest, GetRequest, JoinKind, JoinReply, JoinRequest, ObjectRef,
    PromoteRequest, StatusRequest, cluster_client::ClusterClient, identity_client::IdentityClient,
    objects_client::ObjectsClient,
};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_rustls::TlsConnector;
use tonic::{
    Code,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

use super::{
    ASK_EVERY, DevError, PATIENCE,
    site::{Site, free_address, write},
};

/// Does what an operator would do with the command line.
pub(super) struct DevClient {
    address: String,
    cluster: ClusterClient<Channel>,
    objects: ObjectsClient<Channel>,
}

impl DevClient {
    pub(super) fn new(
        authority: &Authority,
        admin: &Credentials,
        address: String,
    ) -> Result<Self, DevError> {
        let refused = |error: quorate_identity::TrustError| DevError::Refused(error.to_string());
        let trust = Trust::from_pem(&authority.certificate_pem(), Arc::new(SystemClock))
            .map_err(refused)?;
        let tls = trust
            .client_config(Some(LiveCredentials::new(admin.clone())), Dates::Checked)
            .map_err(refused)?;
        let channel = channel(&address, tls)?;
        Ok(Self {
            cluster: ClusterClient::new(channel.clone()),
            objects: ObjectsClient::new(channel),
            address,
        })
    }

    /// Waits until the member answers and knows a leader.
    pub(super) async fn until_led(&self, site: &Site) -> Result<(), DevError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(reply) = self.cluster.clone().status(StatusRequest {}).await
                && reply.get_ref().has_quorum
                && !reply.get_ref().cluster_name.is_empty()
            {
                return Ok(());
            }
            late(deadline, site)?;
            sleep(ASK_EVERY).await;
        }
    }

    /// Sets up a further member, which is then to be started. Returns its id.
    pub(super) async fn join(&self, site: &Site) -> Result<u64, DevError> {
        let request = CreateJoinTokenRequest {
            kind: JoinKind::Member.into(),
            ..CreateJoinTokenRequest::default()
        };
        let token = self.token(request).await?;
        let key = KeyRequest::generate().map_err(|error| DevError::Refused(error.to_string()))?;
        let address = free_address()?;
        let reply = self
            .redeem(&token, |token| JoinRequest {
                token,
                csr: key.request().to_owned(),
                addresses: vec![address.clone()],
                name: site.name.clone(),
                supported_feature_level: quorate_proto::FEATURE_LEVEL,
            })
            .await?;
        let grant = reply
            .member
            .ok_or_else(|| DevError::Refused("the cluster granted no membership".into()))?;
        let note = Bootstrap::Join {
            member_id: grant.member_id,
            cluster_id: grant.cluster_id,
            history_id: grant.history_id,
            witness: grant.witness,
        };
        let keyring = Keyring::parse(&grant.secrets_keyring)?;
        site.write_at(
            &address,
            &reply.ca_certificate,
            &grant.ca_key,
            &keyring,
            &note,
        )?;
        Ok(grant.member_id)
    }

    /// Whether the cluster knows a host of this name.
    pub(super) async fn knows_host(&self, name: &str) -> bool {
        let request = GetRequest {
            object: Some(ObjectRef {
                kind: "Node".into(),
                name: name.to_owned(),
                ..ObjectRef::default()
            }),
            ..GetRequest::default()
        };
        self.objects.clone().get(request).await.is_ok()
    }

    /// Gives a machine of the room the identity of that host.
    pub(super) async fn join_host(&self, name: &str, dir: &Path) -> Result<(), DevError> {
        let request = CreateJoinTokenRequest {
            kind: JoinKind::Node.into(),
            name: name.to_owned(),
            ..CreateJoinTokenRequest::default()
        };
        let token = self.token(request).await?;
        let key = KeyRequest::generate().map_err(|error| DevError::Refused(error.to_string()))?;
        let reply = self
            .redeem(&token, |token| JoinRequest {
                token,
                csr: key.request().to_owned(),
                supported_feature_level: quorate_proto::FEATURE_LEVEL,
                ..JoinRequest::default()
            })
            .await?;
        let settings = json!({"name": name, "endpoints": reply.endpoints, "runDir": "run"});
        write(&dir.join("ca.crt"), &reply.ca_certificate)?;
        write(&dir.join("node.key"), key.key())?;
        write(&dir.join("node.crt"), &reply.certificate)?;
        // It comes last: it says that the rest is there.
        write(&dir.join("node.yaml"), &to_yaml(&settings))
    }

    /// A token; one that nobody has heard of harms nobody, so that it is asked for again while a leader is elected.
    async fn token(&self, request: CreateJoinTokenRequest) -> Result<String, DevError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self
                .cluster
                .clone()
                .create_join_token(request.clone())
                .await;
            match reply {
                Ok(reply) => return Ok(reply.into_inner().token),
                Err(status) if status.code() == Code::Unavailable && Instant::now() < deadline => {
                    sleep(ASK_EVERY).await;
                }
                Err(status) => return Err(DevError::refused(&status)),
            }
        }
    }

    async fn redeem(
        &self,
        token: &str,
        request: impl FnOnce(String) -> JoinRequest,
    ) -> Result<JoinReply, DevError> {
        let parsed: JoinToken = token
            .parse()
            .map_err(|error| DevError::Refused(format!("{error}")))?;
        let tls = joining_client_config(&parsed, &(Arc::new(SystemClock) as Arc<_>))
            .map_err(|error| DevError::Refused(error.to_string()))?;
        let reply = IdentityClient::new(channel(&self.address, tls)?)
            .join(request(token.to_owned()))
            .await
            .map_err(|status| DevError::refused(&status))?;
        Ok(reply.into_inner())
    }

    /// Makes a voter of it once it has caught up.
    pub(super) async fn promote(&self, member_id: u64, site: &Site) -> Result<(), DevError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = PromoteRequest { member_id };
            match self.cluster.clone().promote(request).await {
                Ok(_) => return Ok(()),
                Err(status) => {
                    tracing::debug!(%status, "not yet a voter");
                    late(deadline, site)?;
                }
            }
            sleep(ASK_EVERY).await;
        }
    }
}

fn late(deadline: Instant, site: &Site) -> Result<(), DevError> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(DevError::Late {
        name: site.name.clone(),
        log: site.log().display().to_string(),
    })
}

fn channel(address: &str, tls: ClientConfig) -> Result<Channel, DevError> {
    let tls = TlsConnector::from(Arc::new(tls));
    let target = address.to_owned();
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| DevError::Refused(error.to_string()))?;
    Ok(
        endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
            let (tls, target) = (tls.clone(), target.clone());
            async move {
                let tcp = TcpStream::connect(target).await?;
                let name = ServerName::try_from(MEMBER_NAME).map_err(std::io::Error::other)?;
                tls.connect(name, tcp).await.map(TokioIo::new)
            }
        })),
    )
}
