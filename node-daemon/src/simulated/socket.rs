//! The room in a process of its own: one line of JSON for a question, one for its answer.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::{UnixListener, UnixStream};

use super::handle::{LocalRoom, Room};
use super::room::{Answer, Request, STEP};

/// How long the room's process may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A room behind a socket.
#[derive(Debug)]
pub struct SocketRoom {
    path: PathBuf,
    idle: tokio::sync::Mutex<Option<AsyncBufReader<UnixStream>>>,
    blocking: Mutex<Option<BufReader<BlockingStream>>>,
}

impl SocketRoom {
    /// The room that listens there. It is connected to when it is first asked.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: tokio::sync::Mutex::default(),
            blocking: Mutex::default(),
        }
    }

    async fn exchange(&self, line: &str) -> io::Result<String> {
        // A connection whose answer was not waited for is not used again.
        let idle = self.idle.lock().await.take();
        let mut stream = match idle {
            Some(stream) => stream,
            None => AsyncBufReader::new(UnixStream::connect(&self.path).await?),
        };
        stream.get_mut().write_all(line.as_bytes()).await?;
        let mut reply = String::new();
        if stream.read_line(&mut reply).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *self.idle.lock().await = Some(stream);
        Ok(reply)
    }

    fn exchange_now(&self, line: &str) -> io::Result<String> {
        let mut kept = self.blocking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let stream = BlockingStream::connect(&self.path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(line.as_bytes())?;
        let mut reply = String::new();
        if stream.read_line(&mut reply)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *kept = Some(stream);
        Ok(reply)
    }
}

fn line(request: &Request) -> io::Result<String> {
    Ok(serde_json::to_string(request)? + "\n")
}

impl Room for SocketRoom {
    fn ask(&self, request: Request) -> BoxFuture<'_, io::Result<Answer>> {
        Box::pin(async move {
            let line = line(&request)?;
            let reply = tokio::time::timeout(PATIENCE, self.exchange(&line))
                .await
                .map_err(io::Error::from)??;
            Ok(serde_json::from_str(&reply)?)
        })
    }

    fn ask_now(&self, request: Request) -> io::Result<Answer> {
        let reply = self.exchange_now(&line(&request)?)?;
        Ok(serde_json::from_str(&reply)?)
    }
}

/// Lets the room's time go on with the clock, and answers whoever connects. Never returns by itself.
pub async fn serve(room: LocalRoom, socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let began = Instant::now();
    let mut step = tokio::time::interval(STEP);
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(converse(room.clone(), stream, began));
            }
            _ = step.tick() => room.lock().advance(began.elapsed()),
        }
    }
}

async fn converse(room: LocalRoom, stream: UnixStream, began: Instant) {
    let (from, mut to) = stream.into_split();
    let mut lines = AsyncBufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(request) = serde_json::from_str::<Request>(&line) else {
            tracing::warn!(
                line,
                "the room was asked something that it does not understand"
            );
            return;
        };
        let answer = {
            let mut room = room.lock();
            room.advance(began.elapsed());
            room.ask(request)
        };
        let Ok(mut reply) = serde_json::to_string(&answer) else {
            return;
        };
        reply.push('\n');
        if to.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}
