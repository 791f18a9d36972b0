//! `quorate volume verify`: compares the replicas of a volume now, instead of when the schedule says so.

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

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The volume
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let name = args.name.as_str();
    let client = session.client().await?;
    let (volume, _) = client.get("volumes", name, false).await?;
    if object::text(&volume, "/spec/verify/algorithm").is_empty() {
        return Err(CliError::usage(format!(
            "{} has no spec.verify.algorithm: say by which digest its blocks are compared, for example Sha256",
            object::reference(&volume)
        )));
    }
    let asked = Timestamp::now();
    let at = json!({"spec": {"verify": {"at": asked.to_string()}}});
    wish::patch(session, "volumes", name, &at).await?;
    let goes_on = format!(
        "volume/{name} is compared as soon as it is in sync and nothing else happens to it; `quorate describe volume/{name}` \
         shows the result"
    );
    let scopes = vec![progress::one("volumes", name)];
    progress::outcome(session, &args.waiting, scopes, &goes_on, |seen| {
        compared(seen, name, asked)
    })
    .await
}

/// How far the comparison is that was asked for at that moment.
fn compared(seen: &Seen, name: &str, asked: Timestamp) -> Verdict {
    let Some(volume) = seen.get("Volume", name) else {
        return Verdict::Failed(format!("volume/{name} was deleted meanwhile"));
    };
    let moment = |pointer| object::text(volume, pointer).parse::<Timestamp>().ok();
    let begun = moment("/status/lastVerify/startedAt").filter(|begun| *begun >= asked);
    let Some(begun) = begun else {
        return Verdict::Going(format!("volume/{name}: {}", waits_for(volume)));
    };
    let said = said(volume, "Verified");
    let finished = moment("/status/lastVerify/finishedAt").filter(|end| *end >= begun);
    if !object::text(volume, "/status/lastVerify/node").is_empty() {
        Verdict::Going(format!("volume/{name}: {said}"))
    } else if finished.is_some() && is_zero(object::text(volume, "/status/lastVerify/outOfSync")) {
        Verdict::Done(format!("volume/{name}: {said}"))
    } else {
        Verdict::Failed(format!("volume/{name}: {said}"))
    }
}

fn is_zero(size: &str) -> bool {
    size.is_empty() || size == "0"
}

fn waits_for(volume: &Value) -> String {
    match object::text(volume, "/status/state") {
        "Ready" => "nothing is compared yet; another volume of its hosts may be at work".to_owned(),
        _ => format!(
            "it is compared when every replica is in sync: {}",
            said(volume, "InSync")
        ),
    }
}

fn said<'a>(volume: &'a Value, condition: &str) -> &'a str {
    conditions::find(volume, condition)
        .map_or("its hosts have not said anything yet", |one| one.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(last: &Value, message: &str) -> Verdict {
        let volume = json!({
            "kind": "Volume", "metadata": {"name": "data"},
            "status": {
                "state": "Ready", "lastVerify": last,
                "conditions": [{"type": "Verified", "status": "False", "message": message}],
            },
        });
        let seen: Seen = [volume].into_iter().collect();
        let asked = "2026-03-01T12:00:00Z".parse().expect("a moment");
        compared(&seen, "data", asked)
    }

    #[test]
    fn only_the_comparison_that_was_asked_for_is_the_answer() {
        let before =
            json!({"startedAt": "2026-02-01T12:00:00Z", "finishedAt": "2026-02-01T13:00:00Z"});
        assert!(matches!(
            judged(&before, "none differed"),
            Verdict::Going(_)
        ));

        let runs = json!({"startedAt": "2026-03-01T12:00:01Z", "finishedAt": "2026-02-01T13:00:00Z", "node": "an1"});
        let at_work = "an1 compares every block";
        assert_eq!(
            judged(&runs, at_work),
            Verdict::Going(format!("volume/data: {at_work}"))
        );

        let mut over = runs;
        over["node"] = Value::Null;
        let broken = judged(&over, "the peer was lost");
        assert!(matches!(broken, Verdict::Failed(text) if text.contains("the peer was lost")));

        over["finishedAt"] = "2026-03-01T12:30:00Z".into();
        over["outOfSync"] = "0".into();
        assert!(matches!(judged(&over, "none differed"), Verdict::Done(_)));
        over["outOfSync"] = "8192".into();
        assert!(matches!(
            judged(&over, "8 KiB differed"),
            Verdict::Failed(_)
        ));
    }
}
