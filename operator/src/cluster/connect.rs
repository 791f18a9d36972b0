//! One connection to one member.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use quorate_proto::client::with_port;
use rustls::{ClientConfig, pki_types::ServerName};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// A member answers within a network round trip or two; one that is down must not hold up the next.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// A watch may be silent for hours, so the connection itself has to prove that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Why an address did not do. Another one may, and this one later.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    #[error("no answer within {} s", CONNECT_TIME.as_secs())]
    Silent,
    #[error("no connection")]
    Io(#[from] io::Error),
    /// The two sides do not trust each other.
    #[error("{0}")]
    Distrust(String),
    #[error("no HTTP/2 connection")]
    Transport(#[source] tonic::transport::Error),
}

/// Opens a connection to `endpoint`.
pub(super) async fn connect(
    endpoint: &str,
    tls: &Arc<ClientConfig>,
) -> Result<Channel, ConnectError> {
    let stream = tokio::time::timeout(CONNECT_TIME, async {
        let tcp = TcpStream::connect(with_port(endpoint)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(quorate_identity::MEMBER_NAME).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await
    })
    .await
    .map_err(|_| ConnectError::Silent)?
    .map_err(|error| match quorate_identity::explain_tls_error(&error) {
        Some(why) => ConnectError::Distrust(why),
        None => ConnectError::Io(error),
    })?;
    // The library reconnects by itself when a connection breaks. Another member is to be tried then, so the stream is lent once
    // and every further attempt fails.
    let mut once = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = once.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    // The scheme is plain because the library must not add a second TLS layer.
    Endpoint::from_static("http://member.quorate.internal")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .connect_with_connector(connector)
        .await
        .map_err(ConnectError::Transport)
}
