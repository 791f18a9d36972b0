//! The daemon's side of the lease process's socket.

use super::message::{FromLease, Heard, ToLease, say};
use super::{Command, LeaseEnd, LeaseView, Setup};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

const AGAIN: Duration = Duration::from_millis(250);

/// Carries what is said on a channel to the lease process behind that socket, for as long as the daemon has the other
/// end. A lease process that comes, or comes back, is told what it beats for.
pub async fn carry(socket: &Path, mut end: LeaseEnd) {
    let mut setup: Option<Box<Setup>> = None;
    let mut complained = false;
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => {
                complained = false;
                match talk(stream, &mut end.commands, &end.view, &mut setup).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(%error, "the lease process's connection broke");
                    }
                }
            }
            Err(error) if !complained => {
                complained = true;
                tracing::error!(
                    socket = %socket.display(), %error,
                    "the lease process does not listen: without it this host starts nothing"
                );
            }
            Err(_) => {}
        }
        let wait = tokio::time::sleep(AGAIN);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                () = &mut wait => break,
                command = end.commands.recv() => match command {
                    None => return,
                    Some(Command::SetUp(newer)) => setup = Some(newer),
                    Some(Command::Alive | Command::Closed) => {}
                },
            }
        }
    }
}

/// Ends well when the daemon has no more to say.
async fn talk(
    stream: UnixStream,
    commands: &mut mpsc::Receiver<Command>,
    view: &watch::Sender<LeaseView>,
    setup: &mut Option<Box<Setup>>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let tell = async {
        if let Some(setup) = setup.clone() {
            say(&mut write, &ToLease::SetUp(setup)).await?;
        }
        while let Some(command) = commands.recv().await {
            let message = match command {
                Command::Alive => ToLease::Alive,
                Command::Closed => ToLease::Closing,
                Command::SetUp(newer) => {
                    *setup = Some(newer.clone());
                    ToLease::SetUp(newer)
                }
            };
            say(&mut write, &message).await?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        told = tell => told,
        heard = hear(read, view) => heard,
    }
}

async fn hear(
    read: impl tokio::io::AsyncRead + Unpin,
    view: &watch::Sender<LeaseView>,
) -> io::Result<()> {
    let mut heard = Heard::new(read);
    loop {
        let FromLease::View(seen) = heard.next().await?;
        view.send_if_modified(|known| std::mem::replace(known, seen) != seen);
    }
}
