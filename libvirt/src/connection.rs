//! One connection: calls out, answers and events in.

use crate::error::{ErrorCode, RpcError};
use crate::message::{Header, Kind, Message, MessageError, Status};
use crate::stream::{Part, Stream};
use crate::xdr::{Decoder, Encoder, XdrError};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// libvirt's program for guests, and its version.
const REMOTE: u32 = 0x2000_8086;
const VERSION: u32 = 1;
/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(20);
/// So many events wait to be looked at. Events are hints: what is beyond that is as good as told.
const EVENTS: usize = 1024;
/// So many parts of a stream wait to be taken; then libvirt waits.
const PARTS: usize = 16;

const CONNECT_OPEN: i32 = 1;
const AUTH_LIST: i32 = 66;

/// Events as they come.
pub type Events = mpsc::Receiver<Message>;

/// A connection. When it is dropped, nobody waits for anything that was asked on it.
#[derive(Debug)]
pub struct Connection {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Arc<Mutex<Waiting>>,
    reader: AbortHandle,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Waiting {
    serial: u32,
    calls: HashMap<u32, oneshot::Sender<Message>>,
    streams: HashMap<u32, mpsc::Sender<Part>>,
    ended: Option<Option<MessageError>>,
}

impl Connection {
    /// Connects to the driver `uri` of the daemon that listens at `socket`. No call on it waits longer than `patience`.
    ///
    /// # Errors
    /// When nobody listens there, or that driver is not there.
    pub async fn open(
        socket: &Path,
        uri: &str,
        patience: Duration,
    ) -> Result<(Self, Events), RpcError> {
        let unreachable = |source| RpcError::Unreachable {
            path: socket.to_owned(),
            source,
        };
        let connecting = tokio::time::timeout(CONNECTING, UnixStream::connect(socket));
        let stream = match connecting.await {
            Ok(connected) => connected.map_err(unreachable)?,
            Err(_) => return Err(unreachable(std::io::ErrorKind::TimedOut.into())),
        };
        let (reader, writer) = stream.into_split();
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (events, received) = mpsc::channel(EVENTS);
        let task = tokio::spawn(read(reader, Arc::clone(&waiting), events));
        let connection = Self {
            writer: tokio::sync::Mutex::new(writer),
            waiting,
            reader: task.abort_handle(),
            patience,
        };
        connection.introduce(uri).await?;
        Ok((connection, received))
    }

    async fn introduce(&self, uri: &str) -> Result<(), RpcError> {
        let ways = self
            .call("AUTH_LIST", AUTH_LIST, Encoder::new(), |decoder| {
                decoder.list("the number of ways to log in", 20, Decoder::int)
            })
            .await?;
        if !ways.is_empty() && !ways.contains(&0) {
            return Err(RpcError::Refused {
                code: ErrorCode(45),
                message:
                    "libvirt wants a password from root; set auth_unix_rw to \"none\" or \"polkit\""
                        .to_owned(),
            });
        }
        let arguments = Encoder::new().optional(Some(uri)).uint(0);
        self.call("CONNECT_OPEN", CONNECT_OPEN, arguments, |_| Ok(()))
            .await
    }

    /// Asks, and waits for the answer for as long as the connection's patience lasts.
    ///
    /// # Errors
    /// What libvirt says, or that it says nothing.
    pub async fn call<T>(
        &self,
        name: &'static str,
        procedure: i32,
        arguments: Encoder,
        answer: impl FnOnce(&mut Decoder<'_>) -> Result<T, XdrError>,
    ) -> Result<T, RpcError> {
        let asked = self.call_for_ever(name, procedure, arguments, answer);
        match tokio::time::timeout(self.patience, asked).await {
            Ok(result) => result,
            Err(_) => Err(RpcError::Silent {
                call: name,
                after: self.patience,
            }),
        }
    }

    /// Asks, and waits as long as it takes: for what the caller watches by other means.
    ///
    /// # Errors
    /// What libvirt says.
    pub async fn call_for_ever<T>(
        &self,
        name: &'static str,
        procedure: i32,
        arguments: Encoder,
        answer: impl FnOnce(&mut Decoder<'_>) -> Result<T, XdrError>,
    ) -> Result<T, RpcError> {
        let (_, reply) = self.ask(name, procedure, arguments, None).await?;
        answer(&mut Decoder::new(&reply)).map_err(|source| RpcError::Garbled { call: name, source })
    }

    /// Asks for a stream, and gives this connection up to it: a part that nobody takes holds back whatever comes behind it.
    pub(crate) async fn into_stream(
        self,
        name: &'static str,
        procedure: i32,
        arguments: Encoder,
    ) -> Result<Stream, RpcError> {
        let (parts, received) = mpsc::channel(PARTS);
        let opened = self.ask(name, procedure, arguments, Some(parts));
        let serial = match tokio::time::timeout(self.patience, opened).await {
            Ok(opened) => opened?.0,
            Err(_) => {
                return Err(RpcError::Silent {
                    call: name,
                    after: self.patience,
                });
            }
        };
        Ok(Stream::new(self, name, procedure, serial, received))
    }

    /// The number of the call, and what a good answer says.
    async fn ask(
        &self,
        name: &'static str,
        procedure: i32,
        arguments: Encoder,
        stream: Option<mpsc::Sender<Part>>,
    ) -> Result<(u32, Vec<u8>), RpcError> {
        let (serial, reply) = self.expect(name, stream)?;
        let header = Header {
            program: REMOTE,
            version: VERSION,
            procedure,
            kind: Kind::Call,
            serial,
            status: Status::Good,
        };
        let body = arguments.into_bytes();
        self.send(name, &Message { header, body }).await?;
        let Ok(reply) = reply.await else {
            return Err(self.lost(name));
        };
        let garbled = |source| RpcError::Garbled { call: name, source };
        match reply.header.status {
            Status::Good => Ok((serial, reply.body)),
            Status::Failed => Err(refusal(&mut Decoder::new(&reply.body)).map_err(garbled)?),
            Status::Continues => Err(garbled(XdrError::OutOfRange {
                what: "the status of an answer",
                found: 2,
                allowed: "0 and 1",
            })),
        }
    }

    /// Part of the stream that `serial` opened.
    pub(crate) async fn send_part(
        &self,
        name: &'static str,
        procedure: i32,
        serial: u32,
        bytes: &[u8],
    ) -> Result<(), RpcError> {
        let header = Header {
            program: REMOTE,
            version: VERSION,
            procedure,
            kind: Kind::Stream,
            serial,
            status: Status::Continues,
        };
        let body = bytes.to_vec();
        self.send(name, &Message { header, body }).await
    }

    async fn send(&self, name: &'static str, message: &Message) -> Result<(), RpcError> {
        let written = self.writer.lock().await.write_all(&message.encode()).await;
        written.map_err(|_| self.lost(name))
    }

    fn expect(
        &self,
        name: &'static str,
        stream: Option<mpsc::Sender<Part>>,
    ) -> Result<(u32, oneshot::Receiver<Message>), RpcError> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        if waiting.ended.is_some() {
            drop(waiting);
            return Err(self.lost(name));
        }
        waiting.serial = waiting.serial.wrapping_add(1);
        let serial = waiting.serial;
        waiting.calls.insert(serial, sender);
        // Its first part may come right behind the answer.
        waiting
            .streams
            .extend(stream.map(|stream| (serial, stream)));
        Ok((serial, receiver))
    }

    fn lost(&self, call: &'static str) -> RpcError {
        match &lock(&self.waiting).ended {
            Some(Some(why)) => RpcError::Foreign(why.clone()),
            _ => RpcError::Lost { call },
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A task that panicked while it held the lock has left nothing half done in it.
fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(
    mut socket: OwnedReadHalf,
    waiting: Arc<Mutex<Waiting>>,
    events: mpsc::Sender<Message>,
) {
    let why = loop {
        match next(&mut socket).await {
            Ok(Some(message)) => deliver(message, &waiting, &events).await,
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let mut waiting = lock(&waiting);
    waiting.ended = Some(why);
    // Who waits learns it by this.
    waiting.calls.clear();
    waiting.streams.clear();
}

/// The next message; none at the end.
async fn next(socket: &mut OwnedReadHalf) -> Result<Option<Message>, MessageError> {
    let mut length = [0; 4];
    if socket.read_exact(&mut length).await.is_err() {
        return Ok(None);
    }
    let mut left = Message::remaining(length)?;
    // The length is foreign input: memory is taken as the bytes come.
    let mut bytes = Vec::new();
    let mut part = [0; 16384];
    while left > 0 {
        let most = left.min(part.len());
        match socket.read(&mut part[..most]).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(read) => {
                bytes.extend_from_slice(&part[..read]);
                left -= read;
            }
        }
    }
    Message::decode(&bytes).map(Some)
}

async fn deliver(message: Message, waiting: &Mutex<Waiting>, events: &mpsc::Sender<Message>) {
    if message.header.program != REMOTE {
        return;
    }
    match message.header.kind {
        Kind::Reply => {
            let caller = lock(waiting).calls.remove(&message.header.serial);
            if let Some(caller) = caller {
                // Who asked may have given up.
                let _ = caller.send(message);
            }
        }
        Kind::Event => {
            // When nobody takes them, or too many wait: they are hints.
            let _ = events.try_send(message);
        }
        Kind::Stream => hand_on(message, waiting).await,
        Kind::Call => {}
    }
}

async fn hand_on(message: Message, waiting: &Mutex<Waiting>) {
    let serial = message.header.serial;
    let ends = message.header.status != Status::Continues || message.body.is_empty();
    let stream = {
        let mut waiting = lock(waiting);
        if ends {
            waiting.streams.remove(&serial)
        } else {
            waiting.streams.get(&serial).cloned()
        }
    };
    let Some(stream) = stream else { return };
    let part = match message.header.status {
        Status::Continues if ends => return,
        Status::Good => return,
        Status::Continues => Ok(message.body),
        Status::Failed => Err(
            refusal(&mut Decoder::new(&message.body)).unwrap_or_else(|source| RpcError::Garbled {
                call: "a stream",
                source,
            }),
        ),
    };
    // Whoever opened it may have gone.
    let _ = stream.send(part).await;
}

fn refusal(decoder: &mut Decoder<'_>) -> Result<RpcError, XdrError> {
    let code = decoder.int()?;
    let _domain = decoder.int()?;
    let message = decoder.optional()?;
    Ok(RpcError::Refused {
        code: ErrorCode(code),
        message: message.unwrap_or_else(|| format!("libvirt refused with error {code}")),
    })
}
