//! `quorate node cordon|uncordon|drain|maintenance|withdraw`: one field, and what follows from it.

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
    /// The host
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    waiting: Waiting,
}

/// What people want of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Active,
    Cordoned,
    Drained,
    Withdrawn,
    Maintenance,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Cordoned => "Cordoned",
            Self::Drained => "Drained",
            Self::Withdrawn => "Withdrawn",
            Self::Maintenance => "Maintenance",
        }
    }
}

pub(super) async fn run(session: &Session, args: &Args, mode: Mode) -> Result<(), CliError> {
    let node = args.node.as_str();
    wish::patch(
        session,
        "nodes",
        node,
        &json!({"spec": {"mode": mode.word()}}),
    )
    .await?;
    let goes_on = format!(
        "{node} is {}; `quorate status` shows how far it is, `quorate node uncordon {node}` takes it back",
        mode.word()
    );
    match mode {
        Mode::Drained | Mode::Withdrawn => {
            let scopes = vec![
                progress::one("nodes", node),
                progress::all("virtualmachines"),
            ];
            let judge = |seen: &Seen| emptied(seen, node, mode);
            progress::outcome(session, &args.waiting, scopes, &goes_on, judge).await
        }
        Mode::Active | Mode::Cordoned | Mode::Maintenance => session
            .console
            .line(&format!("node/{node} is {}", mode.word())),
    }
}

/// How far a host is that is to carry nothing.
fn emptied(seen: &Seen, node: &str, mode: Mode) -> Verdict {
    let Some(host) = seen.get("Node", node) else {
        return Verdict::Failed(format!("node/{node} was deleted meanwhile"));
    };
    if object::text(host, "/spec/mode") != mode.word() {
        return Verdict::Failed(format!(
            "somebody made node/{node} {} meanwhile",
            object::text(host, "/spec/mode")
        ));
    }
    let there: Vec<&Value> = seen
        .of("VirtualMachine")
        .filter(|guest| object::text(guest, "/status/node") == node)
        .filter(|guest| guest.pointer("/spec/managed") != Some(&Value::Bool(false)))
        .filter(|guest| {
            !matches!(
                object::text(guest, "/status/state"),
                "" | "Pending" | "Stopped" | "Failed"
            )
        })
        .collect();
    let stuck = |guest: &&&Value| stays_because(guest).is_some();
    if let Some(first) = there.iter().find(stuck).or(there.first()) {
        let (name, state) = (object::name(first), object::text(first, "/status/state"));
        let percent = first.pointer("/status/migration/percent");
        let percent = percent.map_or(String::new(), |percent| format!(" {percent}%"));
        let why = stays_because(first).map_or(String::new(), |why| format!(": {why}"));
        return Verdict::Going(format!(
            "{} left on {node}: {name} is {state}{percent}{why}",
            there.len()
        ));
    }
    let state = object::text(host, "/status/state");
    match (mode, state) {
        (Mode::Withdrawn, "Left") => Verdict::Done(format!("node/{node} has left")),
        (Mode::Withdrawn, _) => {
            Verdict::Going(format!("{node} carries no guest; its storage is stopped"))
        }
        _ => Verdict::Done(format!("node/{node} is drained: it carries no guest")),
    }
}

/// Why the guest is still there, when that is not only because it takes its time.
fn stays_because(guest: &Value) -> Option<&str> {
    let all = conditions::of(guest);
    let held = all
        .iter()
        .find(|one| one.type_ == "Movable" && one.status == "False");
    held.map(|held| held.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(mode: &str, state: &str) -> Value {
        json!({"kind": "Node", "metadata": {"name": "an1"}, "spec": {"mode": mode}, "status": {"state": state}})
    }

    fn guest(name: &str, node: &str, state: &str) -> Value {
        json!({"kind": "VirtualMachine", "metadata": {"name": name}, "spec": {},
            "status": {"node": node, "state": state, "migration": {"percent": 40}}})
    }

    #[test]
    fn a_drain_tells_what_is_left_and_ends_when_nothing_is() {
        let seen: Seen = [
            host("Drained", "Online"),
            guest("web", "an1", "Migrating"),
            guest("db", "an2", "Running"),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            emptied(&seen, "an1", Mode::Drained),
            Verdict::Going("1 left on an1: web is Migrating 40%".into())
        );
        let seen: Seen = [host("Drained", "Online"), guest("web", "an2", "Running")]
            .into_iter()
            .collect();
        assert_eq!(
            emptied(&seen, "an1", Mode::Drained),
            Verdict::Done("node/an1 is drained: it carries no guest".into())
        );
    }

    #[test]
    fn a_drain_tells_of_the_guest_that_cannot_go_and_why() {
        let mut pinned = guest("pinned", "an1", "Running");
        pinned["status"]["migration"] = Value::Null;
        pinned["status"]["conditions"] = json!([{
            "type": "Movable", "status": "False", "reason": "CannotMove",
            "message": "an1 is Drained: an2: has no label disk=fast",
        }]);
        let seen: Seen = [
            host("Drained", "Online"),
            guest("app", "an1", "Migrating"),
            pinned,
        ]
        .into_iter()
        .collect();
        let told = "2 left on an1: pinned is Running: an1 is Drained: an2: has no label disk=fast";
        assert_eq!(
            emptied(&seen, "an1", Mode::Drained),
            Verdict::Going(told.into())
        );
    }

    #[test]
    fn a_host_that_is_withdrawn_is_waited_for_until_it_has_left() {
        let seen: Seen = [host("Withdrawn", "Online")].into_iter().collect();
        assert!(matches!(
            emptied(&seen, "an1", Mode::Withdrawn),
            Verdict::Going(_)
        ));
        let seen: Seen = [host("Withdrawn", "Left")].into_iter().collect();
        assert_eq!(
            emptied(&seen, "an1", Mode::Withdrawn),
            Verdict::Done("node/an1 has left".into())
        );
    }

    #[test]
    fn somebody_else_who_ends_the_drain_ends_the_wait() {
        let seen: Seen = [host("Active", "Online")].into_iter().collect();
        assert!(matches!(
            emptied(&seen, "an1", Mode::Drained),
            Verdict::Failed(_)
        ));
    }
}
