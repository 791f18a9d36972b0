//! `quorate-node` as it is installed: what it says about its configuration, and how it ends.

use quorate_identity::{Authority, Credentials, Subject, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// What joining a cluster leaves on a host.
struct Host {
    dir: TempDir,
}

impl Host {
    /// With a certificate for that name, and members that nobody answers for.
    fn joined_as(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::create("anvil", Arc::new(SystemClock)).expect("an authority");
        let subject = Subject::node(name).expect("a name");
        let own = Credentials::issue(&authority, &subject, &[]).expect("issued");
        own.save(&dir.path().join("node.crt"), &dir.path().join("node.key"))
            .expect("written");
        let host = Self { dir };
        host.write("ca.crt", &authority.certificate_pem());
        host.write(
            "node.yaml",
            "name: an1\nendpoints: [127.0.0.1:1]\nrunDir: run\nwatchdog: none\n",
        );
        host
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join(file), text).expect("written");
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("node.yaml")
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-node"));
        command
            .arg("--config")
            .arg(self.config())
            .env("QUORATE_LOG", "info")
            .stdin(Stdio::null());
        command
    }

    fn check(&self) -> Output {
        self.program().arg("--check").output().expect("started")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_host_that_has_joined_can_start() {
    let host = Host::joined_as("an1");
    let output = host.check();
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("host an1 can start"), "{text}");
}

#[test]
fn what_is_missing_or_belongs_to_another_host_is_named_with_what_to_do() {
    let host = Host::joined_as("an2");
    let output = host.check();
    assert!(!output.status.success());
    let text = said(&output);
    assert!(
        text.contains("an2") && text.contains("quorate join"),
        "{text}"
    );

    let host = Host::joined_as("an1");
    std::fs::remove_file(host.dir.path().join("node.key")).expect("it was there");
    assert!(said(&host.check()).contains("node.key"));

    host.write("node.yaml", "name: an1\nendpoint: [x]\n");
    assert!(said(&host.check()).contains("endpoint"));
    std::fs::remove_file(host.config()).expect("it was there");
    assert!(said(&host.check()).contains("quorate join"));
}

/// Reads its log until a line has that in it.
fn until(program: &mut Child, what: &str) {
    let log = program.stderr.as_mut().expect("it is piped");
    let mut lines = BufReader::new(log).lines();
    let found = lines.any(|line| line.expect("text").contains(what));
    assert!(found, "it ended without {what:?}");
}

#[test]
fn it_waits_for_a_cluster_that_is_away_and_ends_when_it_is_asked_to() {
    let host = Host::joined_as("an1");
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = host
            .program()
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        until(&mut program, "not registered yet");
        kill_process(Pid::from_child(&program), signal).expect("it runs");
        let ended = program.wait_with_output().expect("it was started");
        assert!(ended.status.success(), "{}", said(&ended));
    }
}
