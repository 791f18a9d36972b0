//! The room's end of the line to the agent in a host.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::error::{LabError, OnFile};
use crate::frame::{Decoder, Frame, Kind, MAX_PAYLOAD};
use crate::qmp::connect_when_there;

/// How often to ask an agent that has not answered.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A line to the agent that one task owns.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Link {
    /// Connects as soon as QEMU has made the socket.
    pub(crate) async fn connect(socket: &Path) -> Result<Link, LabError> {
        let stream = connect_when_there(socket, Duration::from_secs(60)).await?;
        Ok(Link {
            stream,
            decoder: Decoder::default(),
            buffer: vec![0; MAX_PAYLOAD],
        })
    }

    /// Sends one frame.
    pub(crate) async fn send(&mut self, frame: &Frame) -> std::io::Result<()> {
        self.stream.write_all(&frame.encode()).await
    }

    /// The next frame; none when QEMU has closed the line. May be cancelled without loss.
    pub(crate) async fn next_frame(&mut self) -> std::io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Ok(Some(frame));
            }
            let count = self.stream.read(&mut self.buffer).await?;
            if count == 0 {
                return Ok(None);
            }
            self.decoder.feed(&self.buffer[..count]);
        }
    }

    /// Asks until the agent answers. What is said to a port that nobody has opened is lost, hence the repetition.
    pub(crate) async fn wait_until_awake(&mut self, patience: Duration) -> Result<(), LabError> {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < patience {
            self.send(&Frame::new(Kind::Ping, 0, []))
                .await
                .on("write to", "agent.sock")?;
            match tokio::time::timeout(ASK_AGAIN, self.next_frame()).await {
                Ok(Ok(Some(frame))) if matches!(frame.kind, Kind::Pong | Kind::Hello) => {
                    return Ok(());
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(error).on("read from", "agent.sock"),
                Ok(Ok(Some(_))) | Err(_) => {}
            }
        }
        Err(LabError::TimedOut {
            condition: "the agent of the host".to_owned(),
            after: begun.elapsed(),
            last_seen: "no answer; its console may say why".to_owned(),
        })
    }
}

/// What a command in a host printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 and more for a signal, as in a shell.
    pub code: u32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
}

/// A line to the agent that many commands share.
#[derive(Debug)]
pub(crate) struct AgentLine {
    outgoing: mpsc::Sender<Frame>,
    commands: Commands,
    last: AtomicU32,
}

type Commands = Arc<Mutex<HashMap<u32, mpsc::UnboundedSender<Frame>>>>;

impl AgentLine {
    /// Takes the line over; whenever the agent shows that it is there, `awake` is told.
    pub(crate) fn share(link: Link, awake: mpsc::UnboundedSender<()>) -> AgentLine {
        let (outgoing, frames) = mpsc::channel(64);
        let commands = Commands::default();
        tokio::spawn(carry(link, frames, Arc::clone(&commands), awake));
        // A template's agent has never run a command, so numbers need only be new within this line.
        AgentLine {
            outgoing,
            commands,
            last: AtomicU32::new(0),
        }
    }

    /// A number for a new command, and the frames that will come for it.
    pub(crate) fn open(&self) -> (u32, mpsc::UnboundedReceiver<Frame>) {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.commands).insert(id, sender);
        (id, receiver)
    }

    /// Nobody waits for this command any more.
    pub(crate) fn forget(&self, id: u32) {
        lock(&self.commands).remove(&id);
    }

    /// The host was reset: no command that runs will ever end.
    pub(crate) fn forget_all(&self) {
        lock(&self.commands).clear();
    }

    /// Sends a frame; what cannot be sent is lost with the line.
    pub(crate) async fn send(&self, frame: Frame) {
        let _ = self.outgoing.send(frame).await;
    }

    /// Runs a command to its end; none when the host is reset meanwhile.
    pub(crate) async fn run(&self, argv: &[&str]) -> Option<Output> {
        let (id, mut frames) = self.open();
        self.send(Frame::new(Kind::Exec, id, argv.join("\0"))).await;
        self.send(Frame::new(Kind::StdinEnd, id, [])).await;
        let mut output = Output {
            code: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        while let Some(frame) = frames.recv().await {
            match frame.kind {
                Kind::Stdout => output.stdout.extend(frame.payload),
                Kind::Stderr => output.stderr.extend(frame.payload),
                Kind::Exit => {
                    self.forget(id);
                    output.code = frame.as_number().unwrap_or(255);
                    return Some(output);
                }
                _ => {}
            }
        }
        None
    }
}

async fn carry(
    mut link: Link,
    mut outgoing: mpsc::Receiver<Frame>,
    commands: Commands,
    awake: mpsc::UnboundedSender<()>,
) {
    loop {
        tokio::select! {
            frame = outgoing.recv() => {
                let Some(frame) = frame else { break };
                if link.send(&frame).await.is_err() {
                    break;
                }
            }
            frame = link.next_frame() => {
                let Ok(Some(frame)) = frame else { break };
                match frame.kind {
                    // Nobody listens while the host is being told who it is.
                    Kind::Hello | Kind::Pong => drop(awake.send(())),
                    _ => {
                        let commands = lock(&commands);
                        if let Some(command) = commands.get(&frame.command) {
                            let _ = command.send(frame);
                        }
                    }
                }
            }
        }
    }
    lock(&commands).clear();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
