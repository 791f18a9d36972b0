//! A shell in a host: this terminal passes every key on, the one in the host interprets them.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use quorate_lab::{Host, LabError};

/// Runs a login shell on a terminal of the host's own, until it ends.
pub(crate) fn shell(host: Host<'_>) -> Result<u32, LabError> {
    if !std::io::stdin().is_terminal() {
        return host.attach(&["bash", "-l"]);
    }
    let size = stty(&["size"]);
    let (rows, columns) = size.split_once(' ').unwrap_or(("24", "80"));
    let begin = format!("stty rows {rows} columns {columns} 2>/dev/null; TERM=xterm exec bash -li");
    let _raw = Raw::enter();
    host.attach(&["script", "-qec", &begin, "/dev/null"])
}

/// The terminal as it was is restored however the shell ends.
struct Raw {
    former: String,
}

impl Raw {
    fn enter() -> Raw {
        let former = stty(&["-g"]);
        stty(&["raw", "-echo"]);
        Raw { former }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        stty(&[&self.former]);
    }
}

/// A terminal that does not want to is used as it is.
fn stty(arguments: &[&str]) -> String {
    let output = Command::new("stty")
        .args(arguments)
        .stdin(Stdio::inherit())
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
