//! What the daemon and the lease process say to each other over their socket: one JSON object a line. Both may be of
//! different releases, because the lease process outlives an upgrade: what one does not know of the other is ignored.

use super::{LeaseView, Setup};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// No message is longer.
const MAX_MESSAGE: u64 = 256 * 1024;

/// From the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ToLease {
    SetUp(Box<Setup>),
    Alive,
    Closing,
}

/// To the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum FromLease {
    View(LeaseView),
}

/// Says one thing.
pub(super) async fn say(
    write: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// What the other side says, one after the other.
pub(super) struct Heard<R> {
    read: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Heard<R> {
    pub(super) fn new(read: R) -> Self {
        Self {
            read: BufReader::new(read),
            line: Vec::new(),
        }
    }

    /// The next message that this release knows.
    pub(super) async fn next<M: DeserializeOwned>(&mut self) -> io::Result<M> {
        loop {
            self.line.clear();
            (&mut self.read)
                .take(MAX_MESSAGE)
                .read_until(b'\n', &mut self.line)
                .await?;
            if self.line.last() != Some(&b'\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match serde_json::from_slice(&self.line) {
                Ok(message) => return Ok(message),
                Err(error) => {
                    tracing::warn!(%error, "something was said that this release does not know");
                }
            }
        }
    }
}
