//! One connection to one address of a member.

use quorate_identity::{MEMBER_NAME, explain_tls_error};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// An address that does not answer within this time is given up for the next.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The plan may not change for hours, so that the connection itself has to prove that it lives.
const SILENCE: Duration = Duration::from_secs(5);
const WINDOW: u32 = 4 << 20;

/// Opens it. The error is in words.
pub(super) async fn dial(address: &str, tls: &Arc<ClientConfig>) -> Result<Channel, String> {
    let stream = match tokio::time::timeout(TIMEOUT, open(address, tls)).await {
        Ok(stream) => stream.map_err(|error| words(&error))?,
        Err(_) => return Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    };
    let settings = |endpoint: Endpoint| {
        endpoint
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SILENCE)
            .keep_alive_while_idle(true)
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
    };
    quorate_client::over(stream, settings)
        .await
        .map_err(|error| words(&error))
}

async fn open(address: &str, tls: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(MEMBER_NAME).map_err(io::Error::other)?;
    TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await
}

/// What is wrong, and with certificates also what to do; else the innermost reason.
fn words(error: &(dyn Error + 'static)) -> String {
    if let Some(why) = explain_tls_error(error) {
        return why;
    }
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
