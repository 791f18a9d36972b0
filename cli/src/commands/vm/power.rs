//! `quorate vm start|stop|restart`: what is wanted is written, then the guests are watched until it is so.

use std::time::{Duration, Instant};

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

/// What is written asks for a restart: another value than the one in `status.restartedFor` restarts the guest once.
const RESTART: &str = "quorate.dev/restart";
/// A guest that finds no host is given up only when that lasts: the planner may be about to look again.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Reasons that do not go away by themselves.
const STUCK: [&str; 6] = [
    "NoHostFits",
    "NotManaged",
    "NotProtected",
    "RecoveryExhausted",
    "StaysDown",
    "StartCycle",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn start(session: &Session, args: &Args) -> Result<(), CliError> {
    want(session, args, &json!({"spec": {"desiredState": "Running"}})).await?;
    let mut stuck = Stuck::default();
    wait(session, args, "is being started", |guest| {
        started(guest, &mut stuck)
    })
    .await
}

pub(super) async fn stop(session: &Session, args: &Args) -> Result<(), CliError> {
    want(session, args, &json!({"spec": {"desiredState": "Stopped"}})).await?;
    wait(session, args, "is being stopped", stopped).await
}

pub(super) async fn restart(session: &Session, args: &Args) -> Result<(), CliError> {
    let client = session.client().await?;
    for name in &args.names {
        let (guest, _) = client.get("virtualmachines", name, false).await?;
        let wanted = object::text(&guest, "/spec/desiredState");
        if wanted == "Stopped" {
            return Err(CliError::usage(format!(
                "virtualmachine/{name} is to be off; start it with `quorate vm start {name}`. Nothing was restarted"
            )));
        }
    }
    let asked = Timestamp::now().to_string();
    let fields = json!({"metadata": {"annotations": {RESTART: asked}}});
    want(session, args, &fields).await?;
    let mut stuck = Stuck::default();
    wait(session, args, "is being restarted", |guest| {
        if object::text(guest, "/status/restartedFor") == asked {
            return started(guest, &mut stuck);
        }
        let state = object::text(guest, "/status/state");
        Verdict::Going(format!(
            "{} is {state}, to be restarted",
            object::name(guest)
        ))
    })
    .await
}

async fn want(session: &Session, args: &Args, fields: &Value) -> Result<(), CliError> {
    for name in &args.names {
        wish::patch(session, "virtualmachines", name, fields).await?;
    }
    Ok(())
}

/// Watch all of them together; the first that fails ends the wait.
async fn wait(
    session: &Session,
    args: &Args,
    what: &str,
    mut judge: impl FnMut(&Value) -> Verdict,
) -> Result<(), CliError> {
    let scopes = args
        .names
        .iter()
        .map(|name| progress::one("virtualmachines", name))
        .collect();
    let goes_on = format!(
        "{} {what}; `quorate get vm -w` shows how far it is",
        args.names.join(", ")
    );
    progress::outcome(session, &args.waiting, scopes, &goes_on, |seen| {
        all(seen, &args.names, &mut judge)
    })
    .await
}

fn all(seen: &Seen, names: &[String], judge: &mut impl FnMut(&Value) -> Verdict) -> Verdict {
    let mut done = Vec::new();
    let mut going = Vec::new();
    for name in names {
        let Some(guest) = seen.get("VirtualMachine", name) else {
            return Verdict::Failed(format!("virtualmachine/{name} was deleted meanwhile"));
        };
        match judge(guest) {
            Verdict::Done(text) => done.push(text),
            Verdict::Going(text) => going.push(text),
            failed => return failed,
        }
    }
    if going.is_empty() {
        Verdict::Done(done.join("\n"))
    } else {
        Verdict::Going(going.join("; "))
    }
}

/// Since when guests are stuck.
#[derive(Debug, Default)]
struct Stuck(Vec<(String, Instant)>);

impl Stuck {
    fn lasts(&mut self, name: &str) -> bool {
        let now = Instant::now();
        match self.0.iter().find(|(stuck, _)| stuck == name) {
            Some((_, since)) => now.duration_since(*since) >= GIVE_UP,
            None => {
                self.0.push((name.to_owned(), now));
                false
            }
        }
    }

    fn is_over(&mut self, name: &str) {
        self.0.retain(|(stuck, _)| stuck != name);
    }
}

fn started(guest: &Value, stuck: &mut Stuck) -> Verdict {
    let name = object::name(guest);
    let state = object::text(guest, "/status/state");
    if matches!(state, "Running" | "Migrating") {
        let node = object::text(guest, "/status/node");
        return Verdict::Done(format!("virtualmachine/{name} runs on {node}"));
    }
    let Some(scheduled) = conditions::find(guest, "Scheduled") else {
        return Verdict::Going(format!("{name} waits for the planner"));
    };
    let why = format!("{} {}", scheduled.reason, scheduled.message);
    if scheduled.status == "False" && STUCK.contains(&scheduled.reason) {
        if stuck.lasts(name) {
            return Verdict::Failed(format!(
                "virtualmachine/{name} is {state}: {why}; `quorate why vm/{name}` tells more"
            ));
        }
    } else {
        stuck.is_over(name);
    }
    Verdict::Going(format!("{name} is {state}: {why}"))
}

fn stopped(guest: &Value) -> Verdict {
    let name = object::name(guest);
    match object::text(guest, "/status/state") {
        // One that has never been started has nothing to stop.
        "Stopped" | "" => Verdict::Done(format!("virtualmachine/{name} is off")),
        state => {
            let node = object::text(guest, "/status/node");
            let place = if node.is_empty() {
                String::new()
            } else {
                format!(" on {node}")
            };
            Verdict::Going(format!("{name} is {state}{place}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(state: &str, reason: &str) -> Value {
        json!({"kind": "VirtualMachine", "metadata": {"name": "web"}, "status": {"state": state, "node": "an1",
            "conditions": [{"type": "Scheduled", "status": if state == "Running" { "True" } else { "False" },
                "reason": reason, "message": "because"}]}})
    }

    #[test]
    fn a_start_is_done_when_the_guest_runs() {
        let mut stuck = Stuck::default();
        assert_eq!(
            started(&guest("Running", "Running"), &mut stuck),
            Verdict::Done("virtualmachine/web runs on an1".into())
        );
        assert_eq!(
            started(&guest("Pending", "StartLimit"), &mut stuck),
            Verdict::Going("web is Pending: StartLimit because".into())
        );
    }

    #[test]
    fn a_guest_that_finds_no_host_is_given_up_with_the_reason_when_that_lasts() {
        let long_ago = Instant::now()
            .checked_sub(GIVE_UP)
            .expect("a clock that has run for a while");
        let mut stuck = Stuck::default();
        assert!(matches!(
            started(&guest("Pending", "NoHostFits"), &mut stuck),
            Verdict::Going(_)
        ));
        let mut stuck = Stuck(vec![("web".into(), long_ago)]);
        let Verdict::Failed(text) = started(&guest("Pending", "NoHostFits"), &mut stuck) else {
            panic!("it goes on");
        };
        assert!(
            text.contains("NoHostFits because") && text.contains("quorate why vm/web"),
            "{text}"
        );
    }

    #[test]
    fn several_guests_are_done_together() {
        let seen: Seen = [guest("Stopped", "StopWanted")].into_iter().collect();
        assert_eq!(
            all(&seen, &["web".into()], &mut stopped),
            Verdict::Done("virtualmachine/web is off".into())
        );
        let gone = all(&seen, &["web".into(), "db".into()], &mut stopped);
        assert_eq!(
            gone,
            Verdict::Failed("virtualmachine/db was deleted meanwhile".into())
        );
    }
}
