use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use quorate_identity::Peer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::per_source::Share;

/// Who is at the other end; in the extensions of every request.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Where it calls from.
    pub remote: SocketAddr,
    /// Whom its certificate names; none when it showed none. May have expired: ask at every call.
    pub peer: Option<Arc<Peer>>,
    /// Whom the access token of this one request names; the serial number is the token's id. None where a certificate was
    /// shown.
    pub token: Option<Arc<Peer>>,
    /// What the connection occupies while nobody knows who is there.
    stranger: Stranger,
}

type Stranger = Arc<Mutex<Option<Share>>>;

impl ConnectionInfo {
    /// A connection from there, with this certificate.
    pub fn new(remote: SocketAddr, peer: Option<Arc<Peer>>) -> Self {
        Self {
            remote,
            peer,
            token: None,
            stranger: Stranger::default(),
        }
    }

    pub(super) fn of_stranger(remote: SocketAddr, share: Share) -> Self {
        Self {
            stranger: Arc::new(Mutex::new(Some(share))),
            ..Self::new(remote, None)
        }
    }

    /// Who is at the other end, by certificate or token.
    pub fn shown(&self) -> Option<&Arc<Peer>> {
        self.peer.as_ref().or(self.token.as_ref())
    }

    /// The request has a good token, so that its connection is no stranger's any more.
    pub fn recognised(&mut self, holder: Arc<Peer>) {
        self.token = Some(holder);
        let share = self.stranger.lock();
        share.unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// One client's connection after its handshake.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    info: ConnectionInfo,
    _counted: Counted,
}

/// What the connection occupies, until it is closed.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) _connection: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        info: ConnectionInfo,
        counted: Counted,
    ) -> Self {
        Self {
            stream,
            info,
            _counted: counted,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
