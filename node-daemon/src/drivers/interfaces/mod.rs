//! Networks on this machine: what is there is read from the kernel, what is to change is asked of `quorate-network`.
//!
//! That process holds the checkpoint and the deadline of every change, so that a daemon that is killed, hangs or is
//! upgraded in the middle leaves no host cut off. Here is only the translation: manifests into [`quorate_network::Wanted`],
//! interfaces into what is reported.

mod seen;
mod wanted;

use super::{Doing, DriverError, Hint, Hints, NetworkSeen, NetworkTarget, Networks, Trouble};
use futures_util::{StreamExt, stream};
use quorate_crds::Name;
use quorate_network::keeper::{Directory, Shelf};
use quorate_network::kernel::{Kernel, KernelError};
use quorate_network::netlink::{Machine, Watch};
use quorate_network::service::{Answer, AskError, Client, Question, Word};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use tokio::net::unix::pipe::Receiver;

/// The networks of this machine.
#[derive(Clone, Debug)]
pub(super) struct Interfaces {
    client: Client,
    shelf: Directory,
}

impl Interfaces {
    /// With `quorate-network` where its unit puts it.
    pub(super) fn of_this_host() -> Self {
        Self {
            client: Client(PathBuf::from("/run/quorate-network/socket")),
            shelf: Directory(PathBuf::from("/var/lib/quorate-network")),
        }
    }

    /// The kernel and the process are asked on a thread that may wait.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, DriverError> + Send + 'static,
    ) -> Result<T, DriverError> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || work(own))
            .await
            .unwrap_or_else(|error| {
                let words = "what was asked of this host's networks ended in the middle";
                Err(DriverError::unclear(Trouble::UnknownAnswer, words).because(error))
            })
    }

    async fn ask(&self, question: Question) -> Result<(), DriverError> {
        self.aside(move |own| match own.client.ask(&question) {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::Refused(word, words)) => Err(refused(word, words)),
            Err(error) => Err(unanswered(error)),
        })
        .await
    }
}

fn unanswered(error: AskError) -> DriverError {
    let message = error.to_string();
    match error {
        AskError::NotThere(cause) => {
            DriverError::passing(Trouble::NotInstalled, message).because(cause)
        }
        AskError::NoAnswer(cause) => {
            DriverError::unclear(Trouble::TimedOut, message).because(cause)
        }
    }
}

fn refused(word: Word, words: String) -> DriverError {
    match word {
        Word::Waits => DriverError::passing(Trouble::WaitsForOthers, words),
        Word::DeviceMissing => DriverError::passing(Trouble::DeviceMissing, words),
        Word::InUse => DriverError::passing(Trouble::InUse, words),
        Word::Refused => DriverError::passing(Trouble::Refused, words),
        Word::Restless => DriverError::passing(Trouble::DoesNotConverge, words),
        Word::ForeignInTheWay => DriverError::lasting(Trouble::ForeignInTheWay, words),
        Word::NotSupported => DriverError::lasting(Trouble::NotSupported, words),
        Word::RolledBack => DriverError::lasting(Trouble::RolledBack, words),
    }
}

fn unread(error: KernelError) -> DriverError {
    DriverError::passing(Trouble::Refused, error.to_string()).because(error)
}

/// The next time that something was said.
async fn heard(watch: Receiver) -> Option<(Hint, Receiver)> {
    /// ENOBUFS: the kernel said more than fitted.
    const OVERRUN: i32 = 105;
    let mut said = [0; 4096];
    loop {
        watch.readable().await.ok()?;
        match watch.try_read(&mut said) {
            Ok(0) => return None,
            Ok(_) => return Some((Hint::Anything, watch)),
            Err(error) if error.raw_os_error() == Some(OVERRUN) => {
                return Some((Hint::Anything, watch));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(%error, "the kernel does not say any more when a link changes");
                return None;
            }
        }
    }
}

impl Networks for Interfaces {
    fn observe(&self) -> Doing<'_, Vec<NetworkSeen>> {
        Box::pin(self.aside(|own| {
            let records = own.shelf.load().map_err(|error| {
                DriverError::lasting(Trouble::UnknownAnswer, error.to_string()).because(error)
            })?;
            let host = Machine.observe().map_err(unread)?;
            Ok(seen::networks(&host, &records))
        }))
    }

    fn watch(&self) -> Hints {
        let watched = Watch::begin().and_then(|watch| {
            // A socket is read like a pipe; what was said does not matter, only that something was.
            Receiver::from_owned_fd_unchecked(watch.as_fd().try_clone_to_owned()?)
        });
        match watched {
            Ok(watch) => stream::unfold(watch, heard).boxed(),
            Err(error) => {
                tracing::warn!(%error, "the kernel does not say when a link changes");
                stream::empty().boxed()
            }
        }
    }

    fn apply<'a>(&'a self, target: &'a NetworkTarget) -> Doing<'a, ()> {
        Box::pin(async move {
            let wanted = wanted::wanted(target)?;
            self.ask(Question::Apply(Box::new(wanted))).await
        })
    }

    fn keep<'a>(&'a self, network: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.ask(Question::Keep(network.to_string())))
    }

    fn remove<'a>(&'a self, network: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.ask(Question::Remove(network.to_string())))
    }
}
