//! A plain HTTP client with a certificate.

use std::{error::Error, io, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quorate_identity::{Dates, LiveCredentials, MEMBER_NAME, Subject, SystemClock, Trust};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::TestCluster;

/// Where all objects of a kind are.
pub(crate) fn path(plural: &str) -> String {
    format!("/apis/quorate.dev/v1alpha1/{plural}")
}

/// Somebody who speaks to one member.
pub(crate) struct Http {
    address: String,
    tls: ClientConfig,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The lines of an answer that goes on.
pub(crate) struct Lines {
    pub(crate) code: StatusCode,
    body: Incoming,
    read: BytesMut,
}

impl Http {
    /// A caller with a certificate for `subject`, or without any.
    pub(crate) fn new(cluster: &TestCluster, at: usize, subject: Option<&Subject>) -> Self {
        Self::with(
            cluster,
            at,
            subject.map(|subject| cluster.credentials(subject)),
        )
    }

    /// A caller with these credentials, good or not.
    pub(crate) fn with(
        cluster: &TestCluster,
        at: usize,
        own: Option<Arc<LiveCredentials>>,
    ) -> Self {
        let trust = Trust::from_pem(&cluster.authority.certificate_pem(), Arc::new(SystemClock))
            .expect("trust");
        Self {
            address: cluster.sites[at].config.addresses[0].clone(),
            tls: trust.client_config(own, Dates::Checked).expect("settings"),
        }
    }

    pub(crate) fn admin(cluster: &TestCluster) -> Self {
        Self::new(cluster, 0, Some(&Subject::admin()))
    }

    async fn dial(&self, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(&self.address).await?;
        let name = ServerName::try_from(MEMBER_NAME).expect("a name");
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(tls));
        let stream = connector.connect(name, tcp).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        Ok(stream)
    }

    async fn try_open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Box<dyn Error>> {
        let stream = TokioIo::new(self.dial(b"http/1.1").await?);
        let (mut sender, connection) = conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }

    async fn open(&self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        self.try_open(request).await.expect("an answer")
    }

    /// What comes back, if anything does.
    pub(crate) async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Reply> {
        Some(Reply::read(self.try_open(request).await.ok()?).await)
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        Reply::read(self.open(request).await).await
    }

    /// The same over HTTP/2.
    pub(crate) async fn send_by_http2(&self, request: Request<Full<Bytes>>) -> Reply {
        let stream = TokioIo::new(self.dial(b"h2").await.expect("a connection"));
        let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("https://{MEMBER_NAME}{}", parts.uri)
            .parse::<Uri>()
            .expect("a URI");
        let request = Request::from_parts(parts, body);
        Reply::read(sender.send_request(request).await.expect("an answer")).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, path, &[], "")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.send(request(Method::POST, path, &headers, &body.to_string()))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.send(request(Method::PUT, path, &headers, &body.to_string()))
            .await
    }

    pub(crate) async fn patch(&self, path: &str, content_type: &str, body: &Value) -> Reply {
        let headers = [("content-type", content_type)];
        self.send(request(Method::PATCH, path, &headers, &body.to_string()))
            .await
    }

    pub(crate) async fn delete(&self, path: &str, options: &str) -> Reply {
        self.send(request(Method::DELETE, path, &[], options)).await
    }

    pub(crate) async fn watch(&self, path: &str) -> Lines {
        self.watch_as(request(Method::GET, path, &[], "")).await
    }

    pub(crate) async fn watch_as(&self, request: Request<Full<Bytes>>) -> Lines {
        let (parts, body) = self.open(request).await.into_parts();
        Lines {
            code: parts.status,
            body,
            read: BytesMut::new(),
        }
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", MEMBER_NAME);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("a request")
}

impl Reply {
    async fn read(response: http::Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            code: parts.status,
            headers: parts.headers,
            body: body.collect().await.expect("a body").to_bytes(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The answer, which must be a success.
    pub(crate) fn ok(self) -> Value {
        assert!(self.code.is_success(), "{}: {}", self.code, self.json());
        self.json()
    }

    /// The `Status` of a refusal, which must be this one.
    pub(crate) fn refused(self, code: u16, reason: &str) -> Value {
        let status = self.json();
        assert_eq!(self.code.as_u16(), code, "{status}");
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["apiVersion"], "v1");
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["code"], code);
        assert_eq!(status["reason"], reason, "{status}");
        status
    }
}

impl Lines {
    /// The next line; none when the answer has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Some(serde_json::from_slice(&line).expect("JSON"));
            }
            let frame = self.body.frame().await?.expect("the answer goes on");
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }

    /// The next event: its type, the object's name, the object.
    pub(crate) async fn event(&mut self) -> (String, String, Value) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = event["object"].clone();
        (
            text(&event["type"]),
            text(&object["metadata"]["name"]),
            object,
        )
    }
}
