use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::Value;

use super::*;
use crate::error::Subject;

fn somebody() -> ConnectionInfo {
    ConnectionInfo::new("10.0.0.9:4711".parse().expect("an address"), None)
}

fn what(name: &str) -> What {
    What {
        verb: "update",
        kind: "virtualmachines".into(),
        name: name.into(),
        subresource: String::new(),
    }
}

/// The lines of a log; the last one may be half written.
fn lines(dir: &Path, name: &str) -> Vec<Value> {
    fs::read_to_string(dir.join(name))
        .unwrap_or_default()
        .split_inclusive('\n')
        .filter(|line| line.len() > 1 && line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

#[tokio::test]
async fn an_endless_name_does_not_push_everything_else_out_of_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = Audit::open(dir.path(), Rotation::default()).expect("opened");
    let mut entry = audit
        .begin(&somebody(), what(&"x".repeat(1 << 20)), false)
        .await
        .expect("room");
    entry.rename("members", &"y".repeat(1 << 20));
    entry.finish(Ok(None));
    drop(
        audit
            .begin(&somebody(), what(&"x".repeat(1 << 20)), false)
            .await
            .expect("room"),
    );

    until(|| lines(dir.path(), "audit.log").len() == 2).await;
    let log = fs::metadata(dir.path().join("audit.log")).expect("there");
    assert!(log.len() < 4096, "{} bytes", log.len());
}

/// Waits for what the writer's thread does.
async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn every_write_leaves_a_line_whatever_became_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = Audit::open(dir.path(), Rotation::default()).expect("opened");
    let begin = |name: &str| {
        let (audit, what) = (audit.clone(), what(name));
        async move { audit.begin(&somebody(), what, false).await.expect("room") }
    };

    begin("done").await.finish(Ok(Some(7)));
    begin("refused")
        .await
        .finish(Err(&ApiError::Forbidden("no role allows it".into())));
    begin("failed")
        .await
        .finish(Err(&ApiError::NotFound(Subject::new(
            "virtualmachines",
            "failed",
        ))));
    drop(begin("cut off").await);

    until(|| lines(dir.path(), "audit.log").len() == 4).await;
    let lines = lines(dir.path(), "audit.log");
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["name"].as_str(), line["result"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("done"), Some("OK")),
            (Some("refused"), Some("Forbidden")),
            (Some("failed"), Some("NotFound")),
            (Some("cut off"), Some("Cancelled")),
        ]
    );
    assert_eq!(lines[0]["revision"], 7);
    assert_eq!(lines[0]["from"], "10.0.0.9:4711");
    let mode = fs::metadata(dir.path().join("audit.log"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn old_files_are_put_aside_and_the_oldest_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let rotation = Rotation { bytes: 1, files: 2 };
    let audit = Audit::open(dir.path(), rotation).expect("opened");
    let present = |name: &str| {
        lines(dir.path(), "audit.log")
            .iter()
            .any(|line| line["name"] == name)
    };

    for name in ["a", "b", "c", "d"] {
        let entry = audit.begin(&somebody(), what(name), false).await;
        entry.expect("room").finish(Ok(None));
        until(|| present(name)).await;
    }

    assert_eq!(lines(dir.path(), "audit.log")[0]["name"], "d");
    assert_eq!(lines(dir.path(), "audit.log.1")[0]["name"], "c");
    assert_eq!(lines(dir.path(), "audit.log.2")[0]["name"], "b");
    assert!(!dir.path().join("audit.log.3").exists());
}

#[tokio::test]
async fn a_line_torn_by_a_crash_does_not_swallow_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("audit.log"), "{\"torn\":").expect("written");
    let audit = Audit::open(dir.path(), Rotation::default()).expect("opened");

    let entry = audit.begin(&somebody(), what("next"), false).await;
    entry.expect("room").finish(Ok(None));

    let last = || {
        let text = fs::read_to_string(dir.path().join("audit.log")).expect("there");
        text.split_inclusive('\n').next_back().map(str::to_owned)
    };
    until(|| last().is_some_and(|line| line.contains("next") && line.ends_with('\n'))).await;
    serde_json::from_str::<Value>(&last().expect("a line")).expect("a line of its own");
}

/// `/dev/full` takes nothing, like a full disk.
#[tokio::test]
async fn writes_are_refused_while_the_logs_disk_is_full() {
    let dir = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("/dev/full", dir.path().join("audit.log")).expect("linked");
    let audit = Audit::open(dir.path(), Rotation::default()).expect("opened");

    let unwritten = audit.begin(&somebody(), what("first"), false).await;
    unwritten.expect("nothing is known yet").finish(Ok(None));
    until(|| audit.health.problem().is_some()).await;

    let refusal = audit
        .begin(&somebody(), what("second"), false)
        .await
        .expect_err("no line, no write");
    assert!(
        refusal.to_string().contains("nothing was changed"),
        "{refusal}"
    );
    assert!(refusal.to_string().contains("audit log"), "{refusal}");
}
