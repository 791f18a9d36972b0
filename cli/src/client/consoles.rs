//! The way to a guest's console.

use std::sync::{Mutex, PoisonError};

use futures_util::stream;
use quorate_proto::api::v1::{
    ConsoleInput, ConsoleOpen, ConsoleOpened, ConsoleOutput, console_input::What as Typed,
    console_output::What as Shown, consoles_client::ConsolesClient,
};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::{Client, Refusal, Retry};
use crate::error::CliError;

/// What is typed ahead of a guest that does not listen.
const AHEAD: usize = 16;

/// An open console: bytes go both ways until either side ends.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Where the guest is, and who else is there.
    pub(crate) opened: ConsoleOpened,
    typed: mpsc::Sender<ConsoleInput>,
    shown: Streaming<ConsoleOutput>,
}

/// What comes from a console.
#[derive(Debug)]
pub(crate) enum Output {
    /// The guest says it.
    Data(Vec<u8>),
    /// It is over, and why.
    End(String),
}

/// Where what is typed goes. Dropped, the console is left.
#[derive(Debug, Clone)]
pub(crate) struct Input(mpsc::Sender<ConsoleInput>);

/// Where what is shown comes from.
#[derive(Debug)]
pub(crate) struct Screen(Streaming<ConsoleOutput>);

impl Client {
    /// Opens a console at whichever member its host is connected to.
    pub(crate) async fn attach(&self, open: &ConsoleOpen) -> Result<Attached, CliError> {
        let last = Mutex::new(None);
        let mut shown = self
            .call(Retry::Safe, |channel| {
                let (typed, input) = mpsc::channel(AHEAD);
                let first = ConsoleInput {
                    what: Some(Typed::Open(open.clone())),
                };
                // Nothing else is in it yet.
                let _ = typed.try_send(first);
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(typed);
                let input = stream::unfold(input, |mut input| async move {
                    Some((input.recv().await?, input))
                });
                async move { ConsolesClient::new(channel).attach(input).await }
            })
            .await
            .map_err(unreached)?;
        let typed = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let first = shown
            .message()
            .await
            .map_err(|status| Refusal::from_status(&status, "a member"))?;
        match (typed, first.and_then(|first| first.what)) {
            (Some(typed), Some(Shown::Opened(opened))) => Ok(Attached {
                opened,
                typed,
                shown,
            }),
            _ => Err(CliError::Broken(
                "the server opened a console and did not say which".to_owned(),
            )),
        }
    }
}

/// No member needs a quorum for a console: what they lack is the host.
fn unreached(error: CliError) -> CliError {
    match error {
        CliError::Refused(refusal) if refusal.no_quorum() => CliError::Outcome(format!(
            "{}; look at quorate-node there (`systemctl status quorate-node`)",
            refusal.message
        )),
        other => other,
    }
}

impl Attached {
    /// Both ends.
    pub(crate) fn split(self) -> (Input, Screen) {
        (Input(self.typed), Screen(self.shown))
    }
}

impl Input {
    /// False: nobody is there any more.
    pub(crate) async fn send(&self, data: Vec<u8>) -> bool {
        let typed = ConsoleInput {
            what: Some(Typed::Data(data.into())),
        };
        self.0.send(typed).await.is_ok()
    }
}

impl Screen {
    /// What comes next.
    pub(crate) async fn next(&mut self) -> Result<Output, CliError> {
        loop {
            let message = self
                .0
                .message()
                .await
                .map_err(|status| Refusal::from_status(&status, "the member"))?;
            match message {
                None => return Ok(Output::End("the member ended it".to_owned())),
                Some(ConsoleOutput {
                    what: Some(Shown::Data(data)),
                }) => return Ok(Output::Data(data.into())),
                Some(ConsoleOutput {
                    what: Some(Shown::End(end)),
                }) => return Ok(Output::End(end.reason)),
                // Something of a later release.
                Some(_) => {}
            }
        }
    }
}
