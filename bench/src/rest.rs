//! Clients of the Kubernetes face: a connection of TLS and HTTP/1.1 for each watch, as most libraries open them.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use quorate_identity::{Credentials, Dates, LiveCredentials, MEMBER_NAME, SystemClock, Trust};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::peer::Result;

/// Where a member is and who calls.
#[derive(Clone)]
pub(crate) struct Rest {
    address: String,
    tls: TlsConnector,
}

/// A watch that goes on.
pub(crate) struct Events {
    body: Incoming,
    read: Vec<u8>,
}

impl Rest {
    /// With the certificates of a context, in PEM.
    pub(crate) fn new(address: String, authority: &str, chain: &str, key: &str) -> Result<Self> {
        let own = LiveCredentials::new(Credentials::from_pem(chain, key)?);
        let trust = Trust::from_pem(authority, Arc::new(SystemClock))?;
        let tls = trust.client_config(Some(own), Dates::Checked)?;
        Ok(Self {
            address,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    async fn get(&self, path: &str) -> Result<Incoming> {
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from(MEMBER_NAME)?, tcp);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream.await?)).await?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", MEMBER_NAME)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(format!("{path}: {}", response.status()).into());
        }
        Ok(response.into_body())
    }

    /// The version of the present state of a kind.
    pub(crate) async fn version(&self, plural: &str) -> Result<String> {
        let path = format!("/apis/quorate.dev/v1alpha1/{plural}?limit=1");
        let list = self.get(&path).await?.collect().await?.to_bytes();
        let list: serde_json::Value = serde_json::from_slice(&list)?;
        let version = list["metadata"]["resourceVersion"].as_str();
        Ok(version.ok_or("a list without a version")?.to_owned())
    }

    /// Follows a kind from a version on; returns when the member has begun to tell.
    pub(crate) async fn watch(&self, plural: &str, version: &str) -> Result<Events> {
        let path = format!("/apis/quorate.dev/v1alpha1/{plural}?watch=1&resourceVersion={version}");
        Ok(Events {
            body: self.get(&path).await?,
            read: Vec::new(),
        })
    }
}

impl Events {
    /// Waits for some, and gives each to `take` as it was sent. False when the watch has ended.
    pub(crate) async fn next(&mut self, mut take: impl FnMut(&[u8])) -> Result<bool> {
        let Some(frame) = self.body.frame().await else {
            return Ok(false);
        };
        let Ok(data) = frame?.into_data() else {
            return Ok(true);
        };
        self.read.extend_from_slice(&data);
        let Some(end) = self.read.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(true);
        };
        let rest = self.read.split_off(end + 1);
        for line in self.read.split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                take(line);
            }
        }
        self.read = rest;
        Ok(true)
    }
}
