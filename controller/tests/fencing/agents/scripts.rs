//! Scripts in the place of agents, for what a good agent never does.

use std::{fs, path::Path, time::Duration};

use quorate_controller::fencing::agents::{Action, AgentFailure, AgentReport, AgentRequest, Power};
use quorate_controller::fencing::{RunAgentDesk, RunAgentError};
use quorate_proto::member::v1::{RunAgentRequest, run_agent_reply};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{agents_in, ask, request, write_program};

const METADATA: &str = r#"<?xml version="1.0" ?>
<resource-agent name="fence_script" shortdesc="A script">
<parameters>
<parameter name="action" required="1"><content type="string" default="off"/></parameter>
<parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
<parameter name="password" required="0"><content type="string"/></parameter>
<parameter name="plug" required="0"><content type="string"/></parameter>
</parameters>
</resource-agent>"#;

/// A directory with the agent `fence_script`, which does this once it has read its standard input into `$told`.
pub(super) fn script(does: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fence_script");
    fs::write(directory.path().join("metadata"), METADATA).expect("written");
    let text = format!(
        "#!/bin/sh\nhere={}\nif [ \"$1\" = -o ]; then echo x >>$here/described; cat $here/metadata; exit; fi\ntold=$(cat)\n{does}\n",
        directory.path().display()
    );
    write_program(&path, &text);
    directory
}

fn question() -> AgentRequest {
    request("fence_script", &[("ip", "10.0.0.1")], Some("password"))
}

async fn says(does: &str, action: Action) -> AgentReport {
    let directory = script(does);
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    ask(&agents, &question(), action).await
}

#[tokio::test]
async fn secrets_are_told_on_standard_input_alone() {
    let directory = script(
        "echo \"$told\" >$here/told; tr '\\0' ' ' </proc/$$/cmdline >$here/line; env >$here/env; echo Status: ON",
    );
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    assert_eq!(
        ask(&agents, &question(), Action::Status).await,
        Ok(Power::On)
    );
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).expect("read");
    assert_eq!(
        read("told"),
        "action=status\nip=10.0.0.1\npassword=hunter2-secret\n"
    );
    assert!(!read("line").contains("hunter2"), "{}", read("line"));
    assert!(!read("env").contains("hunter2"), "{}", read("env"));
}

#[tokio::test]
async fn many_who_want_to_know_an_agent_ask_it_once() {
    let directory = script("echo Status: ON");
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    let request = question();
    let asked = (0..6).map(|_| ask(&agents, &request, Action::Status));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer, Ok(Power::On));
    }
    let described = fs::read_to_string(directory.path().join("described")).expect("read");
    assert_eq!(
        described.lines().count(),
        1,
        "six at once, and one answer for all"
    );
}

#[tokio::test]
async fn what_an_agent_says_is_shown_without_its_secrets() {
    let failure = says("echo \"cannot log in with $told\" >&2; exit 3", Action::Off)
        .await
        .expect_err("failed");
    let shown = failure.to_string();
    assert!(
        shown.starts_with("login denied (code 3)") && shown.contains("[secret]"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn off_is_believed_only_in_so_many_words() {
    assert_eq!(
        says("echo Status: OFF; exit 2", Action::Status).await,
        Ok(Power::Off)
    );
    for lie in [
        "exit 2",
        "echo usage; exit 2",
        "echo Status: OFF; exit 0",
        "echo Status: OFF; exit 1",
        "kill -9 $$",
    ] {
        let failure = says(lie, Action::Status).await.expect_err(lie);
        assert!(
            matches!(failure, AgentFailure::Failed(_)),
            "{lie}: {failure}"
        );
    }
}

#[tokio::test]
async fn an_agent_that_hangs_is_killed_with_all_that_it_has_started() {
    let directory = script("sleep 7391 & echo $! >$here/child; echo $$ >$here/self; wait");
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    let mut question = question();
    question.timeout = Duration::from_secs(5);
    let report = ask(&agents, &question, Action::Off).await;
    assert_eq!(report, Err(AgentFailure::TimedOut(Duration::from_secs(5))));
    for process in ["self", "child"] {
        ended(directory.path(), process).await;
    }
}

#[tokio::test]
async fn what_an_agent_leaves_behind_is_killed_and_not_waited_for() {
    let directory = script("sleep 7392 & echo $! >$here/child; echo Status: ON; exit 0");
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    let report = timeout(
        Duration::from_secs(60),
        ask(&agents, &question(), Action::Status),
    )
    .await;
    assert_eq!(report.expect("not waited for"), Ok(Power::On));
    ended(directory.path(), "child").await;
}

#[tokio::test]
async fn a_run_that_is_given_up_is_killed() {
    let directory = script("echo $$ >$here/self; sleep 7393");
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    let path = directory.path().join("self");
    let begun = async {
        while fs::read_to_string(&path).map_or(true, |text| text.trim().is_empty()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let question = question();
    tokio::select! {
        report = ask(&agents, &question, Action::Off) => panic!("it ended: {report:?}"),
        () = begun => {}
    }
    ended(directory.path(), "self").await;
}

/// Waits until the process whose number is in this file is no more.
async fn ended(directory: &Path, file: &str) {
    let number = fs::read_to_string(directory.join(file)).expect("it has begun");
    let process = format!("/proc/{}/stat", number.trim());
    let gone = async {
        // A zombie is dead as well; whoever adopts it decides when it is buried.
        while fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z ")) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), gone)
        .await
        .unwrap_or_else(|_| panic!("{file} lives on"));
}

#[tokio::test]
async fn an_agent_that_talks_without_end_is_cut_short() {
    let report = says("yes x | head -c 50000000; exit 1", Action::Off).await;
    let shown = report.expect_err("failed").to_string();
    assert!(shown.len() < 1000, "{}", shown.len());
}

#[tokio::test]
async fn an_agent_that_reads_nothing_is_no_reason_to_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fence_script");
    fs::write(directory.path().join("metadata"), METADATA).expect("written");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = -o ] && exec cat {}/metadata\nexec <&-\necho Status: ON\n",
        directory.path().display()
    );
    write_program(&path, &text);
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    assert_eq!(
        ask(&agents, &question(), Action::Status).await,
        Ok(Power::On)
    );
}

#[tokio::test]
async fn it_is_asked_to_describe_itself_once_and_again_when_it_was_replaced() {
    let directory = script("echo Status: ON");
    let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
    let times = || {
        fs::read_to_string(directory.path().join("described"))
            .expect("read")
            .lines()
            .count()
    };
    for _ in 0..3 {
        ask(&agents, &question(), Action::Status).await.expect("on");
    }
    assert_eq!(times(), 1);
    let path = directory.path().join("fence_script");
    let text = fs::read_to_string(&path).expect("read");
    write_program(&path, &(text + "# another version\n"));
    ask(&agents, &question(), Action::Status).await.expect("on");
    assert_eq!(times(), 2);
}

#[tokio::test]
async fn an_agent_that_does_not_describe_itself_is_not_run() {
    for metadata in [
        "",
        "<html/>",
        "<resource-agent",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><resource-agent/>",
    ] {
        let directory = script("echo x >$here/ran; echo Status: ON");
        fs::write(directory.path().join("metadata"), metadata).expect("written");
        let agents = agents_in(directory.path(), &[("password", "hunter2-secret")]);
        let failure = ask(&agents, &question(), Action::Status)
            .await
            .expect_err("refused");
        assert!(matches!(failure, AgentFailure::Refused(_)), "{failure}");
        assert!(!directory.path().join("ran").exists());
    }
}

#[tokio::test]
async fn what_is_missing_or_dangerous_is_refused_before_it_is_run() {
    let directory = script("echo Status: ON");
    let agents = agents_in(directory.path(), &[]);
    let failure = ask(&agents, &question(), Action::Status)
        .await
        .expect_err("no secret");
    assert!(
        failure
            .to_string()
            .contains("entry \"password\" of Secret \"device\""),
        "{failure}"
    );

    let agents = agents_in(directory.path(), &[("password", "two\nlines")]);
    ask(&agents, &question(), Action::Status)
        .await
        .expect_err("two lines");

    let gone = AgentRequest {
        agent: "fence_gone".into(),
        ..question()
    };
    let failure = ask(&agents, &gone, Action::Status)
        .await
        .expect_err("not there");
    assert!(
        failure.to_string().contains("package fence-agents"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_member_ends_what_an_older_leader_has_under_way_and_refuses_it_from_then_on() {
    let directory = script(
        "case \"$told\" in *action=on*) echo $$ >$here/self; sleep 7394;; *) echo Status: OFF; exit 2;; esac",
    );
    let desk = RunAgentDesk::new(agents_in(directory.path(), &[]));
    let asked = |term: u64, action: &str| RunAgentRequest {
        term,
        agent: "fence_script".into(),
        action: action.into(),
        parameters: [("ip".to_owned(), "10.0.0.1".to_owned())].into(),
        secrets: Vec::new(),
        timeout_ms: 60_000,
    };
    let newer = async {
        while fs::read_to_string(directory.path().join("self"))
            .map_or(true, |text| text.trim().is_empty())
        {
            sleep(Duration::from_millis(20)).await;
        }
        desk.run(asked(2, "status")).await
    };
    let (older, newer) = tokio::join!(desk.run(asked(1, "on")), newer);
    assert_eq!(
        older,
        Err(RunAgentError::OldTerm {
            asked: 1,
            newest: 2
        })
    );
    let newer = newer.expect("run");
    assert!(newer.succeeded);
    assert_eq!(newer.power(), run_agent_reply::Power::Off);
    ended(directory.path(), "self").await;
    assert_eq!(
        desk.run(asked(1, "on")).await,
        Err(RunAgentError::OldTerm {
            asked: 1,
            newest: 2
        })
    );
    assert_eq!(
        desk.run(asked(2, "reboot")).await,
        Err(RunAgentError::Action("reboot".into())),
        "off and then a question, never a reboot"
    );
}
