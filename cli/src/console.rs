//! The terminal: where text goes, and whether it may be coloured.
//!
//! Results go to standard output, everything said about the work (progress, warnings) to standard
//! error, so that a pipe sees results only. Colour and progress appear on a terminal only.

use std::io::{self, IsTerminal, Write};

use crate::error::CliError;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Also into pipes and files.
    Always,
    /// Not at all.
    Never,
}

/// What a piece of text means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// No colour.
    #[default]
    Plain,
    /// Healthy, done, added.
    Good,
    /// Worth a look.
    Warn,
    /// Broken, removed.
    Bad,
    /// Less important than what is around it.
    Dim,
    /// A heading.
    Bold,
    /// A position within a difference.
    Mark,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Dim => "\x1b[2m",
            Self::Bold => "\x1b[1m",
            Self::Mark => "\x1b[36m",
        }
    }
}

/// The two output streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    color_out: bool,
    color_err: bool,
    progress: bool,
    terminal: bool,
}

impl Console {
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let plain_wanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match choice {
            ColorChoice::Auto => terminal && !plain_wanted,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        Self {
            color_out: wanted(io::stdout().is_terminal()),
            color_err: wanted(io::stderr().is_terminal()),
            progress: io::stderr().is_terminal(),
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Whether a person watches standard error.
    pub(crate) fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The columns and rows of the terminal that standard output is, as they are now.
    pub(crate) fn size(&self) -> Option<(usize, usize)> {
        const USUAL: (usize, usize) = (80, 24);
        if !self.terminal {
            return None;
        }
        // A terminal that does not know is taken for the smallest that people use.
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        Some(
            size.filter(|(columns, rows)| *columns > 0 && *rows > 0)
                .unwrap_or(USUAL),
        )
    }

    /// Whether standard output is coloured.
    pub(crate) fn color(&self) -> bool {
        self.color_out
    }

    /// Write results.
    pub(crate) fn print(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|source| {
                if source.kind() == io::ErrorKind::BrokenPipe {
                    CliError::OutputClosed
                } else {
                    CliError::Local {
                        doing: "cannot write the output".to_owned(),
                        source,
                    }
                }
            })
    }

    /// Write one line of results.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        self.print(&format!("{text}\n"))
    }

    /// Say something about the work itself.
    pub(crate) fn note(&self, text: &str) {
        self.say(text);
    }

    /// Put `text` in place of the line that was written last; for terminals only. Control characters, which may come
    /// from the cluster, do not reach the terminal.
    pub(crate) fn rewrite(&self, text: &str) {
        let plain: String = text.chars().filter(|next| !next.is_control()).collect();
        // Nobody is left to be told when standard error itself is gone.
        let _ = write!(io::stderr().lock(), "\r\x1b[2K{plain}");
    }

    /// Say what a person should know though the command goes on.
    pub(crate) fn warn(&self, text: &str) {
        self.say(&format!(
            "{} {text}",
            paint(self.color_err, Tone::Warn, "warning:")
        ));
    }

    /// Say that what is shown comes from a member without a quorum.
    pub(crate) fn warn_of_no_quorum(&self) {
        self.warn("STALE: this member sees no quorum; what it shows may be out of date");
    }

    /// Say that what is shown is what one member knows.
    pub(crate) fn warn_of_one_member(&self) {
        self.warn("STALE: only this member was asked; what it knows may be out of date");
    }

    /// Say why the command failed and what to do next.
    pub(crate) fn error(&self, error: &CliError) {
        self.error_about("", error);
    }

    /// Say what went wrong with one of several things.
    pub(crate) fn error_about(&self, about: &str, error: &CliError) {
        if error.is_silent() {
            return;
        }
        let about = if about.is_empty() {
            String::new()
        } else {
            format!("{about}: ")
        };
        self.say(&format!(
            "{} {about}{error}",
            paint(self.color_err, Tone::Bad, "error:")
        ));
        for detail in error.details() {
            self.say(&format!("  {detail}"));
        }
        if let Some(advice) = error.advice() {
            self.say(&format!(
                "{} {advice}",
                paint(self.color_err, Tone::Mark, "next:")
            ));
        }
    }

    // Nobody is left to be told when standard error itself is gone.
    fn say(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Text in its colour, or as it is.
pub(crate) fn paint(color: bool, tone: Tone, text: &str) -> String {
    if color && tone != Tone::Plain && !text.is_empty() {
        format!("{}{text}\x1b[0m", tone.code())
    } else {
        text.to_owned()
    }
}
