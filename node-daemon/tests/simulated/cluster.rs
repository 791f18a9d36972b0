//! `quorated dev` with a room, as a child process, and what can be done to it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use quorate_node_daemon::simulated::{
    Room, SocketRoom,
    room::{Happening, Reply, Request, Truth},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a machine that is busy with other things. Nothing is expected to be faster.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Members, hosts and the room that the hosts stand in.
pub(crate) struct Cluster {
    home: TempDir,
    supervisor: Child,
    room: SocketRoom,
}

impl Cluster {
    /// Three members, and the hosts of these manifests, which are applied.
    pub(crate) fn of(manifests: &Path) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let supervisor = Command::new(program("quorated"))
            .args(["dev", "--restart", "--dir"])
            .arg(home.path())
            .arg("--room")
            .arg(manifests)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("quorated starts");
        let cluster = Self {
            room: SocketRoom::new(&home.path().join("room.socket")),
            home,
            supervisor,
        };
        // The file is written when the cluster is ready.
        let contexts = cluster.home.path().join("config.yaml");
        cluster.until("the members are ready", || contexts.exists());
        cluster.quorate(&["apply", "-f", &manifests.display().to_string()]);
        cluster
    }

    /// What the command line prints.
    pub(crate) fn quorate(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "quorate {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(program("quorate"))
            .args(arguments)
            .env("QUORATE_CONFIG", self.home.path().join("config.yaml"))
            .stdin(Stdio::null())
            .output()
            .expect("quorate runs")
    }

    /// What is so in the room, whatever anybody believes.
    pub(crate) fn truth(&self) -> Truth {
        let answer = self.room.ask_now(Request::Truth).expect("the room answers");
        match answer.outcome {
            Ok(Reply::Truth(truth)) => *truth,
            other => panic!("the room answered {other:?}"),
        }
    }

    /// Something happens in the room.
    pub(crate) fn happen(&self, what: Happening) {
        let answer = self.room.ask_now(Request::Happen(what));
        answer.expect("the room answers").outcome.expect("done");
    }

    /// Every object of a kind.
    pub(crate) fn list(&self, kind: &str) -> Vec<Value> {
        let list = self.read(&["get", kind, "-o", "json"]);
        list["items"].as_array().cloned().expect("a list")
    }

    /// A field of an object's status; empty when it says nothing there.
    pub(crate) fn text(&self, kind: &str, name: &str, field: &str) -> String {
        let object = self.read(&["get", kind, name, "-o", "json"]);
        object["status"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// What the command line reads. While nobody leads it says so, and is asked again.
    fn read(&self, arguments: &[&str]) -> Value {
        let mut text = Vec::new();
        self.until("somebody answers", || {
            let output = self.run(arguments);
            let words = String::from_utf8_lossy(&output.stderr);
            text = output.stdout;
            output.status.success() || {
                println!("quorate {}: {}", arguments.join(" "), words.trim());
                false
            }
        });
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Writes what is wanted of a guest, and waits for nothing.
    pub(crate) fn want(&self, guest: &str, state: &str) {
        let patch = format!("{{\"spec\":{{\"desiredState\":\"{state}\"}}}}");
        self.quorate(&["patch", "vm", guest, "-p", &patch]);
    }

    /// The member that leads, and one that follows.
    pub(crate) fn members(&self) -> (String, String) {
        let text = self.quorate(&["cluster", "members", "-o", "json"]);
        let members: Value = serde_json::from_str(&text).expect("JSON");
        let named = |leads: bool| {
            members
                .as_array()
                .expect("a list")
                .iter()
                .find(|member| member["isLeader"].as_bool().unwrap_or_default() == leads)
                .and_then(|member| member["name"].as_str())
                .expect("a member")
                .to_owned()
        };
        (named(true), named(false))
    }

    /// The process of this pid file dies without a word. Returns when another one has taken its place.
    pub(crate) fn kill(&self, pid_file: &str) {
        let path = self.home.path().join(pid_file);
        let killed = pid(&path).expect("a running process");
        let raw = Pid::from_raw(killed).expect("a pid");
        kill_process(raw, Signal::KILL).expect("killed");
        let whose = format!("{pid_file} names another process");
        self.until(&whose, || pid(&path).is_some_and(|now| now != killed));
    }

    /// Waits until it is so.
    pub(crate) fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.story());
            sleep(LOOK_EVERY);
        }
    }

    /// What people would look at first.
    fn story(&self) -> String {
        let status = Command::new(program("quorate"))
            .args(["status", "--all"])
            .env("QUORATE_CONFIG", self.home.path().join("config.yaml"))
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let truth = self.room.ask_now(Request::Truth);
        format!("{}\n{truth:?}", status.unwrap_or_default())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = i32::try_from(self.supervisor.id())
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself, which the test has noticed.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.supervisor.wait();
    }
}

fn pid(path: &Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A program of this workspace. Those of other packages are there when the whole workspace is tested; otherwise they are
/// built.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_quorate-simulated")).with_file_name(name);
    if !path.exists() {
        println!("{} is missing and is built", path.display());
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "-p",
                "quorate-controller",
                "-p",
                "quorate-cli",
            ])
            .status()
            .expect("cargo runs");
        assert!(built.success(), "{name} was not built");
    }
    path
}
