//! Bytes in both directions, under the number of the call that opened them.

use crate::connection::Connection;
use crate::error::RpcError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

/// What comes at once: bytes, or why there will be no more.
pub(crate) type Part = Result<Vec<u8>, RpcError>;

/// The most that is sent in one message; libvirt takes four times as much.
const LARGEST: usize = 64 << 10;

/// An open stream, and the connection that belongs to it. When it is dropped, libvirt closes what it led to.
#[derive(Debug)]
pub struct Stream {
    connection: Connection,
    call: &'static str,
    procedure: i32,
    serial: u32,
    parts: mpsc::Receiver<Part>,
}

impl Stream {
    pub(crate) fn new(
        connection: Connection,
        call: &'static str,
        procedure: i32,
        serial: u32,
        parts: mpsc::Receiver<Part>,
    ) -> Self {
        Self {
            connection,
            call,
            procedure,
            serial,
            parts,
        }
    }

    /// Carries bytes between the stream and `other` until either ends. Dropped, it ends as well.
    ///
    /// # Errors
    /// When libvirt broke it off, and said why.
    pub async fn carry(self, other: DuplexStream) -> Result<(), RpcError> {
        let Self {
            connection,
            call,
            procedure,
            serial,
            mut parts,
        } = self;
        let (mut from, mut into) = tokio::io::split(other);
        let out = async {
            while let Some(part) = parts.recv().await {
                let part = part?;
                if into.write_all(&part).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let back = async {
            let mut bytes = vec![0; LARGEST];
            loop {
                match from.read(&mut bytes).await {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(read) => {
                        connection
                            .send_part(call, procedure, serial, &bytes[..read])
                            .await?;
                    }
                }
            }
        };
        tokio::select! {
            ended = out => ended,
            ended = back => ended,
        }
    }
}
