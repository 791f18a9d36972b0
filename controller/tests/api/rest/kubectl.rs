//! The real, unmodified kubectl: every version that is at hand goes through the same transcript.
//!
//! Looked for are `kubectl` and `kubectl.1.xx` on the PATH, and what QUORATE_KUBECTL names, separated by colons.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use quorate_identity::{Credentials, MEMBER_NAME, Subject};
use serde_json::{Value, json};

use crate::support::{TestCluster, network};

/// One kubectl at work in a directory of its own.
struct Kubectl {
    program: PathBuf,
    home: tempfile::TempDir,
}

/// The programs by what they are, each once.
fn programs() -> Vec<PathBuf> {
    let mut found = BTreeMap::new();
    let named = env::var_os("QUORATE_KUBECTL").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = env::split_paths(&named).collect();
    for dir in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
        let Ok(entries) = fs::read_dir(dir) else {
            continue;
        };
        candidates.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name == "kubectl" || name.starts_with("kubectl.1."))
        }));
    }
    for path in candidates {
        if let Ok(real) = fs::canonicalize(&path)
            && let Ok(metadata) = fs::metadata(&real)
            && metadata.is_file()
            && metadata.permissions().mode() & 0o111 != 0
        {
            found.entry(real).or_insert(path);
        }
    }
    found.into_values().collect()
}

pub(super) fn kubeconfig(cluster: &TestCluster, at: usize, subject: &Subject) -> Value {
    let own = Credentials::issue(&cluster.authority, subject, &[]).expect("issued");
    let server = format!("https://{}", cluster.sites[at].config.addresses[0]);
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(cluster.authority.certificate_pem()),
            "tls-server-name": MEMBER_NAME,
        }}],
        "users": [{"name": "test", "user": {
            "client-certificate-data": STANDARD.encode(own.chain_pem()),
            "client-key-data": STANDARD.encode(own.key_pem()),
        }}],
    })
}

impl Kubectl {
    fn new(program: &Path, cluster: &TestCluster) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let config = kubeconfig(cluster, 0, &Subject::admin()).to_string();
        fs::write(home.path().join("config"), config).expect("written");
        Self {
            program: program.to_owned(),
            home,
        }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(&self.program)
            .args(arguments)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("EDITOR", "sed -i s/1600/1700/")
            // Pruning with sets is still an alpha of kubectl's.
            .env("KUBECTL_APPLYSET", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts")
    }

    /// Whether it prints a line with `word`, which is waited for until it ends by itself. Then it is ended.
    fn shows(&self, arguments: &[&str], word: &str) -> bool {
        let mut child = self.start(arguments);
        let printed = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(printed).lines();
        let found = lines.any(|line| line.expect("text").contains(word));
        child.kill().expect("it can be ended");
        child.wait().expect("it ends");
        found
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.start(arguments);
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may not want to read, and that is no mistake.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("kubectl ends")
    }

    /// What it prints; it must succeed.
    fn does(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "{} {arguments:?}: {}",
            self.program.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// What it complains of; it must fail.
    fn refuses(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8(output.stderr).expect("text")
    }

    fn minor(&self) -> u32 {
        let version: Value =
            serde_json::from_str(&self.does(&["version", "--client", "-o", "json"], ""))
                .expect("JSON");
        let minor = version["clientVersion"]["minor"]
            .as_str()
            .expect("a number");
        minor.trim_end_matches('+').parse().expect("a number")
    }
}

fn with_mtu(mtu: u32) -> String {
    let mut object = network("lan");
    object["spec"]["mtu"] = json!(mtu);
    object.to_string()
}

fn transcript(kubectl: &Kubectl) {
    let minor = kubectl.minor();
    println!("kubectl 1.{minor}: {}", kubectl.program.display());
    let says = |arguments: &[&str], input: &str, words: &[&str]| {
        let said = kubectl.does(arguments, input);
        for word in words {
            assert!(
                said.contains(word),
                "{arguments:?}: {word:?} is not in {said}"
            );
        }
    };
    let refuses = |arguments: &[&str], input: &str, words: &[&str]| {
        let said = kubectl.refuses(arguments, input);
        for word in words {
            assert!(
                said.contains(word),
                "{arguments:?}: {word:?} is not in {said}"
            );
        }
    };

    // What there is.
    says(&["version"], "", &["quorate"]);
    says(&["api-versions"], "", &["quorate.dev/v1alpha1"]);
    says(
        &["api-resources"],
        "",
        &["virtualmachines", "vm", "VirtualMachine"],
    );
    says(
        &["explain", "vm"],
        "",
        &["VirtualMachine", "highly available"],
    );
    says(&["explain", "network.spec.mtu"], "", &["mtu", "integer"]);

    // Client-side apply.
    says(&["apply", "-f", "-"], &with_mtu(1500), &["lan created"]);
    says(&["apply", "-f", "-"], &with_mtu(1500), &["lan unchanged"]);
    says(&["apply", "-f", "-"], &with_mtu(1600), &["lan configured"]);
    let changes = kubectl.run(&["diff", "-f", "-"], &with_mtu(1650));
    assert_eq!(changes.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&changes.stdout);
    assert!(
        shown.contains("-  mtu: 1600") && shown.contains("+  mtu: 1650"),
        "{shown}"
    );
    says(
        &["apply", "--dry-run=server", "-f", "-"],
        &with_mtu(1650),
        &["server dry run"],
    );

    // Looking.
    says(&["get", "networks"], "", &["NAME", "READY", "lan"]);
    says(&["get", "net", "-o", "wide"], "", &["MTU", "1600"]);
    says(&["get", "quorate"], "", &["network.quorate.dev/lan"]);
    says(&["get", "net", "lan", "-o", "yaml"], "", &["mtu: 1600"]);
    says(&["get", "net", "lan", "-o", "json"], "", &["\"mtu\": 1600"]);
    says(
        &["get", "net", "-o", "jsonpath={.items[*].spec.mtu}"],
        "",
        &["1600"],
    );
    says(
        &["get", "net", "--sort-by=.spec.mtu", "--show-labels"],
        "",
        &["lan", "LABELS"],
    );
    says(
        &["get", "net", "--chunk-size=1", "-l", "!none"],
        "",
        &["lan"],
    );
    says(
        &["describe", "net", "lan"],
        "",
        &["Kind:         Network", "Events:", "Tested"],
    );
    says(&["get", "events"], "", &["Tested", "network/lan"]);

    // Changing.
    says(&["label", "net", "lan", "tier=front"], "", &["labeled"]);
    says(&["annotate", "net", "lan", "note=x"], "", &["annotate"]);
    says(
        &[
            "patch",
            "net",
            "lan",
            "--type",
            "merge",
            "-p",
            r#"{"spec":{"vlan":5}}"#,
        ],
        "",
        &["patched"],
    );
    let steps = r#"[{"op":"replace","path":"/spec/vlan","value":6}]"#;
    says(
        &["patch", "net", "lan", "--type", "json", "-p", steps],
        "",
        &["patched"],
    );
    refuses(
        &["patch", "net", "lan", "-p", "{}"],
        "",
        &["strategic-merge-patch"],
    );
    says(&["edit", "net", "lan"], "", &["edited"]);
    says(
        &[
            "get",
            "net",
            "lan",
            "-o",
            "jsonpath={.spec.mtu}/{.spec.vlan}",
        ],
        "",
        &["1700/6"],
    );

    // Server-side apply, with a conflict.
    let mut taken = network("lan");
    taken["spec"] = json!({"vlan": 7});
    let one = ["apply", "--server-side", "--field-manager=one", "-f", "-"];
    refuses(&one, &taken.to_string(), &["conflict", ".spec.vlan"]);
    let forced = [
        "apply",
        "--server-side",
        "--field-manager=one",
        "--force-conflicts",
        "-f",
        "-",
    ];
    says(&forced, &taken.to_string(), &["serverside-applied"]);

    // Mistakes.
    let mut misspelt = network("other");
    misspelt["spec"]["mtoo"] = json!(1);
    refuses(&["apply", "-f", "-"], &misspelt.to_string(), &["mtoo"]);
    refuses(&["get", "net", "none"], "", &["NotFound"]);
    refuses(&["create", "-f", "-"], &with_mtu(1500), &["AlreadyExists"]);

    // Rights.
    says(&["auth", "can-i", "delete", "vm"], "", &["yes"]);
    says(&["auth", "can-i", "*", "*"], "", &["yes"]);
    says(&["auth", "can-i", "--list"], "", &["quorate.dev"]);
    if minor >= 28 {
        says(&["auth", "whoami"], "", &["admin"]);
    }

    // Waiting and watching.
    if minor >= 23 {
        says(
            &[
                "wait",
                "net/lan",
                "--for=jsonpath={.spec.vlan}=7",
                "--timeout=60s",
            ],
            "",
            &["condition met"],
        );
    }
    assert!(kubectl.shows(&["get", "net", "lan", "--watch"], "lan"));

    // Deleting, with a finalizer.
    says(
        &["create", "-f", "-"],
        &network("gone").to_string(),
        &["created"],
    );
    let hold = r#"{"metadata":{"finalizers":["example.org/held"]}}"#;
    says(
        &["patch", "net", "gone", "--type", "merge", "-p", hold],
        "",
        &["patched"],
    );
    says(&["delete", "net", "gone", "--wait=false"], "", &["deleted"]);
    says(
        &[
            "get",
            "net",
            "gone",
            "-o",
            "jsonpath={.metadata.deletionTimestamp}",
        ],
        "",
        &["20"],
    );
    let release = r#"{"metadata":{"finalizers":null}}"#;
    says(
        &["patch", "net", "gone", "--type", "merge", "-p", release],
        "",
        &["patched"],
    );
    if minor >= 23 {
        says(
            &["wait", "net/gone", "--for=delete", "--timeout=60s"],
            "",
            &[],
        );
    }
    if minor >= 29 {
        prune_with_a_set(kubectl);
    }
    says(&["delete", "net", "--all"], "", &["\"lan\" deleted"]);
    says(&["delete", "secrets", "--all"], "", &[]);
}

/// Makes an empty Secret the parent of a set of objects. One that is no Secret of the core's must be there and be marked;
/// its id is made of its name and kind.
fn set_parent(kubectl: &Kubectl, name: &str) {
    let whole = format!("{name}..Secret.quorate.dev");
    let digest = ring::digest::digest(&ring::digest::SHA256, whole.as_bytes());
    let parent = json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {
                "applyset.kubernetes.io/id": format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(digest)),
            },
            "annotations": {
                "applyset.kubernetes.io/tooling": "kubectl/v1",
                "applyset.kubernetes.io/contains-group-kinds": "",
            },
        },
        "spec": {},
    });
    kubectl.does(&["create", "-f", "-"], &parent.to_string());
}

/// What leaves the manifests leaves the cluster.
fn prune_with_a_set(kubectl: &Kubectl) {
    set_parent(kubectl, "site");
    let both = format!("{}\n{}\n", network("p1"), network("p2"));
    let apply = [
        "apply",
        "--prune",
        "--applyset=secrets.quorate.dev/site",
        "--server-side",
        "-f",
        "-",
    ];
    assert!(
        kubectl
            .does(&apply, &both)
            .contains("p2 serverside-applied")
    );
    let pruned = kubectl.does(&apply, &network("p1").to_string());
    assert!(pruned.contains("p2 pruned"), "{pruned}");
    assert!(
        kubectl
            .refuses(&["get", "net", "p2"], "")
            .contains("NotFound")
    );
}

/// The same transcript for every version. Without any the test is skipped and says so, except where everything must be
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn unmodified_kubectl_is_at_home_here() {
    let programs = programs();
    if programs.is_empty() {
        assert!(
            env::var_os("CI").is_none(),
            "there is no kubectl: install Debian's kubernetes-client, or unset CI"
        );
        println!("skipped: there is no kubectl on the PATH: install Debian's kubernetes-client");
        return;
    }
    let cluster = TestCluster::of_one().await;
    let event = json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "Event",
        "metadata": {"name": "lan.1"},
        "spec": {
            "regarding": {"kind": "Network", "name": "lan"},
            "reason": "Tested", "note": "by a test", "type": "Normal", "count": 1,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
            "reportingController": "test",
        },
    });
    cluster.admin(0).await.create(event).await.expect("created");
    for program in programs {
        let kubectl = Kubectl::new(&program, &cluster);
        tokio::task::spawn_blocking(move || transcript(&kubectl))
            .await
            .expect("the transcript is as it should be");
    }
}

/// The set-up of docs/kubernetes.md: what the repository says is so, drift is shown and corrected, and what leaves the
/// repository leaves the cluster.
fn repository(kubectl: &Kubectl) {
    let platform = kubectl.home.path().join("platform");
    fs::create_dir(&platform).expect("made");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/anvil");
    for entry in fs::read_dir(example).expect("the example").flatten() {
        // The order to test a fence device is no part of a platform.
        if !entry.file_name().to_string_lossy().starts_with("95") {
            fs::copy(entry.path(), platform.join(entry.file_name())).expect("copied");
        }
    }
    let platform_path = platform.to_str().expect("text");
    let with = |command: &[&'static str]| -> Vec<&str> {
        let shared = ["--server-side", "--force-conflicts", "-f"];
        [command, &shared, &[platform_path]].concat()
    };
    let apply = with(&[
        "apply",
        "--field-manager=git",
        "--prune",
        "--applyset=secrets.quorate.dev/platform",
    ]);
    // As a manager of its own: the label of the set is no part of the manifests, and would be let go of.
    let diff = with(&["diff"]);

    set_parent(kubectl, "platform");
    let applied = kubectl.does(&apply, "");
    assert!(applied.contains("vm02-db serverside-applied"), "{applied}");
    let drift = kubectl.run(&diff, "");
    assert!(
        drift.status.success(),
        "{}",
        String::from_utf8_lossy(&drift.stdout)
    );

    let by_hand = r#"{"spec":{"priority":7}}"#;
    kubectl.does(
        &["patch", "vm", "vm02-db", "--type", "merge", "-p", by_hand],
        "",
    );
    let drift = kubectl.run(&diff, "");
    assert_eq!(drift.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&drift.stdout);
    assert!(shown.contains("-  priority: 7"), "{shown}");
    kubectl.does(&apply, "");
    let found = kubectl.does(
        &["get", "vm", "vm02-db", "-o", "jsonpath={.spec.priority}"],
        "",
    );
    assert_ne!(found, "7");

    fs::remove_file(platform.join("90-access.yaml")).expect("removed");
    let pruned = kubectl.does(&apply, "");
    assert!(pruned.contains("night-shift pruned"), "{pruned}");
    assert!(kubectl.run(&diff, "").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_repository_can_be_the_source() {
    let cluster = TestCluster::of_one().await;
    let programs = programs();
    let able = programs
        .iter()
        .map(|program| Kubectl::new(program, &cluster))
        .find(|kubectl| kubectl.minor() >= 29);
    let Some(kubectl) = able else {
        println!("skipped: there is no kubectl of 1.29 or newer on the PATH");
        return;
    };
    tokio::task::spawn_blocking(move || repository(&kubectl))
        .await
        .expect("the repository is the source");
}
