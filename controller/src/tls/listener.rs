use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::Stream;
use quorate_identity::Peer;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::{Connection, ConnectionInfo, connection::Counted, per_source::PerSource};

/// What clients may hold open.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that have not yet finished their handshake. More are left waiting in the kernel's queue.
    pub handshakes: usize,
    /// The same for one source address; more are turned away.
    pub handshakes_per_source: usize,
    /// A handshake that takes longer is cut off.
    pub handshake_timeout: Duration,
    /// Connections in all. Beyond it the newest comer is turned away, so that those at work are not disturbed.
    pub connections: usize,
    /// Those among them that showed no certificate. They come to join, which is done in a moment; without a bound of their
    /// own anybody could hold every connection and shut out all others, members too.
    pub strangers: usize,
    /// The same for one source address.
    pub strangers_per_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 1024,
            handshakes_per_source: 64,
            handshake_timeout: Duration::from_secs(5),
            connections: 16_384,
            strangers: 512,
            strangers_per_source: 16,
        }
    }
}

/// After the kernel refused a connection, for instance for want of descriptors, asking again at once would only
/// burn the processor that others need to finish.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// The connections made to `listeners`, each after its handshake. Handshakes run beside each other; one that hangs
/// holds up nobody.
pub fn listen(
    listeners: Vec<TcpListener>,
    config: Arc<ServerConfig>,
    limits: Limits,
) -> impl Stream<Item = Result<Connection, Infallible>> {
    let (ready, connections) = mpsc::channel(limits.handshakes.max(1));
    let door = Arc::new(Door {
        acceptor: TlsAcceptor::from(config),
        timeout: limits.handshake_timeout,
        handshakes: Arc::new(Semaphore::new(limits.handshakes)),
        sources: PerSource::new(limits.handshakes_per_source),
        strangers: PerSource::bounded(limits.strangers_per_source, limits.strangers),
        connections: Arc::new(Semaphore::new(limits.connections)),
        ready,
    });
    for listener in listeners {
        tokio::spawn(door.clone().accept_all(listener));
    }
    ReceiverStream::new(connections)
}

struct Door {
    acceptor: TlsAcceptor,
    timeout: Duration,
    handshakes: Arc<Semaphore>,
    sources: Arc<PerSource>,
    strangers: Arc<PerSource>,
    connections: Arc<Semaphore>,
    ready: mpsc::Sender<Result<Connection, Infallible>>,
}

impl Door {
    /// Ends when the stream of connections is dropped.
    async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok(handshake) = self.handshakes.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ready.closed() => return,
            };
            match accepted {
                Ok((tcp, remote)) => {
                    let Ok(counted) = self.connections.clone().try_acquire_owned() else {
                        tracing::warn!(%remote, "turned away: too many connections");
                        continue;
                    };
                    let Some(share) = self.sources.take(remote.ip()) else {
                        tracing::warn!(%remote, "turned away: too many unfinished handshakes");
                        continue;
                    };
                    let door = self.clone();
                    tokio::spawn(async move {
                        let connection = door.shake_hands(tcp, remote, counted).await;
                        drop((handshake, share));
                        if let Some(connection) = connection {
                            // Fails only when the server has stopped; then nobody wants it.
                            let _ = door.ready.send(Ok(connection)).await;
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            }
        }
    }

    async fn shake_hands(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
        counted: OwnedSemaphorePermit,
    ) -> Option<Connection> {
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%remote, %error, "cannot set TCP_NODELAY");
        }
        let stream = match timeout(self.timeout, self.acceptor.accept(tcp)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%remote, %error, "handshake refused");
                return None;
            }
            Err(_) => {
                tracing::debug!(%remote, "handshake timed out");
                return None;
            }
        };
        let peer = match stream.get_ref().1.peer_certificates() {
            Some([certificate, ..]) => match Peer::from_certificate(certificate) {
                Ok(peer) => Some(Arc::new(peer)),
                Err(error) => {
                    tracing::warn!(%remote, %error, "turned away");
                    return None;
                }
            },
            _ => None,
        };
        let info = match peer {
            Some(peer) => ConnectionInfo::new(remote, Some(peer)),
            None => {
                let Some(share) = self.strangers.take(remote.ip()) else {
                    tracing::warn!(%remote, "turned away: too many connections without a certificate");
                    return None;
                };
                ConnectionInfo::of_stranger(remote, share)
            }
        };
        Some(Connection::new(
            stream,
            info,
            Counted {
                _connection: counted,
            },
        ))
    }
}
