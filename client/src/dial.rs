//! Opening one connection, and saying plainly why it could not be opened.
//!
//! The stream and its TLS session are opened here and then lent to the gRPC library, because the
//! library's own errors do not tell a refused connection from a wrong certificate.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use quorate_proto::client::with_port;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use crate::unreachable::{CONNECT_TIME, Failure};

/// A watch may be silent for hours, so the connection itself has to prove that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Opens a connection to `endpoint`.
///
/// # Errors
/// When nobody answers there whom these settings trust.
pub async fn dial(endpoint: &str, tls: &Arc<ClientConfig>) -> Result<Channel, Failure> {
    let stream = tokio::time::timeout(CONNECT_TIME, open(endpoint, tls))
        .await
        .map_err(|_| Failure::Silent)??;
    let settings = |endpoint: Endpoint| {
        endpoint
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
    };
    over(stream, settings)
        .await
        .map_err(|error| tls_failure(&error))
}

/// A channel over a stream that is open already.
///
/// The library reconnects by itself when a connection breaks. Another member is to be tried then, so the stream is lent once
/// and every further attempt fails.
///
/// # Errors
/// When the other side does not speak HTTP/2.
pub async fn over(
    stream: TlsStream<TcpStream>,
    settings: impl FnOnce(Endpoint) -> Endpoint,
) -> Result<Channel, tonic::transport::Error> {
    let mut once = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = once.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    // The scheme is plain because the library must not add a second TLS layer.
    settings(Endpoint::from_static("http://member.quorate.internal"))
        .connect_with_connector(connector)
        .await
}

async fn open(endpoint: &str, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, Failure> {
    let address = with_port(endpoint);
    let mut addresses: Vec<_> = tokio::net::lookup_host(&address)
        .await
        .map_err(|error| Failure::Unresolved(error.to_string()))?
        .collect();
    // Listeners on loopback are often IPv4 only; the order is the resolver's otherwise.
    addresses.sort_by_key(|address| address.is_ipv6() && address.ip().is_loopback());
    let tcp = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::TimedOut => Failure::Silent,
            _ => Failure::Other(error.to_string()),
        })?;
    let _ = tcp.set_nodelay(true);
    let name = ServerName::try_from(quorate_identity::MEMBER_NAME)
        .map_err(|error| Failure::Other(error.to_string()))?;
    TlsConnector::from(Arc::clone(tls))
        .connect(name, tcp)
        .await
        .map_err(|error| tls_failure(&error))
}

fn tls_failure(error: &(dyn std::error::Error + 'static)) -> Failure {
    match quorate_identity::explain_tls_error(error) {
        Some(why) => Failure::Distrust(why),
        None => Failure::Other(format!("no TLS connection: {}", innermost(error))),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
