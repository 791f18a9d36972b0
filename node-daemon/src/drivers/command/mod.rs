//! Programs of the host that drivers call: with arguments only, never through a shell, and within limits.
//!
//! Whatever such a program does, the daemon goes on: one that makes no progress is killed with its whole process group,
//! one that talks without end is cut off, and what it says of itself becomes the message of a condition. [`Run`] is the
//! seam at which tests let programs fail, hang, talk nonsense or succeed late.

mod error;
mod processes;
#[cfg(test)]
pub(crate) mod scripted;

pub(crate) use error::CommandError;
pub(crate) use processes::Processes;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::{DriverError, Trouble};

/// How long a program may be silent before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What of a program's own words fits into a condition.
const MOST_WORDS: usize = 600;

/// A program and its arguments. Secrets never are among them: everybody on the host can read them there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) patience: Duration,
    /// Of one that is followed, what it says of errors is among its lines.
    pub(crate) errors_are_lines: bool,
}

impl Command {
    pub(crate) fn new<A: Into<String>>(
        program: &'static str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            patience: PATIENCE,
            errors_are_lines: false,
        }
    }

    /// For one that says what it finds as errors, and may find more than a pipe that nobody reads takes.
    pub(crate) fn errors_are_lines(self) -> Self {
        Self {
            errors_are_lines: true,
            ..self
        }
    }

    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program)?;
        for argument in &self.arguments {
            write!(formatter, " {argument}")?;
        }
        Ok(())
    }
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// The program's own words about its failure, in one line.
    pub(crate) fn words(&self) -> String {
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut words = lines.collect::<Vec<_>>().join("; ");
        if words.is_empty() {
            words = format!("exit code {}", self.code);
        }
        let cut = (0..=MOST_WORDS.min(words.len()))
            .rev()
            .find(|at| words.is_char_boundary(*at))
            .unwrap_or(0);
        words.truncate(cut);
        words
    }
}

/// Calls programs.
pub(crate) trait Run: Send + Sync {
    /// Waits for its end. When the future is dropped, the program is killed.
    fn run(&self, command: Command) -> BoxFuture<'static, Result<Ended, CommandError>>;

    /// Its lines, as it writes them, until it ends; however it ends, an error says so. When the stream is dropped, the
    /// program is killed.
    fn follow(&self, command: Command) -> BoxStream<'static, Result<String, CommandError>>;
}

/// A program that only looks: when it fails, nothing was changed.
pub(crate) async fn look(run: &dyn Run, command: Command) -> Result<Ended, DriverError> {
    let words = command.to_string();
    match run.run(command).await {
        Ok(ended) if ended.succeeded() => Ok(ended),
        Ok(ended) => Err(refused(&words, &ended)),
        Err(error) => Err(error.of_a_look(&words)),
    }
}

/// A program that changes the host: when it is given up, nobody knows what it still does.
pub(crate) async fn act(run: &dyn Run, command: Command) -> Result<Ended, DriverError> {
    let words = command.to_string();
    let ended = run_to_end(run, command).await?;
    if ended.succeeded() {
        return Ok(ended);
    }
    Err(refused(&words, &ended))
}

/// The same, for programs whose exit code says more than yes and no.
pub(crate) async fn run_to_end(run: &dyn Run, command: Command) -> Result<Ended, DriverError> {
    let words = command.to_string();
    run.run(command)
        .await
        .map_err(|error| error.of_an_act(&words))
}

pub(crate) fn refused(command: &str, ended: &Ended) -> DriverError {
    DriverError::passing(
        Trouble::Refused,
        format!("\"{command}\" failed: {}", ended.words()),
    )
}
