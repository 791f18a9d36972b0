use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use hyper_util::rt::TokioIo;
use quorate_identity::{MEMBER_NAME, Peer};
use quorate_store::{MemberId, transport::Connect};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// An address that does not answer within this time is given up for the next.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A connection on which nothing comes back for this long is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// Enough for a link with much delay not to throttle replication.
const WINDOW: u32 = 8 << 20;

/// Opens connections to other members.
///
/// The dates in members' certificates do not count among members: each of them holds the authority's key and
/// may make itself a new certificate at any time, so a date proves nothing, and a cluster whose clocks are
/// wrong must still form.
pub(super) struct MemberConnector {
    tls: TlsConnector,
}

impl MemberConnector {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self {
            tls: TlsConnector::from(Arc::new(config)),
        }
    }
}

impl Connect for MemberConnector {
    fn connect(
        &self,
        member: MemberId,
        address: &str,
    ) -> BoxFuture<'static, Result<Channel, String>> {
        let tls = self.tls.clone();
        let address = address.to_owned();
        async move {
            // TLS is made by the connector, which also knows whom to expect.
            let endpoint = Endpoint::from_shared(format!("http://{address}"))
                .map_err(|error| format!("not an address: {error}"))?
                .connect_timeout(TIMEOUT)
                .http2_keep_alive_interval(SILENCE)
                .keep_alive_timeout(SILENCE)
                .keep_alive_while_idle(true)
                .initial_connection_window_size(WINDOW)
                .initial_stream_window_size(WINDOW);
            let connector = service_fn(move |_: Uri| {
                let (tls, address) = (tls.clone(), address.clone());
                async move { dial(&tls, member, &address).await.map(TokioIo::new) }
            });
            endpoint
                .connect_with_connector(connector)
                .await
                .map_err(|error| reason(&error))
        }
        .boxed()
    }
}

async fn dial(
    tls: &TlsConnector,
    member: MemberId,
    address: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let connected = tokio::time::timeout(TIMEOUT, async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(MEMBER_NAME).map_err(std::io::Error::other)?;
        tls.connect(name, tcp).await
    })
    .await;
    let stream = match connected {
        Ok(stream) => stream?,
        Err(_) => {
            return Err(std::io::Error::other(format!(
                "no answer within {TIMEOUT:?}"
            )));
        }
    };
    let found = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|certificate| Peer::from_certificate(certificate).ok())
        .and_then(|peer| peer.subject.member_id());
    if found == Some(member) {
        return Ok(stream);
    }
    Err(std::io::Error::other(match found {
        Some(found) => format!("member {found} answers there, member {member} was expected"),
        None => format!("no member answers there, member {member} was expected"),
    }))
}

/// The innermost reason; those around it say only that something failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
