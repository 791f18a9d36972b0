//! Doing the same to several objects: one failure does not stop the rest, and the exit code tells of it.

use crate::{console::Console, error::CliError};

/// What has succeeded and failed so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    total: usize,
    failed: usize,
    code: u8,
}

impl Tally {
    /// Take note of one result; a failure is printed with what it is about. Failures that would befall
    /// every object, like a lost connection, end the command.
    pub(crate) fn take<T>(
        &mut self,
        console: &Console,
        about: &str,
        result: Result<T, CliError>,
    ) -> Result<Option<T>, CliError> {
        self.total += 1;
        match result {
            Ok(done) => Ok(Some(done)),
            Err(error @ (CliError::Unreachable(_) | CliError::OutputClosed)) => Err(error),
            Err(error) => {
                if self.failed == 0 {
                    self.code = error.exit_code();
                }
                self.failed += 1;
                console.error_about(about, &error);
                Ok(None)
            }
        }
    }

    /// Whether anything has failed so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// The result of the whole command.
    pub(crate) fn finish(self) -> Result<(), CliError> {
        match self.failed {
            0 => Ok(()),
            failed => Err(CliError::Several {
                failed,
                total: self.total,
                code: self.code,
            }),
        }
    }
}
