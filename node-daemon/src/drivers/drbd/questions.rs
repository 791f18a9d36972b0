//! Where DRBD's handler asks: a socket that only root reaches. A question that was put stays open until the cluster has
//! decided, the handler is gone, or it is given up; then the handler says what DRBD takes for no answer.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use quorate_crds::Name;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::drivers::{PeerVerdict, Question};
use crate::handler::{Answer, Call, FENCED, OUTDATED, UNDECIDED};

/// A question that nobody decided is put again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked whether a question still matters.
const LOOK: Duration = Duration::from_millis(250);
/// How often the kernel is asked that.
const LOOKS_PER_KERNEL: u32 = 8;
const LONGEST_CALL: u64 = 4096;

/// What the questions need to know of this host's replicas.
pub(super) trait Knows: Send + Sync {
    /// The volume and the peer's host, when the resource is ours.
    fn whom(&self, call: &Call) -> Option<(Name, Name)>;

    /// Whether the answer does not matter any more: the peer is back.
    fn is_moot(&self, volume: Name, peer: Name) -> BoxFuture<'static, bool>;

    /// Something else that the kernel says; whether it may go on.
    fn may_go_on(&self, call: Call) -> BoxFuture<'static, bool>;
}

/// The open questions.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asker: Mutex<Option<mpsc::Sender<Question>>>,
    given_up: Mutex<BTreeSet<Name>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As long as it lives, questions about a volume are answered with no answer.
pub(super) struct GivenUp(Arc<Questions>, Name);

impl Drop for GivenUp {
    fn drop(&mut self) {
        lock(&self.0.given_up).remove(&self.1);
    }
}

impl Questions {
    /// Hears them from now on.
    pub(super) fn hear(&self) -> BoxStream<'static, Question> {
        let (sender, receiver) = mpsc::channel(16);
        *lock(&self.asker) = Some(sender);
        stream::unfold(receiver, |mut receiver| async move {
            let question = receiver.recv().await?;
            Some((question, receiver))
        })
        .boxed()
    }

    pub(super) fn give_up(self: &Arc<Self>, volume: &Name) -> GivenUp {
        lock(&self.given_up).insert(volume.clone());
        GivenUp(Arc::clone(self), volume.clone())
    }

    /// Listens until the runtime ends.
    pub(super) fn listen(self: Arc<Self>, socket: PathBuf, knows: Arc<dyn Knows>) {
        tokio::spawn(async move {
            loop {
                match bind(&socket) {
                    Ok(listener) => self.serve(listener, &knows).await,
                    Err(error) => tracing::warn!(
                        socket = %socket.display(), %error,
                        "DRBD's handler cannot ask: writes wait where a peer is lost"
                    ),
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
    }

    async fn serve(self: &Arc<Self>, listener: UnixListener, knows: &Arc<dyn Knows>) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (questions, knows) = (Arc::clone(self), Arc::clone(knows));
                    tokio::spawn(async move {
                        if let Err(error) = questions.hear_out(stream, &*knows).await {
                            tracing::debug!(%error, "DRBD's handler went away");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "DRBD's handler cannot be heard");
                    return;
                }
            }
        }
    }

    async fn hear_out(&self, stream: UnixStream, knows: &dyn Knows) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read.take(LONGEST_CALL));
        let mut line = String::new();
        read.read_line(&mut line).await?;
        let call: Call = serde_json::from_str(&line)?;
        let exit = if call.handler == "fence-peer" {
            let mut gone = [0; 1];
            tokio::select! {
                exit = self.decide(&call, knows) => exit,
                _ = read.read(&mut gone) => return Ok(()),
            }
        } else {
            tracing::warn!(
                volume = call.resource,
                peer = call.peer,
                handler = call.handler,
                "DRBD says"
            );
            let goes_on = knows.may_go_on(call).await;
            if goes_on { 0 } else { UNDECIDED }
        };
        let mut answer = serde_json::to_string(&Answer { exit })?;
        answer.push('\n');
        write.write_all(answer.as_bytes()).await
    }

    async fn decide(&self, call: &Call, knows: &dyn Knows) -> u8 {
        loop {
            let Some((volume, peer)) = knows.whom(call) else {
                tracing::warn!(
                    resource = call.resource,
                    peer = call.peer,
                    "DRBD asks about a resource that is not known here; it waits"
                );
                tokio::time::sleep(AGAIN * 10).await;
                continue;
            };
            if lock(&self.given_up).contains(&volume) {
                return UNDECIDED;
            }
            if let Some(exit) = self.put(&volume, &peer, knows).await {
                return exit;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Puts the question once.
    async fn put(&self, volume: &Name, peer: &Name, knows: &dyn Knows) -> Option<u8> {
        let (answer, mut answered) = oneshot::channel();
        let asker = lock(&self.asker).clone()?;
        let question = Question {
            volume: volume.clone(),
            peer: peer.clone(),
            answer,
        };
        asker.send(question).await.ok()?;
        let mut looks = 0;
        loop {
            tokio::select! {
                verdict = &mut answered => return match verdict {
                    Ok(PeerVerdict::Outdated) => Some(OUTDATED),
                    Ok(PeerVerdict::Fenced) => Some(FENCED),
                    Ok(PeerVerdict::Undecided) | Err(_) => None,
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            if lock(&self.given_up).contains(volume) {
                return Some(UNDECIDED);
            }
            looks += 1;
            if looks % LOOKS_PER_KERNEL == 0 && knows.is_moot(volume.clone(), peer.clone()).await {
                return Some(UNDECIDED);
            }
        }
    }
}

/// The directory is root's alone.
fn bind(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(socket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::{Patience, fence_peer};

    struct Web {
        back: bool,
    }

    impl Knows for Web {
        fn whom(&self, call: &Call) -> Option<(Name, Name)> {
            (call.resource == "web").then(|| ("web".into(), "an2".into()))
        }

        fn is_moot(&self, _volume: Name, _peer: Name) -> BoxFuture<'static, bool> {
            let back = self.back;
            Box::pin(async move { back })
        }

        fn may_go_on(&self, call: Call) -> BoxFuture<'static, bool> {
            Box::pin(async move { call.handler != "before-resync-target" })
        }
    }

    #[tokio::test]
    async fn a_resync_goes_on_only_when_the_daemon_says_so() {
        let (_directory, socket, _questions) = listening(false).await;
        let permitted = move |handler: &str, socket: &Path| {
            let call = Call {
                handler: handler.into(),
                resource: "web".into(),
                ..Call::default()
            };
            let patience = Patience {
                again: Duration::from_millis(10),
                report: Duration::from_secs(5),
                log: &|_| {},
            };
            crate::handler::permission(socket, &call, &patience)
        };
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let codes = tokio::task::spawn_blocking(move || {
            ["before-resync-target", "initial-split-brain"]
                .map(|handler| permitted(handler, &socket))
                .into_iter()
                .chain([permitted("before-resync-target", Path::new("/nonexistent"))])
                .collect::<Vec<u8>>()
        });
        assert_eq!(codes.await.expect("codes"), [UNDECIDED, 0, UNDECIDED]);
    }

    fn asked(socket: &Path) -> tokio::task::JoinHandle<u8> {
        let socket = socket.to_owned();
        tokio::task::spawn_blocking(move || {
            let call = Call {
                handler: "fence-peer".into(),
                resource: "web".into(),
                ..Call::default()
            };
            let patience = Patience {
                again: Duration::from_millis(10),
                report: Duration::from_secs(1),
                log: &|_| {},
            };
            fence_peer(&socket, &call, &patience)
        })
    }

    async fn listening(back: bool) -> (tempfile::TempDir, PathBuf, Arc<Questions>) {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let questions = Arc::new(Questions::default());
        Arc::clone(&questions).listen(socket.clone(), Arc::new(Web { back }));
        (directory, socket, questions)
    }

    #[tokio::test]
    async fn a_question_is_put_until_it_is_decided() {
        let (_directory, socket, questions) = listening(false).await;
        // The handler is there before the daemon.
        let handler = asked(&socket);
        let mut heard = questions.hear();
        let first = heard.next().await.expect("a question");
        assert_eq!((first.volume.as_str(), first.peer.as_str()), ("web", "an2"));
        drop(first);
        let second = heard.next().await.expect("again");
        let _ = second.answer.send(PeerVerdict::Undecided);
        // Another daemon hears from now on.
        drop(heard);
        let mut heard = questions.hear();
        let third = heard.next().await.expect("again");
        let _ = third.answer.send(PeerVerdict::Fenced);
        assert_eq!(handler.await.expect("an exit code"), FENCED);
    }

    #[tokio::test]
    async fn a_question_that_is_given_up_gets_no_answer() {
        let (_directory, socket, questions) = listening(false).await;
        let mut heard = questions.hear();
        let handler = asked(&socket);
        let question = heard.next().await.expect("a question");
        let given_up = questions.give_up(&"web".into());
        assert_eq!(handler.await.expect("an exit code"), UNDECIDED);
        assert!(question.answer.is_closed());
        drop(given_up);
        let handler = asked(&socket);
        let question = heard.next().await.expect("a new one");
        let _ = question.answer.send(PeerVerdict::Outdated);
        assert_eq!(handler.await.expect("an exit code"), OUTDATED);
    }

    #[tokio::test]
    async fn a_question_about_a_peer_that_is_back_is_over() {
        let (_directory, socket, questions) = listening(true).await;
        let mut heard = questions.hear();
        let handler = asked(&socket);
        let question = heard.next().await.expect("a question");
        assert_eq!(handler.await.expect("an exit code"), UNDECIDED);
        assert!(question.answer.is_closed());
    }
}
