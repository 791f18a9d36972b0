//! `quorated dev` with a room full of machines, as a child process.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything may take on a machine that is busy with other things. Nothing is expected to be faster.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A member, two hosts, and the room that the hosts stand in.
pub(crate) struct Site {
    home: TempDir,
    supervisor: Child,
}

/// How a command ended and what it printed.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Site {
    /// One member, and the hosts of the platform, which run all its guests.
    pub(crate) fn with_hosts() -> Self {
        build();
        let home = tempfile::tempdir().expect("a directory");
        let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operating/platform");
        let mut supervisor = Command::new(program("quorated"))
            .args(["dev", "--members", "1", "--dir"])
            .arg(home.path())
            .arg("--room")
            .arg(&platform)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("quorated starts");
        let out = supervisor.stdout.take().expect("a pipe");
        // It goes on telling; a pipe that nobody reads would stop it.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                println!("quorated: {line}");
            }
        });
        let site = Self { home, supervisor };
        let contexts = site.home.path().join("config.yaml");
        site.until("the member is ready", || contexts.exists());
        let files = platform.display().to_string();
        site.until("the platform is declared", || {
            site.quorate(&["apply", "-f", &files]).code == 0
        });
        site.until("every guest runs and every volume is in sync", || {
            site.quorate(&["status"])
                .out
                .contains("nothing needs attention")
        });
        // On a busy machine the other host may have been the first one that was there.
        site.until("the guest is where every story begins", || {
            site.quorate(&["vm", "migrate", "web", "--to", "an1"]).code == 0
        });
        site
    }

    /// Runs the command line to its end.
    pub(crate) fn quorate(&self, words: &[&str]) -> Said {
        self.run(Command::new(env!("CARGO_BIN_EXE_quorate")).args(words))
    }

    /// Does something to a machine of the room: pulls its cords, presses its buttons.
    pub(crate) fn room(&self, words: &[&str]) -> Said {
        let socket = self.home.path().join("room.socket");
        let mut hands = Command::new(program("quorate-simulated"));
        self.run(hands.arg("do").args(words).arg("--room").arg(socket))
    }

    /// Starts the command line with a keyboard and a screen.
    pub(crate) fn talk(&self, words: &[&str]) -> Child {
        self.at_home(Command::new(env!("CARGO_BIN_EXE_quorate")).args(words))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts")
    }

    fn at_home<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("QUORATE_CONFIG", self.home.path().join("config.yaml"))
            .env_remove("NO_COLOR")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operating"))
    }

    fn run(&self, command: &mut Command) -> Said {
        let output = self
            .at_home(command)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        Said {
            code: output.status.code().expect("a code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            assert!(
                began.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}\n{}",
                self.quorate(&["status"]).out
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Asked in order, it takes its children along.
        let asked = Command::new("kill")
            .arg(self.supervisor.id().to_string())
            .status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.supervisor.wait();
        } else {
            let _ = self.supervisor.kill();
        }
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_quorate")).with_file_name(name)
}

/// The programs of other packages are there, and as their sources, when the whole workspace is tested; where they are
/// missing they are built.
fn build() {
    if program("quorated").exists() && program("quorate-simulated").exists() {
        return;
    }
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "-p",
            "quorate-controller",
            "-p",
            "quorate-node-daemon",
            "--features",
            "quorate-node-daemon/simulated",
        ])
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the programs were not built");
}
