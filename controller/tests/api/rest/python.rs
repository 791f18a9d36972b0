//! The official Python client, as programs use it: restarted watches, versions that are gone, a leader that is killed.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use quorate_identity::Subject;

use super::kubectl::kubeconfig;
use crate::support::TestCluster;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/rest/conformance.py");

/// A Python that has the client; QUORATE_PYTHON names another than the usual one.
fn python() -> Option<String> {
    let program = env::var("QUORATE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&program)
        .args(["-c", "import kubernetes.dynamic"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    found.then_some(program)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_outlives_compaction_and_a_leader() {
    let Some(python) = python() else {
        println!(
            "skipped: python3 has no client for Kubernetes: install it with `pip install kubernetes`"
        );
        return;
    };
    let mut cluster = TestCluster::that_keeps(64).await;
    for name in ["m2", "m3"] {
        cluster.grow(name).await;
    }
    let home = tempfile::tempdir().expect("a directory");
    let configs: Vec<_> = (0..3)
        .map(|at| {
            let path = home.path().join(format!("m{at}"));
            let config = kubeconfig(&cluster, at, &Subject::admin());
            fs::write(&path, config.to_string()).expect("written");
            path
        })
        .collect();
    let mut child = Command::new(python)
        .arg(SCRIPT)
        .args(configs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut told = child.stdin.take().expect("a pipe");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
    loop {
        let (line, reader) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            said.read_line(&mut line).expect("a pipe");
            (line, said)
        })
        .await
        .expect("read");
        said = reader;
        match line.trim() {
            // The member that was spoken to so far: it leads, and takes its connections with it.
            "kill" => {
                cluster.kill(0).await;
                told.write_all(b"killed\n").expect("a pipe");
            }
            "done" => break,
            "" => break,
            words => println!("{words}"),
        }
    }
    let status = child.wait().expect("it ends");
    assert!(status.success(), "the client's script ended with {status}");
}
