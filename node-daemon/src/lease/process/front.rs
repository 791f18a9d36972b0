//! What talks to the daemon, apart from what beats.

use super::super::message::{FromLease, Heard, ToLease, say};
use super::super::{Command, LeaseView};
use super::kept::Kept;
use super::{LeaseError, SOCKET, system};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::JoinHandle;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

/// Starts the thread. It ends when `ended` does.
pub(super) fn spawn(
    run_dir: &Path,
    kept: Kept,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<LeaseView>,
    ended: oneshot::Receiver<()>,
) -> Result<JoinHandle<()>, LeaseError> {
    let path = run_dir.join(SOCKET);
    let listener = listen(&path).map_err(system(format!("cannot listen on {}", path.display())))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start a runtime"))?;
    std::thread::Builder::new()
        .name("front".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let front = Front {
                    kept,
                    commands,
                    view,
                };
                tokio::select! {
                    biased;
                    _ = ended => {}
                    () = front.serve(listener) => {}
                }
            });
        })
        .map_err(system("cannot start a thread that talks to the daemon"))
}

fn listen(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

struct Front {
    kept: Kept,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<LeaseView>,
}

impl Front {
    /// One daemon at a time: one that comes takes the place of the one before.
    async fn serve(&self, listener: std::os::unix::net::UnixListener) {
        let listener = match UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the daemon cannot be heard");
                return std::future::pending().await;
            }
        };
        let mut daemon: Option<UnixStream> = None;
        loop {
            let stream = match daemon.take() {
                Some(stream) => stream,
                None => accept(&listener).await,
            };
            tokio::select! {
                biased;
                next = accept(&listener) => daemon = Some(next),
                result = self.talk(stream) => {
                    if let Err(error) = result {
                        tracing::info!(%error, "the daemon's connection broke");
                    }
                    // It may be on its way back; for how long that is believed, the heart knows.
                    let _ = self.commands.send(Command::Closed).await;
                }
            }
        }
    }

    async fn talk(&self, stream: UnixStream) -> io::Result<()> {
        let (read, write) = stream.into_split();
        tokio::try_join!(self.hear(read), self.tell(write)).map(drop)
    }

    async fn hear(&self, read: impl tokio::io::AsyncRead + Unpin) -> io::Result<()> {
        let mut heard = Heard::new(read);
        loop {
            let command = match heard.next().await? {
                ToLease::Alive => Command::Alive,
                ToLease::Closing => Command::Closed,
                ToLease::SetUp(setup) => {
                    if let Err(error) = self.kept.write(&setup) {
                        tracing::warn!(
                            %error,
                            "a lease process that is started again will have to wait for the daemon"
                        );
                    }
                    Command::SetUp(setup)
                }
            };
            if self.commands.send(command).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn tell(&self, mut write: impl tokio::io::AsyncWrite + Unpin) -> io::Result<()> {
        let mut view = self.view.clone();
        loop {
            let now = *view.borrow_and_update();
            say(&mut write, &FromLease::View(now)).await?;
            if view.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a connection of the daemon was not taken");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}
