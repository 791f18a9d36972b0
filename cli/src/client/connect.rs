//! Opening one connection, and saying plainly why it could not be opened.
//!
//! The stream and its TLS session are opened here and then lent to the gRPC library, because the
//! library's own errors do not tell a refused connection from a wrong certificate.

use std::{fmt, io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use quorate_proto::client::with_port;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

/// A member answers within a network round trip or two; one that is down must not hold up the next.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// A watch may be silent for hours, so the connection itself has to prove that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Why no member answered: each address with its reason.
#[derive(Debug, Clone)]
pub(crate) struct Unreachable {
    attempts: Vec<(String, Failure)>,
}

/// Why one address did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The name has no address.
    Unresolved(String),
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    Silent,
    /// The two sides do not trust each other; the text says what to do.
    Distrust(String),
    /// Something else.
    Other(String),
}

impl Unreachable {
    pub(super) fn new(attempts: Vec<(String, Failure)>) -> Self {
        Self { attempts }
    }

    pub(super) fn nobody_to_ask() -> Self {
        Self {
            attempts: Vec::new(),
        }
    }

    pub(crate) fn detail_lines(&self) -> Vec<String> {
        self.attempts
            .iter()
            .map(|(endpoint, failure)| format!("{endpoint}: {failure}"))
            .collect()
    }

    pub(crate) fn advice(&self) -> String {
        let distrusted = self
            .attempts
            .iter()
            .any(|(_, failure)| matches!(failure, Failure::Distrust(_)));
        if self.attempts.is_empty() {
            "give the context addresses: `quorate config set-context NAME --endpoint HOST:7443`"
                .to_owned()
        } else if distrusted {
            "check that the context belongs to this cluster with `quorate config get-contexts`; `quorate join` makes a new \
             identity from a token"
                .to_owned()
        } else {
            "check that `quorated` runs on at least one of these machines (`systemctl status quorated`) and that its port \
             is open; other addresses are tried with --endpoint HOST:PORT"
                .to_owned()
        }
    }
}

impl std::error::Error for Unreachable {}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempts.len() {
            0 => f.write_str("the context names no address of the cluster"),
            1 => f.write_str("the cluster cannot be reached"),
            tried => write!(
                f,
                "the cluster cannot be reached: none of its {tried} addresses answers"
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(why) => write!(f, "the name does not resolve ({why})"),
            Self::Refused => f.write_str("connection refused: nothing listens there"),
            Self::Silent => write!(f, "no answer within {} s", CONNECT_TIME.as_secs()),
            Self::Distrust(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

/// Open a connection to `endpoint`.
pub(super) async fn dial(endpoint: &str, tls: &Arc<ClientConfig>) -> Result<Channel, Failure> {
    let stream = tokio::time::timeout(CONNECT_TIME, open(endpoint, tls))
        .await
        .map_err(|_| Failure::Silent)??;
    // The library reconnects by itself when a connection breaks. We want to try another member
    // then, so the stream is lent once and every further attempt fails.
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
        .map_err(|error| tls_failure(&error))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_cluster_lists_each_address_with_its_reason() {
        let error = Unreachable::new(vec![
            ("an01:7443".to_owned(), Failure::Refused),
            ("an02:7443".to_owned(), Failure::Silent),
        ]);
        assert_eq!(
            error.to_string(),
            "the cluster cannot be reached: none of its 2 addresses answers"
        );
        assert_eq!(
            error.detail_lines(),
            [
                "an01:7443: connection refused: nothing listens there",
                "an02:7443: no answer within 3 s"
            ]
        );
        assert!(error.advice().contains("systemctl status quorated"));
    }
}
