use super::member::KEY;
use quorate_node_daemon::lease::{
    Lease, LeaseChannel, LeaseView, Rings, Setup, WatchdogPolicy, carry, process::SOCKET,
};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A host's runtime directory and configuration.
pub(crate) struct Host {
    dir: TempDir,
}

/// A lease process. It ends with the story.
pub(crate) struct Process(pub(crate) Child);

impl Host {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(
            dir.path().join("node.yaml"),
            "name: an1\nendpoints: [127.0.0.1:1]\nrunDir: run\nwatchdog: none\n",
        )
        .expect("written");
        Self { dir }
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Starts the program, through another one if there is one.
    pub(crate) fn start_through(&self, through: &[&str]) -> Process {
        self.start_program(through, Path::new(env!("CARGO_BIN_EXE_quorate-lease")))
    }

    /// Starts a copy of it.
    pub(crate) fn start_program(&self, through: &[&str], program: &Path) -> Process {
        let mut words: Vec<&OsStr> = through.iter().map(OsStr::new).collect();
        words.push(program.as_os_str());
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg("--config")
            .arg(self.dir.path().join("node.yaml"))
            .env("QUORATE_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .expect("started");
        Process(child)
    }

    pub(crate) fn start(&self) -> Process {
        self.start_through(&[])
    }

    pub(crate) fn setup(&self, members: Vec<Rings>, interval: Duration) -> Setup {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Setup {
            boot_id: boot_id.expect("readable").trim().to_owned(),
            node: "an1".into(),
            incarnation: 7,
            key: KEY,
            members,
            interval,
            daemon_patience: Duration::from_secs(60),
            restart_grace: Duration::from_secs(600),
            watchdog: WatchdogPolicy {
                armed: false,
                bound_to_lease: false,
                timeout: Duration::from_secs(60),
            },
        }
    }

    /// A daemon that has connected, or will.
    pub(crate) fn daemon(&self) -> Daemon {
        Daemon::new(&self.run_dir().join(SOCKET))
    }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.0);
        kill_process(id, signal).expect("it runs");
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.0.wait().expect("it was started")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The daemon's end of the lease.
pub(crate) struct Daemon {
    runtime: tokio::runtime::Runtime,
    lease: LeaseChannel,
}

impl Daemon {
    fn new(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (lease, end) = LeaseChannel::new();
        let socket = socket.to_owned();
        runtime.spawn(async move { carry(&socket, end).await });
        Self { runtime, lease }
    }

    pub(crate) fn set_up(&self, setup: &Setup) {
        self.lease.set_up(setup);
    }

    /// Waits until the lease is such.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&LeaseView) -> bool) -> LeaseView {
        let mut view = self.lease.view();
        let waited = self.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(120), view.wait_for(|view| so(view)))
                .await
                .map(|view| *view.expect("its other end is there"))
        });
        waited.unwrap_or_else(|_| panic!("never {what}: {:?}", *self.lease.view().borrow()))
    }
}

/// What the kernel counts of a process: of the thread that beats its faults, of all of it the memory.
#[derive(Debug)]
pub(crate) struct Usage {
    /// Those that were minor, and those that were major.
    pub(crate) faults: (u64, u64),
    pub(crate) data: u64,
    pub(crate) locked: u64,
}

impl Usage {
    pub(crate) fn of(process: &Process) -> Self {
        let id = process.id();
        let read = |path: String| std::fs::read_to_string(path).expect("it runs");
        let stat = read(format!("/proc/{id}/task/{id}/stat"));
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let status = read(format!("/proc/{id}/status"));
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.expect("listed").trim().trim_end_matches(" kB");
            text.parse().expect("a number")
        };
        Self {
            faults: (
                fields[7].parse().expect("minor faults"),
                fields[9].parse().expect("major faults"),
            ),
            data: kibibytes("VmData:"),
            locked: kibibytes("VmLck:"),
        }
    }
}
