//! `quorate fence status`: could every host be made safe?

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    console::Tone,
    error::CliError,
    looking::{Looking, all_of},
    object,
    output::{
        age::{self, NONE},
        conditions::tone_of_word,
        format::Format,
        objects::whole,
        table::{Cell, table},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    looking: Looking,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let Looking { local, output } = &args.looking;
    let (color, now) = (session.console.color(), Timestamp::now());
    let plurals = ["nodes", "fencedevices", "fenceoperations"];
    let [nodes, devices, operations] = all_of(session, *local, plurals).await?;
    if !matches!(output, Format::Table | Format::Wide) {
        let open: Vec<&Value> = operations.iter().filter(|one| is_open(one)).collect();
        let all = json!({"nodes": nodes, "fenceDevices": devices, "underWay": open});
        return session.console.print(&whole(&all, output));
    }
    let rows: Vec<_> = nodes.iter().flat_map(|node| levels(node, now)).collect();
    session.console.print(&table(
        &[
            "HOST", "STATE", "LEVEL", "DEVICES", "WORKS", "TESTED", "MESSAGE",
        ],
        &rows,
        color,
    ))?;
    let rows: Vec<_> = devices.iter().map(|one| device(one, now)).collect();
    session.console.line("")?;
    session.console.print(&table(
        &["DEVICE", "AGENT", "STATE", "ASKED", "TESTED", "MESSAGE"],
        &rows,
        color,
    ))?;
    let rows: Vec<_> = operations
        .iter()
        .filter(|one| is_open(one))
        .map(|one| operation(one, now))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    session.console.line("")?;
    session.console.print(&table(
        &[
            "UNDER WAY",
            "HOST",
            "ACTION",
            "PHASE",
            "LEVEL",
            "FOR",
            "WHY",
        ],
        &rows,
        color,
    ))
}

/// Whether something more happens to a fence operation.
pub(crate) fn is_open(operation: &Value) -> bool {
    !matches!(
        object::text(operation, "/status/phase"),
        "Succeeded" | "Failed" | "Voided"
    )
}

fn levels(node: &Value, now: Timestamp) -> Vec<Vec<Cell>> {
    let name = object::name(node);
    let state = object::text(node, "/status/state");
    let state = || Cell::toned(or_none(state), tone_of_word("STATE", state));
    let levels = node
        .pointer("/spec/fencing/levels")
        .and_then(Value::as_array);
    let rows: Vec<Vec<Cell>> = levels
        .into_iter()
        .flatten()
        .map(|level| {
            let seen = tested(node, object::text(level, "/name"));
            let works = match seen.and_then(|seen| seen["ready"].as_bool()) {
                Some(true) => Cell::toned("yes", Tone::Good),
                Some(false) => Cell::toned("no", Tone::Bad),
                None => Cell::toned("not tested yet", Tone::Warn),
            };
            let text = |pointer| seen.map_or("", |seen| object::text(seen, pointer));
            vec![
                name.into(),
                state(),
                object::text(level, "/name").into(),
                devices_of(level).into(),
                works,
                ago(text("/lastTested"), now).into(),
                text("/message").into(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        return rows;
    }
    let none = Cell::toned("none: it cannot be made safe when it is lost", Tone::Bad);
    vec![vec![name.into(), state(), none]]
}

fn tested<'a>(node: &'a Value, level: &str) -> Option<&'a Value> {
    let levels = node
        .pointer("/status/fenceLevels")
        .and_then(Value::as_array);
    levels
        .into_iter()
        .flatten()
        .find(|seen| seen["name"] == level)
}

fn devices_of(level: &Value) -> String {
    let targets = level["devices"].as_array().into_iter().flatten();
    let names: Vec<String> = targets
        .map(|target| match object::text(target, "/plug") {
            "" => object::text(target, "/device").to_owned(),
            plug => format!("{}:{plug}", object::text(target, "/device")),
        })
        .collect();
    names.join("+")
}

fn device(device: &Value, now: Timestamp) -> Vec<Cell> {
    let text = |pointer| object::text(device, pointer);
    let state = text("/status/state");
    let tone = match state {
        "Ready" => Tone::Good,
        "Failed" | "Contradicted" => Tone::Bad,
        _ => Tone::Warn,
    };
    let agent = match text("/spec/agent") {
        "" => text("/spec/type"),
        agent => agent,
    };
    vec![
        object::name(device).into(),
        agent.into(),
        Cell::toned(or_none(state), tone),
        ago(text("/status/lastPoll"), now).into(),
        ago(text("/status/lastTest"), now).into(),
        if state == "Ready" {
            ""
        } else {
            text("/status/lastError")
        }
        .into(),
    ]
}

fn operation(operation: &Value, now: Timestamp) -> Vec<Cell> {
    let text = |pointer| object::text(operation, pointer);
    let phase = text("/status/phase");
    vec![
        object::name(operation).into(),
        text("/spec/node").into(),
        text("/spec/action").into(),
        Cell::toned(
            if phase.is_empty() { "Pending" } else { phase },
            if phase == "Blocked" {
                Tone::Bad
            } else {
                Tone::Warn
            },
        ),
        or_none(text("/status/level")).into(),
        age::since(text("/metadata/creationTimestamp"), now).into(),
        text("/spec/reason").into(),
    ]
}

fn ago(timestamp: &str, now: Timestamp) -> String {
    if timestamp.is_empty() {
        NONE.to_owned()
    } else {
        format!("{} ago", age::since(timestamp, now))
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[Vec<Cell>]) -> Vec<Vec<&str>> {
        rows.iter()
            .map(|row| row.iter().map(|cell| cell.text.as_str()).collect())
            .collect()
    }

    #[test]
    fn every_level_says_whether_it_would_work_and_a_host_without_one_stands_out() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a moment");
        let node = json!({"metadata": {"name": "an1"}, "status": {"state": "Online", "fenceLevels": [
                {"name": "pdu", "ready": false, "lastTested": "2026-01-01T11:00:00Z", "message": "p02: no answer"}]},
            "spec": {"fencing": {"levels": [{"name": "ipmi", "devices": [{"device": "ipmi-an1"}]},
                {"name": "pdu", "devices": [{"device": "p01", "plug": "1"}, {"device": "p02", "plug": "1"}]}]}}});
        let rows = levels(&node, now);
        assert_eq!(
            texts(&rows),
            [
                vec![
                    "an1",
                    "Online",
                    "ipmi",
                    "ipmi-an1",
                    "not tested yet",
                    "<none>",
                    ""
                ],
                vec![
                    "an1",
                    "Online",
                    "pdu",
                    "p01:1+p02:1",
                    "no",
                    "60m ago",
                    "p02: no answer"
                ],
            ]
        );
        let bare = levels(&json!({"metadata": {"name": "an2"}}), now);
        assert!(
            texts(&bare)[0][2].contains("cannot be made safe"),
            "{bare:?}"
        );
    }
}
