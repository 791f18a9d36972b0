//! What every program of ours that runs for long begins with: where its log goes, and that it ends when any part of it panics.

use std::backtrace::Backtrace;
use std::error::Error;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// To be called first in `main`. The log goes to standard error, where systemd takes it up, as lines or as JSON; `QUORATE_LOG`
/// says how much of it, `usually` where that is not set.
pub fn begin(json: bool, usually: &str) {
    let filter = EnvFilter::try_from_env("QUORATE_LOG").unwrap_or_else(|_| EnvFilter::new(usually));
    let log = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        log.json().init();
    } else {
        log.init();
    }
    end_when_anything_panics();
}

/// A program goes on when one of its threads or tasks panics, and looks well: a leader without a detector, say, which hears nobody
/// any more. So it ends, and whoever watches over it starts it again, whole.
fn end_when_anything_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            backtrace = %Backtrace::force_capture(),
            "{panic}; this program ends, for it cannot go on without a part of itself"
        );
        std::process::abort();
    }));
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
