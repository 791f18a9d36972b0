//! Waiting for what the cluster does after a command has told it what is wanted.
//!
//! The command is done when the wish is written: the cluster goes on without it. Whoever waits sees how far it is,
//! and may stop waiting at any time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::{
    client::{Follow, Followed, Scope},
    console::Console,
    error::CliError,
    object,
    output::age,
    session::Session,
    values,
};

/// How often the line on the terminal shows the time anew.
const TICK: Duration = Duration::from_secs(1);

/// Whether and how long a command waits.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Waiting {
    /// Return as soon as the wish is written
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the outcome; 0 waits for ever. The cluster goes on in any case
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = values::duration)]
    timeout: Duration,
}

/// How far something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Going(String),
    /// It has come out as wished.
    Done(String),
    /// It has not, and waiting does not help.
    Failed(String),
}

/// The objects that are followed, as they are now.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<(String, String), Value>);

impl Seen {
    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.get(&(kind.to_owned(), name.to_owned()))
    }

    pub(crate) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0
            .iter()
            .filter(move |((of, _), _)| of == kind)
            .map(|(_, object)| object)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.values()
    }

    pub(crate) fn put(&mut self, object: Value) {
        self.0.insert(key(&object), object);
    }

    /// Take in what a watch tells; true when everything that existed has been told.
    pub(crate) fn take(&mut self, told: Followed) -> bool {
        match told {
            Followed::Added(object) | Followed::Modified(object) => {
                self.put(object);
                false
            }
            Followed::Deleted(object) => {
                self.0.remove(&key(&object));
                false
            }
            Followed::Complete => true,
        }
    }
}

#[cfg(test)]
impl FromIterator<Value> for Seen {
    fn from_iter<I: IntoIterator<Item = Value>>(objects: I) -> Self {
        Self(
            objects
                .into_iter()
                .map(|object| (key(&object), object))
                .collect(),
        )
    }
}

fn key(object: &Value) -> (String, String) {
    (
        object::kind(object).to_owned(),
        object::name(object).to_owned(),
    )
}

/// One object, as what to follow.
pub(crate) fn one(plural: &str, name: &str) -> Scope {
    Scope {
        kind: plural.to_owned(),
        field_selector: format!("metadata.name={name}"),
        ..Scope::default()
    }
}

/// All objects of a kind, as what to follow.
pub(crate) fn all(plural: &str) -> Scope {
    Scope {
        kind: plural.to_owned(),
        ..Scope::default()
    }
}

/// Follow `scopes` until `judge` says how it came out, showing how far it is. `goes_on` tells who stops waiting
/// what the cluster does without them.
pub(crate) async fn outcome(
    session: &Session,
    waiting: &Waiting,
    scopes: Vec<Scope>,
    goes_on: &str,
    mut judge: impl FnMut(&Seen) -> Verdict,
) -> Result<(), CliError> {
    if waiting.no_wait {
        session.console.note(goes_on);
        return Ok(());
    }
    let client = session.client().await?;
    let mut incomplete = scopes.len();
    let follows = scopes.into_iter().map(|scope| {
        Follow::from_now(client.clone(), scope)
            .into_stream()
            .boxed()
    });
    let mut told = stream::select_all(follows);
    let mut seen = Seen::default();
    let mut line = Line::new(session.console);
    let mut ticks = tokio::time::interval(TICK);
    let started = Instant::now();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            next = told.next() => match next {
                Some(Ok(told)) => incomplete -= usize::from(seen.take(told)),
                Some(Err(error)) => {
                    line.end();
                    return Err(error);
                }
                None => return Err(CliError::Broken("every watch has ended".to_owned())),
            },
            _ = ticks.tick() => {}
            _ = &mut interrupted => {
                line.end();
                return Err(CliError::Interrupted(goes_on.to_owned()));
            }
        }
        if incomplete > 0 {
            continue;
        }
        match judge(&seen) {
            Verdict::Done(text) => {
                line.end();
                return session.console.line(&text);
            }
            Verdict::Failed(text) => {
                line.end();
                return Err(CliError::Outcome(text));
            }
            Verdict::Going(text) => {
                if !waiting.timeout.is_zero() && started.elapsed() >= waiting.timeout {
                    line.end();
                    return Err(CliError::TimedOut(format!(
                        "not done within {}: {text}; {goes_on}",
                        seconds(waiting.timeout)
                    )));
                }
                line.say(&text, started.elapsed());
            }
        }
    }
}

fn seconds(time: Duration) -> String {
    age::short(time.as_secs().try_into().unwrap_or(i64::MAX))
}

/// How far it is: one line that changes on a terminal, a line for each news elsewhere.
struct Line {
    console: Console,
    said: String,
}

impl Line {
    fn new(console: Console) -> Self {
        Self {
            console,
            said: String::new(),
        }
    }

    fn say(&mut self, text: &str, since: Duration) {
        if self.console.shows_progress() {
            self.console
                .rewrite(&format!("{text} ({})", seconds(since)));
        } else if self.said != text {
            self.console.note(text);
        }
        text.clone_into(&mut self.said);
    }

    fn end(&self) {
        if self.console.shows_progress() && !self.said.is_empty() {
            self.console.rewrite("");
        }
    }
}
