use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use quorate_node_daemon::simulated::{
    Room, SocketRoom,
    room::{Happening, Kernel, Reply, Request},
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate-simulated");

struct RunningRoom {
    home: TempDir,
    process: Child,
}

impl RunningRoom {
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulated/platform");
        let process = Command::new(PROGRAM)
            .args(["room", "--boot-seconds", "0", "--manifests"])
            .arg(platform)
            .arg("--home")
            .arg(home.path())
            .spawn()
            .expect("it starts");
        let room = Self { home, process };
        while !room.socket().exists() {
            sleep(Duration::from_millis(20));
        }
        room
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("room.socket")
    }

    /// Runs an agent as members do. Returns its exit code and its words.
    fn agent(&self, input: &str) -> (i32, String) {
        let mut agent = Command::new(PROGRAM)
            .args(["agent", "fence_apc_snmp", "--room"])
            .arg(self.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = agent.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("read");
        drop(stdin);
        let output = agent.wait_with_output().expect("it ends");
        let words = [output.stdout, output.stderr].concat();
        (
            output.status.code().expect("a code"),
            String::from_utf8(words).expect("text").trim().to_owned(),
        )
    }

    fn kernel(&self, machine: &str) -> Kernel {
        match self.ask(Request::Truth) {
            Reply::Truth(truth) => truth.machines[machine].kernel,
            other => panic!("the room answered {other:?}"),
        }
    }

    fn ask(&self, request: Request) -> Reply {
        let answer = SocketRoom::new(&self.socket()).ask_now(request);
        answer.expect("the room answers").outcome.expect("done")
    }
}

impl Drop for RunningRoom {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_agents_of_the_room_switch_machines_and_speak_like_real_ones() {
    let room = RunningRoom::start();
    let outlet = |action: &str| room.agent(&format!("action={action}\nip=10.0.2.1\nplug=2\n"));
    assert_eq!(outlet("monitor").0, 0);
    assert_eq!(outlet("status"), (0, "Status: ON".to_owned()));
    assert_eq!(room.kernel("beta"), Kernel::Running);

    assert_eq!(outlet("off").0, 0);
    assert_eq!(outlet("status"), (2, "Status: OFF".to_owned()));
    assert_eq!(room.kernel("beta"), Kernel::Off);
    assert_eq!(room.kernel("alpha"), Kernel::Running);

    assert_eq!(outlet("on").0, 0);
    assert_eq!(outlet("status"), (0, "Status: ON".to_owned()));
    while room.kernel("beta") != Kernel::Running {
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_board_without_mains_and_a_device_that_is_not_there_fail() {
    let room = RunningRoom::start();
    let status = |ip: &str| room.agent(&format!("action=status\nip={ip}\n"));
    assert_eq!(status("10.0.1.1"), (0, "Status: ON".to_owned()));
    room.ask(Request::Happen(Happening::Mains {
        machine: "alpha".to_owned(),
        on: false,
    }));
    let (code, words) = status("10.0.1.1");
    assert_eq!(code, 5, "late, by the agents' convention: {words}");
    assert!(words.contains("alpha has no mains"), "{words}");
    let (code, words) = status("10.9.9.9");
    assert_eq!(code, 5);
    assert!(words.contains("no fence device 10.9.9.9"), "{words}");
}

#[test]
fn an_agent_describes_itself() {
    let output = Command::new(PROGRAM)
        .args([
            "agent",
            "fence_ipmilan",
            "--room",
            "/nowhere",
            "-o",
            "metadata",
        ])
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        text.contains(r#"<resource-agent name="fence_ipmilan""#),
        "{text}"
    );
    assert!(text.contains(r#"<parameter name="lanplus""#), "{text}");
}
