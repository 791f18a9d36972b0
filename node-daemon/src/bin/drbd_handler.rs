//! `quorate-drbd-handler`: DRBD's kernel part calls it when it needs a decision, or something has happened.
//!
//! `quorate-drbd-handler HANDLER [report|reset|power-off]`, with what it is about in the environment.

use quorate_node_daemon::handler::{self, Call, Patience, UNDECIDED};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Into the kernel's log: the one place that is there in every trouble.
fn log(line: &str) {
    let line = format!("<4>quorate-drbd-handler: {line}\n");
    let written = OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(line.as_bytes()));
    if written.is_err() {
        eprint!("{line}");
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        eprintln!(
            "quorate-drbd-handler HANDLER [report|reset|power-off]: DRBD calls it; see docs/storage.md"
        );
        return ExitCode::from(UNDECIDED);
    };
    let action = arguments.next().unwrap_or_default();
    let call = Call::from_environment(&name, |key| std::env::var(key).ok());
    let socket = std::env::var("QUORATE_DRBD_SOCKET").unwrap_or(handler::SOCKET.to_owned());
    let socket = Path::new(&socket);
    let patience = Patience {
        again: Duration::from_secs(1),
        report: Duration::from_secs(5),
        log: &log,
    };
    if name == "fence-peer" {
        return ExitCode::from(handler::fence_peer(socket, &call, &patience));
    }
    if name == "before-resync-target" {
        // DRBD gives up the connection when it may not, and tries again.
        let patience = Patience {
            report: Duration::from_secs(90),
            ..patience
        };
        return ExitCode::from(handler::permission(socket, &call, &patience));
    }
    if matches!(action.as_str(), "reset" | "power-off") {
        log(&format!("{}: {name}: {action}", call.resource));
        if let Err(error) = handler::end_host(&action, Path::new("/proc/sysrq-trigger")) {
            log(&format!(
                "{}: the kernel does not obey: {error}",
                call.resource
            ));
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    handler::report(socket, &call, &patience);
    ExitCode::SUCCESS
}
