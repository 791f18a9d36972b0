//! What the host's programs say about themselves.

use std::error::Error;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The log goes to standard error, where systemd takes it up; `QUORATE_LOG` says how much of it.
pub fn set_up(json: bool) {
    let filter = EnvFilter::try_from_env("QUORATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        log.json().init();
    } else {
        log.init();
    }
}

/// An error with its reasons, each said once.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| {
        (*error).source()
    })
    .map(ToString::to_string)
    .collect::<Vec<_>>()
    .join(": ")
}
