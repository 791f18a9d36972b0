//! `quorate filesystem check`: has one host look for damage on a filesystem that nobody has mounted.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    error::CliError,
    object,
    output::conditions,
    progress::{self, Seen, Verdict, Waiting},
    session::Session,
    wish,
};

const PLURAL: &str = "sharedfilesystems";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shared filesystem
    #[arg(value_name = "NAME")]
    name: String,
    /// Mend what is found; without it nothing is written. Take a snapshot of its volume first
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let name = args.name.as_str();
    let client = session.client().await?;
    let (filesystem, _) = client.get(PLURAL, name, false).await?;
    if object::text(&filesystem, "/spec/desiredState") != "Unmounted" {
        return Err(CliError::usage(format!(
            "{} is to be mounted, and is checked only while no host may have it mounted: stop the guests that use it, and set \
             spec.desiredState to Unmounted",
            object::reference(&filesystem)
        )));
    }
    let asked = Timestamp::now();
    let wanted = json!({"spec": {"check": {"at": asked.to_string(), "repair": args.repair}}});
    wish::patch(session, PLURAL, name, &wanted).await?;
    let goes_on = format!(
        "fs/{name} is checked as soon as no host may have it mounted; `quorate describe fs/{name}` shows the result"
    );
    let scopes = vec![progress::one(PLURAL, name)];
    progress::outcome(session, &args.waiting, scopes, &goes_on, |seen| {
        checked(seen, name, asked)
    })
    .await
}

/// How far the check is that was asked for at that moment.
fn checked(seen: &Seen, name: &str, asked: Timestamp) -> Verdict {
    let Some(filesystem) = seen.get("SharedFilesystem", name) else {
        return Verdict::Failed(format!("fs/{name} was deleted meanwhile"));
    };
    let begun = object::text(filesystem, "/status/lastCheck/startedAt");
    let begun = begun.parse::<Timestamp>().ok();
    let said = format!("fs/{name}: {}", said(filesystem));
    let runs = !object::text(filesystem, "/status/lastCheck/node").is_empty();
    if runs || begun.is_none_or(|begun| begun < asked) {
        return Verdict::Going(said);
    }
    match object::text(filesystem, "/status/lastCheck/result") {
        "Clean" | "Repaired" => Verdict::Done(said),
        _ => Verdict::Failed(said),
    }
}

fn said(filesystem: &Value) -> &str {
    conditions::find(filesystem, "Checked").map_or("nothing is checked yet", |one| one.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_check_that_was_asked_for_is_the_answer() {
        let judged = |last: &Value| {
            let filesystem = json!({
                "kind": "SharedFilesystem", "metadata": {"name": "files"},
                "status": {
                    "lastCheck": last,
                    "conditions": [{"type": "Checked", "status": "False", "message": "as it is"}],
                },
            });
            let seen: Seen = [filesystem].into_iter().collect();
            checked(
                &seen,
                "files",
                "2026-03-01T12:00:00Z".parse().expect("a moment"),
            )
        };
        let mut last = json!({"startedAt": "2026-02-01T12:00:00Z", "result": "Clean"});
        assert!(
            matches!(judged(&last), Verdict::Going(_)),
            "that was before"
        );
        last["startedAt"] = "2026-03-01T12:00:01Z".into();
        last["node"] = "an1".into();
        assert!(matches!(judged(&last), Verdict::Going(_)), "it runs");
        last["node"] = Value::Null;
        assert!(matches!(judged(&last), Verdict::Done(text) if text == "fs/files: as it is"));
        for result in ["Damaged", "Broken"] {
            last["result"] = result.into();
            assert!(matches!(judged(&last), Verdict::Failed(_)), "{result}");
        }
        last["result"] = Value::Null;
        assert!(
            matches!(judged(&last), Verdict::Failed(_)),
            "it could not begin"
        );
    }
}
