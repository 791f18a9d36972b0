//! `quorate fence test`: one operation for each level or device, and what they answered.

use serde_json::{Value, json};

use crate::{
    client::Client,
    error::CliError,
    fencing, object,
    progress::{self, Seen, Verdict, Waiting},
    session::Session,
    wish,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A host, or a fence device
    #[arg(value_name = "DEVICE or NODE")]
    what: String,
    /// Only this level of the host
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// A test: what it is about in words, and the operation's spec.
type Test = (String, Value);

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let client = session.client().await?;
    let user = wish::user(session).await?;
    let mut asked = Vec::new();
    for (at, (about, mut spec)) in tests(&client, args).await?.into_iter().enumerate() {
        spec["reason"] = json!("a test asked for on the command line");
        spec["requestedBy"] = json!(user);
        let name = wish::request_name(&format!("{}-test{at}", args.what));
        wish::request(session, "FenceOperation", &name, spec).await?;
        asked.push((name, about));
    }
    let scopes = asked
        .iter()
        .map(|(name, _)| progress::one("fenceoperations", name))
        .collect();
    let goes_on = "the tests go on; `quorate fence status` shows what they find";
    progress::outcome(session, &args.waiting, scopes, goes_on, |seen| {
        together(seen, &asked)
    })
    .await
}

/// What is tested: a device by its name, or the levels of a host.
async fn tests(client: &Client, args: &Args) -> Result<Vec<Test>, CliError> {
    let what = args.what.as_str();
    if let Some(node) = client.find("nodes", what).await? {
        return levels(&node, what, args.level.as_deref());
    }
    if client.find("fencedevices", what).await?.is_none() {
        return Err(CliError::usage(format!(
            "there is neither a host nor a fence device {what:?}; `quorate get nodes,fencedevices` lists them"
        )));
    }
    if args.level.is_some() {
        return Err(CliError::usage(format!(
            "{what} is a fence device, and only hosts have levels; leave --level out"
        )));
    }
    let nodes = client.list(&progress::all("nodes"), false).await?.objects;
    let user = nodes.iter().find(|node| uses(node, what)).ok_or_else(|| {
        CliError::usage(format!(
            "no host has {what} in a fence level, so there is nothing to ask it about; name it in a Node's \
             spec.fencing.levels first"
        ))
    })?;
    let spec = json!({"node": object::name(user), "action": "TestDevice", "device": what});
    Ok(vec![(format!("device {what}"), spec)])
}

fn levels(node: &Value, name: &str, only: Option<&str>) -> Result<Vec<Test>, CliError> {
    let all: Vec<&str> = level_list(node)
        .map(|level| object::text(level, "/name"))
        .collect();
    if all.is_empty() {
        return Err(CliError::usage(format!(
            "{name} has no fence level: it cannot be made safe when it is lost; name its devices in \
             spec.fencing.levels"
        )));
    }
    if let Some(wanted) = only
        && !all.contains(&wanted)
    {
        return Err(CliError::usage(format!(
            "{name} has no level {wanted:?}; its levels are {}",
            all.join(", ")
        )));
    }
    let chosen = all
        .into_iter()
        .filter(|level| only.is_none_or(|only| only == *level));
    Ok(chosen
        .map(|level| {
            let spec = json!({"node": name, "action": "TestLevel", "level": level});
            (format!("level {level} of {name}"), spec)
        })
        .collect())
}

fn level_list(node: &Value) -> impl Iterator<Item = &Value> {
    let levels = node
        .pointer("/spec/fencing/levels")
        .and_then(Value::as_array);
    levels.into_iter().flatten()
}

fn uses(node: &Value, device: &str) -> bool {
    level_list(node)
        .filter_map(|level| level["devices"].as_array())
        .flatten()
        .any(|target| object::text(target, "/device") == device)
}

/// All tests are waited for, also when one has failed.
fn together(seen: &Seen, asked: &[(String, String)]) -> Verdict {
    let (mut lines, mut going, mut failed) = (Vec::new(), Vec::new(), false);
    for (name, about) in asked {
        match fencing::tested(seen, name, about) {
            Verdict::Going(text) => going.push(text),
            Verdict::Done(text) => lines.push(text),
            Verdict::Failed(text) => {
                failed = true;
                lines.push(text);
            }
        }
    }
    match (going.is_empty(), failed) {
        (false, _) => Verdict::Going(going.join("; ")),
        (true, false) => Verdict::Done(lines.join("\n")),
        (true, true) => Verdict::Failed(lines.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Value {
        json!({"spec": {"fencing": {"levels": [
            {"name": "ipmi", "devices": [{"device": "ipmi-an1"}]},
            {"name": "pdu", "devices": [{"device": "p01", "plug": "1"}, {"device": "p02", "plug": "1"}]}]}}})
    }

    #[test]
    fn a_host_is_tested_level_by_level() {
        let all = levels(&node(), "an1", None).expect("levels");
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].0, "level ipmi of an1");
        let one = levels(&node(), "an1", Some("pdu")).expect("a level");
        assert_eq!(one[0].1["level"], "pdu");
        let wrong = levels(&node(), "an1", Some("ups")).expect_err("no such level");
        assert!(
            wrong.to_string().contains("its levels are ipmi, pdu"),
            "{wrong}"
        );
        assert!(uses(&node(), "p02") && !uses(&node(), "p03"));
    }

    #[test]
    fn one_failed_test_does_not_hide_the_others() {
        let operation = |name: &str, phase: &str| json!({"kind": "FenceOperation", "metadata": {"name": name}, "status": {"phase": phase}});
        let seen: Seen = [operation("a", "Failed"), operation("b", "Succeeded")]
            .into_iter()
            .collect();
        let asked = [
            ("a".into(), "level ipmi".into()),
            ("b".into(), "level pdu".into()),
        ];
        let Verdict::Failed(text) = together(&seen, &asked) else {
            panic!("not failed");
        };
        assert!(
            text.contains("level ipmi does not work") && text.contains("level pdu works"),
            "{text}"
        );
    }
}
