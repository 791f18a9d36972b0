//! A machine with the program and a member on it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use quorate_controller::{
    cluster_info::ClusterInfo,
    member::{RunningMember, StartError, Tuning},
};
use quorate_identity::MemberConfig;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpSocket,
    process::{Child, ChildStdout, Command},
};

/// Nothing in these stories takes this long, also on a machine that is busy with other things; a story that hangs ends here.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A machine: its files, and the member when it runs.
pub(crate) struct Machine {
    pub(crate) dir: TempDir,
    pub(crate) address: String,
    member: Option<RunningMember>,
    /// How many milliseconds a silent leader is waited for, where that is not left to the product.
    election_timeout_ms: Option<u32>,
    /// Nobody else is given the port, also while the member does not listen there.
    _port: TcpSocket,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The command did what was asked.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }

    /// The command ended with this code; what it said on standard error.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        self.err
    }
}

impl Machine {
    /// A machine on which nothing has been done.
    pub(crate) fn empty() -> Self {
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseaddr(true)
            .expect("the member may listen there");
        port.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            address: port.local_addr().expect("its address").to_string(),
            member: None,
            election_timeout_ms: None,
            _port: port,
        }
    }

    /// The same, for a member beside others: while all of them have to wait for a busy machine, nobody asks for an election.
    pub(crate) fn empty_and_patient() -> Self {
        Self {
            election_timeout_ms: Some(5_000),
            ..Self::empty()
        }
    }

    /// A machine with the only member of a new cluster.
    pub(crate) async fn with_cluster() -> Self {
        Self::empty().founds_a_cluster().await
    }

    /// The only member of a new cluster, which leads.
    pub(crate) async fn founds_a_cluster(mut self) -> Self {
        let mut args = vec!["init", "--cluster-name", "story"];
        let files = self.member_args();
        args.extend(files.iter().map(String::as_str));
        self.run(&args).await.done();
        self.start_member().await;
        self.has_leader().await;
        self
    }

    /// The options that keep a member's files in this machine's directory.
    pub(crate) fn member_args(&self) -> Vec<String> {
        let below = |name: &str| self.path(name).display().to_string();
        [
            ("--name", "m1".to_owned()),
            ("--address", self.address.clone()),
            ("--listen", self.address.clone()),
            ("--data-dir", below("data")),
            ("--pki-dir", below("pki")),
            ("--member-config", below("quorated.yaml")),
            ("--audit-dir", below("audit")),
        ]
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }

    /// What `quorated run` does.
    pub(crate) async fn start_member(&mut self) {
        let text = std::fs::read_to_string(self.path("quorated.yaml")).expect("the configuration");
        let mut config: MemberConfig = serde_saphyr::from_str(&text).expect("a configuration");
        config.election_timeout_ms = self.election_timeout_ms;
        // A member that was stopped a moment ago may not have let go of its directory and its port yet.
        let started = async {
            loop {
                match RunningMember::start(&config, Tuning::default()).await {
                    Err(StartError::Io { source, .. })
                        if matches!(
                            source.kind(),
                            ErrorKind::ResourceBusy | ErrorKind::AddrInUse
                        ) =>
                    {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    started => break started.expect("it starts"),
                }
            }
        };
        self.member = Some(
            tokio::time::timeout(PATIENCE, started)
                .await
                .expect("in time"),
        );
    }

    /// Wait until the member can be written to, and knows what its cluster is called.
    pub(crate) async fn has_leader(&self) {
        let store = self.member.as_ref().expect("a running member").store();
        let ready = async {
            while store.barrier().await.is_err() || ClusterInfo::read(&store.view()).name.is_empty()
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("in time");
    }

    /// Stop the member.
    pub(crate) async fn stop_member(&mut self) {
        self.member.take().expect("a running member").stop().await;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Put a file into the machine's directory and say where.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command
            .args(args)
            .env("QUORATE_CONFIG", self.path("config.yaml"))
            .env("TMPDIR", self.dir.path())
            .env_remove("NO_COLOR")
            .env_remove("VISUAL")
            .env_remove("QUORATE_EDITOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Run the program to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Said {
        finish(self.command(args)).await
    }

    /// Run the program again and again until it has done what was asked, as a person does while a leader is elected or
    /// somebody else is not ready.
    pub(crate) async fn run_until_done(&self, args: &[&str]) -> String {
        self.run_until(args, |said| said.code == 0).await
    }

    /// Run the program again and again until what it says is so.
    pub(crate) async fn run_until(&self, args: &[&str], so: impl Fn(&Said) -> bool) -> String {
        let began = Instant::now();
        loop {
            let said = self.run(args).await;
            if so(&said) {
                return said.out;
            }
            assert!(began.elapsed() < PATIENCE, "{args:?}: {said:#?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Run the program with an editor, which is a shell script that gets the file as `$1`.
    pub(crate) async fn run_with_editor(&self, script: &str, args: &[&str]) -> Said {
        let editor = self.file("editor.sh", script);
        let mut command = self.command(args);
        command.env("EDITOR", format!("sh {editor}"));
        finish(command).await
    }

    /// Run the program with text on standard input.
    pub(crate) async fn run_with_input(&self, input: &str, args: &[&str]) -> Said {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A program that refuses its options reads no input.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .expect("in time");
        said(output.expect("it ends"))
    }

    /// What a bash script prints that finds the program on its path.
    pub(crate) async fn bash(&self, script: &str) -> String {
        let programs = Path::new(env!("CARGO_BIN_EXE_quorate"))
            .parent()
            .expect("a directory");
        let path = std::env::var("PATH").expect("a path");
        let mut command = Command::new("bash");
        command
            .args(["-c", script])
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("QUORATE_CONFIG", self.path("config.yaml"));
        finish(command).await.done()
    }

    /// Start the program and read its lines as they come.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Running { child, lines }
    }
}

/// A program that goes on.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("in time");
        line.expect("readable").expect("a line")
    }

    /// How it ends.
    pub(crate) async fn code(mut self) -> i32 {
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("in time");
        status.expect("it ends").code().expect("a code")
    }
}

async fn finish(mut command: Command) -> Said {
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("in time");
    said(output.expect("it runs"))
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().expect("a code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The directory of examples.
pub(crate) fn examples(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/examples")
        .join(name)
        .display()
        .to_string()
}

/// A Secret, which any cluster accepts without anything else being there.
pub(crate) fn secret(name: &str, key: &str, value: &str) -> String {
    format!(
        "apiVersion: quorate.dev/v1alpha1\nkind: Secret\nmetadata:\n  name: {name}\n  labels: {{app: demo}}\nspec:\n  stringData:\n    {key}: {value}\n"
    )
}

/// A role for one kind.
pub(crate) fn role(name: &str, kind: &str, verbs: &str) -> String {
    format!(
        "apiVersion: quorate.dev/v1alpha1\nkind: Role\nmetadata:\n  name: {name}\nspec:\n  rules:\n  - kinds: [{kind}]\n    verbs: [{verbs}]\n"
    )
}
