//! QEMU's control protocol.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};

use crate::error::{LabError, OnFile};

/// A command that QEMU has not answered for so long will not be answered: it is stopped or stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event that QEMU tells of by itself.
#[derive(Debug, Clone)]
pub(crate) struct QemuEvent {
    /// `SHUTDOWN`, `RESET`, `WATCHDOG`, …
    pub(crate) name: String,
    /// What belongs to it.
    pub(crate) data: Value,
}

/// A connection to one QEMU.
#[derive(Debug)]
pub(crate) struct Qmp {
    requests: Mutex<Requests>,
}

#[derive(Debug)]
struct Requests {
    writer: OwnedWriteHalf,
    answers: mpsc::UnboundedReceiver<Value>,
}

impl Qmp {
    /// Connects as soon as the socket is there, and hands over the events.
    pub(crate) async fn connect(
        socket: &Path,
    ) -> Result<(Qmp, mpsc::UnboundedReceiver<QemuEvent>), LabError> {
        let stream = connect_when_there(socket, PATIENCE).await?;
        let (reader, writer) = stream.into_split();
        let (answer, answers) = mpsc::unbounded_channel();
        let (event, events) = mpsc::unbounded_channel();
        tokio::spawn(sort_messages(BufReader::new(reader).lines(), answer, event));
        let qmp = Qmp {
            requests: Mutex::new(Requests { writer, answers }),
        };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok((qmp, events))
    }

    /// Runs one command and returns what QEMU returned.
    pub(crate) async fn execute(&self, command: &str, arguments: Value) -> Result<Value, LabError> {
        let mut requests = self.requests.lock().await;
        let refused = |reason: String| LabError::Qemu {
            command: command.to_owned(),
            reason,
        };
        // An answer to a request that was given up would be taken for the answer to this one.
        while requests.answers.try_recv().is_ok() {}
        let line = format!(
            "{}\n",
            json!({ "execute": command, "arguments": arguments })
        );
        requests
            .writer
            .write_all(line.as_bytes())
            .await
            .map_err(|error| refused(error.to_string()))?;
        let answer = tokio::time::timeout(PATIENCE, requests.answers.recv())
            .await
            .map_err(|_| {
                refused(format!(
                    "no answer within {PATIENCE:?}; it is stopped or stuck"
                ))
            })?
            .ok_or_else(|| refused("it has ended".to_owned()))?;
        match answer.get("error") {
            Some(error) => Err(refused(
                error["desc"]
                    .as_str()
                    .unwrap_or("no reason given")
                    .to_owned(),
            )),
            None => Ok(answer["return"].clone()),
        }
    }
}

async fn sort_messages(
    mut lines: Lines<BufReader<OwnedReadHalf>>,
    answer: mpsc::UnboundedSender<Value>,
    event: mpsc::UnboundedSender<QemuEvent>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if let Some(name) = message["event"].as_str() {
            // Whoever does not listen to events has dropped the receiver.
            let _ = event.send(QemuEvent {
                name: name.to_owned(),
                data: message["data"].clone(),
            });
        } else if message.get("return").is_some() || message.get("error").is_some() {
            let _ = answer.send(message);
        }
    }
}

/// Connects to a socket that a program is about to make.
pub(crate) async fn connect_when_there(
    socket: &Path,
    patience: Duration,
) -> Result<UnixStream, LabError> {
    let begun = tokio::time::Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed() > patience => return Err(error).on("connect to", socket),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
