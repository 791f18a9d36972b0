//! `quorate volume resolve`: after a split brain a person says whose data is given up.
//!
//! The decision names the split that it is about, so that it is never taken for a later one. What is given up is kept
//! aside on its host first.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    commands::node::ask_for_name,
    error::CliError,
    object,
    output::{age, conditions, table::table},
    progress::{self, Seen, Verdict, Waiting},
    session::Session,
    wish,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The volume
    #[arg(value_name = "NAME")]
    name: String,
    /// The host whose writes since the split are given up; without it, the sides are shown
    #[arg(long, value_name = "NODE")]
    discard: Option<String>,
    /// Do not ask for the host's name
    #[arg(long, requires = "discard")]
    yes: bool,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let name = args.name.as_str();
    let client = session.client().await?;
    let (volume, _) = client.get("volumes", name, false).await?;
    let split = Split::of(&volume)?;
    let Some(victim) = args.discard.as_deref() else {
        return split.show(session);
    };
    split.may_give_up(victim)?;
    if !args.yes {
        let consequence = split.consequence(victim, Timestamp::now());
        ask_for_name(session, victim, &consequence, "--yes")?;
    }
    let resolve = json!({"spec": {"resolve": {"splitBrain": split.number, "discard": victim}}});
    wish::patch(session, "volumes", name, &resolve).await?;
    let goes_on = format!(
        "what {victim} wrote is being given up; `quorate describe volume/{name}` shows how far it is"
    );
    let scopes = vec![progress::one("volumes", name)];
    let number = split.number;
    progress::outcome(session, &args.waiting, scopes, &goes_on, |seen| {
        made_one(seen, name, victim, number)
    })
    .await
}

/// A volume of which both sides have written.
struct Split<'a> {
    volume: &'a Value,
    number: u64,
}

impl<'a> Split<'a> {
    fn of(volume: &'a Value) -> Result<Self, CliError> {
        let state = object::text(volume, "/status/state");
        let number = volume.pointer("/status/splitBrain/number");
        match number.and_then(Value::as_u64) {
            Some(number) if state == "SplitBrain" => Ok(Self { volume, number }),
            _ => Err(CliError::usage(format!(
                "{} is not split, so there is nothing to give up{}",
                object::reference(volume),
                match state {
                    "" => String::new(),
                    state => format!("; it is {state}"),
                }
            ))),
        }
    }

    fn sides(&self) -> impl Iterator<Item = &'a Value> {
        list(self.volume, "/status/splitBrain/sides")
    }

    fn is_open_on(&self, node: &str) -> bool {
        list(self.volume, "/status/primary").any(|open| open == node)
    }

    fn users(&self) -> Vec<String> {
        list(self.volume, "/status/usedBy")
            .map(|user| {
                let (kind, name) = (object::text(user, "/kind"), object::text(user, "/name"));
                format!("{}/{name}", kind.to_lowercase())
            })
            .collect()
    }

    /// Refuses what the cluster would not do, or would wait for without end.
    fn may_give_up(&self, victim: &str) -> Result<(), CliError> {
        let sides: Vec<&str> = self
            .sides()
            .map(|side| object::text(side, "/node"))
            .collect();
        let volume = object::reference(self.volume);
        if !sides.contains(&victim) {
            return Err(CliError::usage(format!(
                "{victim} is no side of the split of {volume}; its sides are {}",
                sides.join(", ")
            )));
        }
        if self.is_open_on(victim) {
            return Err(CliError::usage(format!(
                "{victim} has {volume} open for writing{}; stop what uses it there first, or give up another side",
                match self.users().as_slice() {
                    [] => String::new(),
                    users => format!(" (used by {})", users.join(", ")),
                }
            )));
        }
        Ok(())
    }

    fn consequence(&self, victim: &str, now: Timestamp) -> String {
        let told = |side: &Value| {
            format!(
                "written alone: {}, last write: {}",
                written(side),
                last_write(side, now)
            )
        };
        let mut text = format!(
            "everything that {victim} alone has written to {} since the split is taken out of it; it is kept aside as a \
             snapshot on {victim}, {}-split-{}, if its pool has room",
            object::reference(self.volume),
            object::name(self.volume),
            self.number
        );
        let given_up = |side: &&Value| object::text(side, "/node") == victim;
        for side in self.sides().filter(given_up) {
            text.push_str(&format!("\n  given up: {victim} ({})", told(side)));
        }
        for side in self.sides().filter(|side| !given_up(side)) {
            let node = object::text(side, "/node");
            text.push_str(&format!("\n  kept:     {node} ({})", told(side)));
        }
        text
    }

    fn show(&self, session: &Session) -> Result<(), CliError> {
        let name = object::name(self.volume);
        let since = object::text(self.volume, "/status/splitBrain/since");
        let now = Timestamp::now();
        session.console.print(&format!(
            "{} is split for {}: both sides have written, and nothing is resolved by itself\n\n{}\nGive up what one side has \
             written alone: quorate volume resolve {name} --discard NODE\n",
            object::reference(self.volume),
            age::since(since, now),
            self.table(now, session.console.color())
        ))
    }

    fn table(&self, now: Timestamp, color: bool) -> String {
        let rows: Vec<_> = self
            .sides()
            .map(|side| {
                let node = object::text(side, "/node");
                vec![
                    node.into(),
                    if self.is_open_on(node) { "yes" } else { "no" }.into(),
                    written(side).into(),
                    last_write(side, now).into(),
                ]
            })
            .collect();
        table(
            &["SIDE", "OPEN FOR WRITING", "WRITTEN ALONE", "LAST WRITE"],
            &rows,
            color,
        )
    }
}

fn written(side: &Value) -> &str {
    match object::text(side, "/written") {
        "" => "not known",
        text => text,
    }
}

/// When the side was last seen to write. That nobody has seen it is no proof that it has not: it says since when somebody looks.
fn last_write(side: &Value, now: Timestamp) -> String {
    let last = object::text(side, "/lastWrite");
    let watched = object::text(side, "/watchedSince");
    match (last, watched) {
        ("", "") => "not known, its host does not say".to_owned(),
        ("", since) => format!("none since {since}, not known before"),
        (last, _) => format!("{last} ({} ago)", age::since(last, now)),
    }
}

fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// How far the volume is from being one again.
fn made_one(seen: &Seen, name: &str, victim: &str, number: u64) -> Verdict {
    let Some(volume) = seen.get("Volume", name) else {
        return Verdict::Failed(format!("volume/{name} was deleted meanwhile"));
    };
    let now = volume
        .pointer("/status/splitBrain/number")
        .and_then(Value::as_u64);
    if now.is_some_and(|now| now > number) {
        return Verdict::Failed(format!(
            "volume/{name} has split once more meanwhile; `quorate volume resolve {name}` shows the sides"
        ));
    }
    if object::text(volume, "/spec/resolve/discard") != victim {
        return Verdict::Failed(format!(
            "somebody decided otherwise about volume/{name} meanwhile"
        ));
    }
    match conditions::find(volume, "InSync") {
        Some(in_sync) if in_sync.status == "True" => Verdict::Done(format!(
            "volume/{name} is in sync again; what {victim} had written is kept there as {name}-split-{number}"
        )),
        Some(in_sync) => Verdict::Going(format!("volume/{name}: {}", in_sync.message)),
        None => Verdict::Going(format!("volume/{name} says nothing of its replicas yet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Value {
        json!({
            "kind": "Volume", "metadata": {"name": "data"},
            "spec": {"resolve": {"splitBrain": 2, "discard": "an2"}},
            "status": {
                "state": "SplitBrain",
                "primary": ["an1"],
                "usedBy": [{"kind": "VirtualMachine", "name": "web"}],
                "splitBrain": {"number": 2, "sides": [
                    {"node": "an1", "written": "4Mi", "lastWrite": "2026-11-22T10:11:00Z", "watchedSince": "2026-11-20T08:00:00Z"},
                    {"node": "an2", "written": "1Mi", "watchedSince": "2026-11-22T10:05:00Z"},
                    {"node": "an3"}]},
                "conditions": [{"type": "InSync", "status": "False", "message": "both sides have written"}],
            },
        })
    }

    fn now() -> Timestamp {
        "2026-11-22T10:20:00Z".parse().expect("a moment")
    }

    fn refused(result: Result<(), CliError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn the_sides_are_shown_and_the_one_that_is_in_use_is_not_given_up() {
        let volume = volume();
        let split = Split::of(&volume).expect("it is split");
        assert_eq!(
            split.table(now(), false),
            "SIDE   OPEN FOR WRITING   WRITTEN ALONE   LAST WRITE\n\
             an1    yes                4Mi             2026-11-22T10:11:00Z (9m ago)\n\
             an2    no                 1Mi             none since 2026-11-22T10:05:00Z, not known before\n\
             an3    no                 not known       not known, its host does not say\n"
        );
        let text = split.consequence("an2", now());
        for line in [
            "\n  given up: an2 (written alone: 1Mi, last write: none since 2026-11-22T10:05:00Z, not known before)",
            "\n  kept:     an1 (written alone: 4Mi, last write: 2026-11-22T10:11:00Z (9m ago))",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        split.may_give_up("an2").expect("nobody has it open there");
        let open = refused(split.may_give_up("an1"));
        assert!(open.contains("used by virtualmachine/web"), "{open}");
        let other = refused(split.may_give_up("an4"));
        assert!(other.contains("its sides are an1, an2, an3"), "{other}");
    }

    #[test]
    fn a_volume_that_is_whole_has_nothing_to_give_up() {
        let mut volume = volume();
        volume["status"]["state"] = "InSync".into();
        let error = Split::of(&volume).err().expect("refused").to_string();
        assert!(error.contains("volume/data is not split"), "{error}");
        assert!(error.contains("it is InSync"), "{error}");
    }

    #[test]
    fn it_is_over_when_the_replicas_are_one_again_and_not_when_they_split_anew() {
        let judged = |volume: Value| {
            let seen: Seen = [volume].into_iter().collect();
            made_one(&seen, "data", "an2", 2)
        };
        let mut volume = volume();
        assert_eq!(
            judged(volume.clone()),
            Verdict::Going("volume/data: both sides have written".to_owned())
        );
        let mut again = volume.clone();
        again["status"]["splitBrain"]["number"] = 3.into();
        assert!(matches!(judged(again), Verdict::Failed(_)));
        let mut other = volume.clone();
        other["spec"]["resolve"]["discard"] = "an1".into();
        assert!(matches!(judged(other), Verdict::Failed(_)));
        volume["status"]["conditions"][0]["status"] = "True".into();
        assert!(matches!(judged(volume), Verdict::Done(text) if text.contains("data-split-2")));
    }
}
