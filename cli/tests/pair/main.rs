//! Two machines with a member each, as programs of their own: one goes on when an agent proves the other off, or by a person's word,
//! and a witness comes and goes under load.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// How long anything may take on a machine that is busy with other things. Nothing is expected to be faster.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Long enough that a machine that is busy with other things elects nobody anew.
const ELECTION_TIMEOUT: &str = "electionTimeoutMs: 3000\n";

/// The codes with which a command ends that was not answered: without a quorum, and in time.
const UNAVAILABLE: i32 = 6;
const TIMED_OUT: i32 = 7;

/// A machine with a member on it.
struct Machine {
    dir: TempDir,
    name: &'static str,
    address: String,
    member: Option<Child>,
    /// Nobody else is given the port, also while the member does not run.
    _port: TcpSocket,
}

impl Machine {
    fn empty(name: &'static str) -> Self {
        build();
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseaddr(true)
            .expect("the member may listen there");
        port.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        Self {
            address: port.local_addr().expect("its address").to_string(),
            dir: tempfile::tempdir().expect("a directory"),
            name,
            member: None,
            _port: port,
        }
    }

    /// The first machine of a new cluster.
    fn founder(name: &'static str) -> Self {
        let mut machine = Self::empty(name);
        let files = machine.member_args();
        machine.done(&[&["init", "--cluster-name", "pair"], &texts(&files)[..]].concat());
        machine.configure();
        machine.start();
        machine.until("it leads", || machine.run(&["get", "networks"]).code == 0);
        machine
    }

    /// A machine whose member joins this one's cluster and votes.
    fn joined_by(&self, name: &'static str, token: &[&str]) -> Self {
        let mut other = Self::empty(name);
        let create = ["cluster", "join-token", "create", "member"];
        let token = self.done_at_last(&[&create, token].concat());
        let files = other.member_args();
        let join = ["join", token.trim(), "--server", &self.address];
        other.done(&[&join, &texts(&files)[..]].concat());
        other.configure();
        other.start();
        self.done_at_last(&["cluster", "promote", name]);
        other
    }

    /// It waits long for a leader, and finds its agent beside its data.
    fn configure(&self) {
        let config = self.path("quorated.yaml");
        let text = fs::read_to_string(&config).expect("readable");
        let agents = self.path("agents");
        let text = text.replace("/usr/sbin", &agents.display().to_string());
        fs::write(&config, text + ELECTION_TIMEOUT).expect("written");
        fs::create_dir(&agents).expect("made");
        let agent = agents.join("fence_outlet");
        fs::write(&agent, AGENT).expect("written");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("marked");
    }

    fn member_args(&self) -> Vec<String> {
        let below = |name: &str| self.path(name).display().to_string();
        [
            ("--name", self.name.to_owned()),
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self) {
        let config = self.path("quorated.yaml");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        let member = Command::new(program("quorated"))
            .arg("run")
            .arg("--config")
            .arg(config)
            .env("QUORATE_LOG", "warn")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same log"))
            .stderr(log)
            .spawn()
            .expect("quorated starts");
        self.member = Some(member);
    }

    /// Its power fails, as far as the program can tell.
    fn kill(&mut self) {
        let mut member = self.member.take().expect("it runs");
        member.kill().expect("killed");
        member.wait().expect("it has ended");
    }

    fn run(&self, words: &[&str]) -> Said {
        said(
            Command::new(env!("CARGO_BIN_EXE_quorate"))
                .args(words)
                .env("QUORATE_CONFIG", self.path("config.yaml")),
        )
    }

    #[track_caller]
    fn done(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{words:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Again and again, as a person does while another member is elected or is not ready yet.
    #[track_caller]
    fn done_at_last(&self, words: &[&str]) -> String {
        let mut out = String::new();
        self.until(&words.join(" "), || {
            let said = self.run(words);
            out = said.out;
            said.code == 0
        });
        out
    }

    #[track_caller]
    fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            assert!(
                began.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}\n{}",
                self.run(&["cluster", "status"]).out
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// A role that allows nothing, as a manifest.
    fn manifest(&self, name: &str) -> String {
        let path = self.path(&format!("{name}.yaml"));
        fs::write(&path, role(name, 0)).expect("written");
        path.display().to_string()
    }

    fn term(&self) -> String {
        self.done(&["cluster", "status", "-o", "jsonpath={.term}"])
    }

    #[track_caller]
    fn until_votes(&self, words: &str) {
        self.until(words, || self.votes().contains(words));
    }

    fn votes(&self) -> String {
        let status = self.run(&["cluster", "status"]).out;
        let quorum = status.lines().find(|line| line.starts_with("Quorum"));
        quorum.unwrap_or_default().to_owned()
    }

    /// When its member said this last.
    fn said_at(&self, words: &str) -> Timestamp {
        let log = fs::read_to_string(self.path("log")).expect("readable");
        let line = log.lines().rfind(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words:?} is not in\n{log}"));
        let time = line.split(' ').next().and_then(|time| time.parse().ok());
        time.unwrap_or_else(|| panic!("no time: {line}"))
    }

    /// What the kernel says of the member's memory, in KiB.
    fn memory(&self) -> u64 {
        let id = self.member.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|text| text.parse().ok()).expect("a number")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.member.is_some() {
            self.kill();
        }
    }
}

/// How a command ended and what it printed.
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs a program to its end.
fn said(command: &mut Command) -> Said {
    let output = command
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    Said {
        code: output.status.code().expect("a code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_quorate")).with_file_name(name)
}

/// The member's program is there, and as its sources, when the whole workspace is tested; where it is missing it is built.
fn build() {
    if program("quorated").exists() {
        return;
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "-p", "quorate-controller"])
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the program was not built");
}

fn role(name: &str, pass: usize) -> String {
    format!(
        "apiVersion: quorate.dev/v1alpha1\nkind: Role\nmetadata: {{name: {name}, labels: {{pass: p{pass}}}}}\n\
         spec: {{rules: [{{kinds: [networks], verbs: [get]}}]}}\n"
    )
}

fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// The bytes of a directory and of all below it.
fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).expect("readable");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let about = entry.metadata().expect("known");
            if about.is_dir() {
                size(&entry.path())
            } else {
                about.len()
            }
        })
        .sum()
}

/// An agent whose outlets are files beside it.
const AGENT: &str = r#"#!/bin/sh
here=$(dirname "$0")
if [ "$1" = -o ]; then
	cat <<END
<resource-agent name="fence_outlet" shortdesc="Outlets that are files">
<parameters>
<parameter name="action" required="1"><content type="string" default="off"/></parameter>
<parameter name="plug" required="1"><content type="string"/></parameter>
</parameters>
</resource-agent>
END
	exit
fi
while IFS='=' read -r name value; do
	case $name in action) action=$value ;; plug) plug=$value ;; esac
done
[ -e "$here/$plug" ] || { echo "no outlet $plug"; exit 1; }
case $action in
on | off)
	echo "$action" >>"$here/$plug.told"
	echo "$action" >"$here/$plug"
	;;
status) [ "$(cat "$here/$plug")" = on ] && echo "Status: ON" || { echo "Status: OFF"; exit 2; } ;;
esac
"#;

/// A pair whose machines hang on such outlets.
fn outlets(first: &Machine) -> String {
    let mut text = "apiVersion: quorate.dev/v1alpha1\nkind: Cluster\nmetadata: {name: pair}\n\
                    spec: {detection: {timeout: 5s}, quorum: {evenSplit: Fencing, startupWait: 1s, headStart: {duration: 1s}}}\n\
                    ---\napiVersion: quorate.dev/v1alpha1\nkind: FenceDevice\nmetadata: {name: outlets}\n\
                    spec: {agent: fence_outlet}\n"
        .to_owned();
    for name in ["m1", "m2"] {
        fs::write(first.path("agents").join(name), "on\n").expect("written");
        text += &format!(
            "---\napiVersion: quorate.dev/v1alpha1\nkind: Node\nmetadata: {{name: {name}}}\n\
             spec: {{fencing: {{levels: [{{name: outlet, devices: [{{device: outlets, plug: {name}}}]}}]}}}}\n"
        );
    }
    let path = first.path("outlets.yaml");
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// Prints what it took (`--nocapture`).
#[test]
fn the_half_whose_agent_proves_the_other_one_off_goes_on() {
    let first = Machine::founder("m1");
    let mut second = first.joined_by("m2", &[]);
    first.done_at_last(&["apply", "-f", &outlets(&first)]);
    first.done_at_last(&["apply", "-f", &first.manifest("kept")]);

    // What an outlet was told, not how it stands: it is switched on again as soon as it was proven off.
    let told_off = |name: &str| {
        let told = fs::read_to_string(first.path("agents").join(format!("{name}.told")));
        told.is_ok_and(|told| told.lines().any(|action| action == "off"))
    };
    let lost = Timestamp::now();
    second.kill();
    first.until("it is told to switch off", || told_off("m2"));
    first.done_at_last(&["apply", "-f", &first.manifest("after")]);
    let written = Timestamp::now();
    first.until_votes("1 of 1 votes");
    first.done(&["get", "role", "kept"]);
    assert!(!told_off("m1"), "the one that goes on");
    let [none, off, over] = [
        "there is no quorum: the other half is to be fenced",
        "it is off",
        "this half has taken over",
    ]
    .map(|words| first.said_at(words));
    println!(
        "from the loss on {} ms until the other is to be fenced, {} ms until it is proven off, {} ms until this half has taken \
         over; written again {} ms after the loss",
        none.duration_since(lost).as_millis(),
        off.duration_since(none).as_millis(),
        over.duration_since(off).as_millis(),
        written.duration_since(lost).as_millis()
    );

    // It was never off, whatever its outlet said: it hears that the other one has gone on, and shoots nobody.
    second.start();
    first.until_votes("2 of 2 votes are there");
    first.done_at_last(&["--endpoint", &second.address, "get", "role", "after"]);
    assert!(!told_off("m1"), "nobody shoots back");
}

#[test]
fn one_of_a_pair_goes_on_by_a_persons_word() {
    let mut first = Machine::founder("m1");
    let mut second = first.joined_by("m2", &[]);
    first.done_at_last(&["apply", "-f", &first.manifest("kept")]);
    // Both lose their power; only the first comes back.
    second.kill();
    first.kill();

    let config = first.path("quorated.yaml").display().to_string();
    let takeover = ["cluster", "takeover", "--member-config", &config];
    let shown = first.run(&takeover);
    assert_ne!(shown.code, 0);
    assert!(
        shown.out.contains("knows everything up to term"),
        "{}",
        shown.out
    );
    assert!(shown.out.contains("no volume is at risk"), "{}", shown.out);
    assert!(
        shown.err.contains("--i-verified-m2-is-off"),
        "{}",
        shown.err
    );
    let wrong = first.run(&[&takeover[..], &["--i-verified-m3-is-off"]].concat());
    assert_ne!(wrong.code, 0);
    assert!(
        wrong.err.contains("m3 is no machine of another voter"),
        "{}",
        wrong.err
    );
    assert!(!first.path("audit").join("takeover").exists());

    let done = first.done(&[&takeover[..], &["--i-verified-m2-is-off"]].concat());
    assert!(done.contains("taken over: member 3"), "{done}");

    // A crash between its last two renames would have left it like this.
    let data = first.path("data");
    let aside = fs::read_dir(&data)
        .expect("readable")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.display().to_string().contains("store.of-history-"))
        .expect("the former directory is kept");
    let successor = PathBuf::from(format!("{}.successor", aside.display()));
    fs::rename(data.join("store"), &successor).expect("moved");
    first.start();
    first.until_votes("1 of 1 votes");
    assert!(!successor.exists() && aside.exists());
    first.done(&["get", "role", "kept"]);
    first.done(&["apply", "-f", &first.manifest("after")]);

    let audit = fs::read_to_string(first.path("audit/audit.log")).expect("readable");
    let lines: Vec<&str> = audit
        .lines()
        .filter(|line| line.contains("\"verb\":\"takeover\""))
        .collect();
    assert_eq!(lines.len(), 2, "{audit}");
    assert!(lines[0].contains("\"result\":\"Begun\"") && lines[0].contains("\"name\":\"m2\""));
    assert!(lines[1].contains("\"result\":\"OK\""), "{}", lines[1]);
    let events = first.done(&["get", "events"]);
    assert!(events.contains("TakenOver"), "{events}");

    // The other one was off, and nobody has told it.
    second.start();
    first.until("the other one stands down, and says why", || {
        let asked = ["--endpoint", &second.address, "cluster", "status"];
        let said = first.run(&asked).out;
        said.contains("which succeeds this member's")
    });
    first.until_votes("1 of 1 votes");
}

/// Prints what a witness needs (`--nocapture`).
#[test]
fn a_witness_comes_and_goes_while_a_pair_is_written_to() {
    let first = Machine::founder("m1");
    let mut second = first.joined_by("m2", &[]);
    first.done_at_last(&["cluster", "transfer", "m1"]);
    let term = first.term();
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (stop, written) = (stop.clone(), written.clone());
        let manifest = first.path("written.yaml");
        let config = first.path("config.yaml");
        thread::spawn(move || {
            let mut failures = Vec::new();
            let mut pass = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                let name = format!("r{}", pass % 50);
                fs::write(&manifest, role(&name, pass)).expect("written");
                let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
                command
                    .args(["apply", "-f"])
                    .arg(&manifest)
                    .env("QUORATE_CONFIG", &config);
                let said = said(&mut command);
                if said.code != 0 {
                    failures.push((said.code, said.err));
                }
                written.fetch_add(1, Ordering::Relaxed);
                pass += 1;
            }
            failures
        })
    };
    let more = |count: usize| {
        let from = written.load(Ordering::Relaxed);
        first.until("more is written", || {
            written.load(Ordering::Relaxed) >= from + count
        });
    };
    more(10);
    first.until_votes("no voter may be lost");

    let witness = first.joined_by("w", &["--witness"]);
    first.until_votes("one voter may be lost");
    let members = first.done(&["cluster", "members"]);
    assert!(members.contains("witness"), "{members}");
    more(20);
    println!(
        "a witness beside {} writes: {} KiB of memory, {} KiB on disk",
        written.load(Ordering::Relaxed),
        witness.memory(),
        size(&witness.path("data")) >> 10
    );

    // The witness and one of the pair are a majority.
    second.kill();
    more(10);
    second.start();
    first.until_votes("3 of 3 votes are there");
    first.until("the witness is gone", || {
        let said = first.run(&["cluster", "remove", "w", "--force"]);
        said.code == 0 || said.err.contains("there is no member")
    });
    more(10);
    stop.store(true, Ordering::Relaxed);
    let failures = writer.join().expect("the writer ran");
    if first.term() == term {
        assert!(failures.is_empty(), "{failures:?}");
    } else {
        // So busy a machine that another one was elected: nothing is refused, and what was under way may have no answer.
        let unanswered = |code: i32| [UNAVAILABLE, TIMED_OUT].contains(&code);
        let refused = failures.iter().find(|(code, _)| !unanswered(*code));
        assert_eq!(refused, None);
    }
    first.until_votes("2 of 2 votes are there");
}
