//! What DRBD's kernel part calls when it needs a decision (`quorate-drbd-handler`), and what it says to the daemon.
//!
//! It decides nothing, and its exit code is never a guess: writes that wait, wait until the daemon has an answer, also
//! while there is no daemon. It needs nothing but the standard library's sockets, so that it works on a host in trouble.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the daemon listens.
pub const SOCKET: &str = "/run/quorate-node/drbd/questions.sock";

/// A peer was outdated: writes go on.
pub const OUTDATED: u8 = 4;
/// A peer is confirmed off: writes go on.
pub const FENCED: u8 = 7;
/// Anything that DRBD does not know as an answer: everything stays as it is.
pub const UNDECIDED: u8 = 1;

/// What the kernel calls for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// `fence-peer` and others.
    pub handler: String,
    /// The resource.
    pub resource: String,
    /// The peer's name in the configuration (8.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The peer's number (9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_node_id: Option<u32>,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The exit code.
    pub exit: u8,
}

impl Call {
    /// From what DRBD puts into the environment.
    pub fn from_environment(handler: &str, value: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            handler: handler.to_owned(),
            resource: value("DRBD_RESOURCE").unwrap_or_default(),
            peer: value("DRBD_PEER").filter(|peer| !peer.is_empty()),
            peer_node_id: value("DRBD_PEER_NODE_ID").and_then(|id| id.parse().ok()),
        }
    }
}

/// How long things may take, and who is told.
pub struct Patience<'a> {
    /// Between two tries to reach the daemon.
    pub again: Duration,
    /// How long a mere report may take.
    pub report: Duration,
    /// Where it is said what happens.
    pub log: &'a dyn Fn(&str),
}

/// Asks about a lost peer until there is an answer.
#[must_use]
pub fn fence_peer(socket: &Path, call: &Call, patience: &Patience<'_>) -> u8 {
    let mut said = String::new();
    loop {
        let why = match ask(socket, call, None) {
            Ok(Some(answer)) if matches!(answer.exit, OUTDATED | FENCED | UNDECIDED) => {
                (patience.log)(&format!(
                    "{}: the answer about {:?} is {}",
                    call.resource, call.peer, answer.exit
                ));
                return answer.exit;
            }
            Ok(Some(answer)) => format!("the daemon answered {}, which is no answer", answer.exit),
            Ok(None) => "the daemon ended before it had an answer".to_owned(),
            Err(error) => format!("the daemon cannot be asked: {error}"),
        };
        if why != said {
            (patience.log)(&format!("{}: writes wait: {why}", call.resource));
            said = why;
        }
        std::thread::sleep(patience.again);
    }
}

/// Asks whether the kernel may go on. Without an answer it may not.
#[must_use]
pub fn permission(socket: &Path, call: &Call, patience: &Patience<'_>) -> u8 {
    match ask(socket, call, Some(patience.report)) {
        Ok(Some(answer)) => answer.exit,
        Ok(None) => UNDECIDED,
        Err(error) => {
            (patience.log)(&format!(
                "{}: {} waits for the daemon: {error}",
                call.resource, call.handler
            ));
            UNDECIDED
        }
    }
}

/// Tells the daemon, when it is there. Whether it is makes no difference.
pub fn report(socket: &Path, call: &Call, patience: &Patience<'_>) {
    if let Err(error) = ask(socket, call, Some(patience.report)) {
        (patience.log)(&format!(
            "{}: the daemon was not told of {}: {error}",
            call.resource, call.handler
        ));
    }
}

fn ask(socket: &Path, call: &Call, within: Option<Duration>) -> io::Result<Option<Answer>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(within)?;
    stream.set_write_timeout(within)?;
    let mut line = serde_json::to_string(call)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&answer)?))
}

/// Lets the kernel end this host's life at once, without writing anything more: `reset` or `power-off`.
///
/// # Errors
/// When the kernel does not take it.
pub fn end_host(action: &str, trigger: &Path) -> io::Result<()> {
    let letter = match action {
        "reset" => "b",
        "power-off" => "o",
        _ => return Ok(()),
    };
    OpenOptions::new()
        .write(true)
        .open(trigger)?
        .write_all(letter.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::os::unix::net::UnixListener;

    #[test]
    fn it_waits_for_a_daemon_and_never_takes_nonsense_for_an_answer() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let listening = socket.clone();
        let daemon = std::thread::spawn(move || {
            let listener = UnixListener::bind(listening).expect("bound");
            for answer in [
                "",
                "nonsense\n",
                "{\"exit\":5}\n",
                "{\"exit\":0}\n",
                "{\"exit\":7}\n",
            ] {
                let (mut stream, _) = listener.accept().expect("called");
                let mut line = String::new();
                BufReader::new(stream.try_clone().expect("the same"))
                    .read_line(&mut line)
                    .expect("a question");
                let call: Call = serde_json::from_str(&line).expect("a call");
                assert_eq!(call.resource, "web");
                stream.write_all(answer.as_bytes()).expect("answered");
            }
        });
        let environment = |key: &str| match key {
            "DRBD_RESOURCE" => Some("web".to_owned()),
            "DRBD_PEER" => Some("an2".to_owned()),
            _ => None,
        };
        let call = Call::from_environment("fence-peer", environment);
        let said = RefCell::new(Vec::new());
        let patience = Patience {
            again: Duration::from_millis(5),
            report: Duration::from_secs(1),
            log: &|line| said.borrow_mut().push(line.to_owned()),
        };
        assert_eq!(fence_peer(&socket, &call, &patience), FENCED);
        daemon.join().expect("it answered");
        let said = said.into_inner().join("\n");
        assert!(said.contains("writes wait"), "{said}");
    }

    #[test]
    fn a_report_that_nobody_hears_does_not_wait() {
        let said = RefCell::new(Vec::new());
        let patience = Patience {
            again: Duration::from_secs(1000),
            report: Duration::from_millis(100),
            log: &|line| said.borrow_mut().push(line.to_owned()),
        };
        report(Path::new("/nonexistent"), &Call::default(), &patience);
        assert_eq!(said.into_inner().len(), 1);
    }

    #[test]
    fn the_kernel_is_told_only_what_was_chosen() {
        let directory = tempfile::tempdir().expect("a directory");
        let trigger = directory.path().join("trigger");
        for (action, wanted) in [("reset", "b"), ("power-off", "o"), ("report", "")] {
            std::fs::write(&trigger, "").expect("written");
            end_host(action, &trigger).expect("taken");
            let told = std::fs::read_to_string(&trigger).expect("read");
            assert_eq!(told, wanted, "{action}");
        }
    }
}
