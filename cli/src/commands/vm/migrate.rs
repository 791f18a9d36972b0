//! `quorate vm migrate`: a running guest is moved, and may be called back while it is under way.

use serde_json::{Value, json};

use crate::{
    error::CliError,
    object,
    progress::{self, Seen, Verdict, Waiting},
    session::Session,
    wish,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest
    #[arg(value_name = "NAME")]
    name: String,
    /// Where to [default: the best host that its placement allows]
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// Give up the migration that is under way; the guest runs on where it is
    #[arg(long, conflicts_with = "to")]
    cancel: bool,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let guest = args.name.as_str();
    let migration = if args.cancel {
        let migration = under_way(session, guest).await?;
        let fields = json!({"spec": {"cancel": true}});
        wish::patch(session, "virtualmachinemigrations", &migration, &fields).await?;
        migration
    } else {
        if let Some(target) = &args.to
            && let Some(done) = already_there(session, guest, target).await?
        {
            return session.console.line(&done);
        }
        let name = wish::request_name(guest);
        let mut spec = json!({"virtualMachine": guest});
        if let Some(target) = &args.to {
            spec["target"] = json!(target);
        }
        wish::request(session, "VirtualMachineMigration", &name, spec).await?;
        name
    };
    let goes_on = if args.cancel {
        format!("virtualmachinemigration/{migration} is being given up")
    } else {
        format!(
            "virtualmachinemigration/{migration} goes on; `quorate vm migrate {guest} --cancel` gives it up"
        )
    };
    let scopes = vec![progress::one("virtualmachinemigrations", &migration)];
    progress::outcome(session, &args.waiting, scopes, &goes_on, |seen| {
        moved(seen, &migration, args.cancel)
    })
    .await
}

/// Whether the guest is where it should go, in words. An error when that host takes nothing, so that waiting for it is
/// in vain.
async fn already_there(
    session: &Session,
    guest: &str,
    target: &str,
) -> Result<Option<String>, CliError> {
    let client = session.client().await?;
    let (running, _) = client.get("virtualmachines", guest, false).await?;
    if object::text(&running, "/status/node") == target {
        return Ok(Some(format!(
            "virtualmachine/{guest} is on {target} already; nothing was moved"
        )));
    }
    let (host, _) = client.get("nodes", target, false).await?;
    let text = |pointer| object::text(&host, pointer);
    match (text("/spec/mode"), text("/status/state")) {
        ("Active", "Online") => Ok(None),
        ("Active", state) => Err(CliError::usage(format!(
            "{target} is {}, so it can receive nothing; `quorate why node/{target}` tells why",
            if state.is_empty() {
                "not part of the cluster yet"
            } else {
                state
            }
        ))),
        (mode, _) => Err(CliError::usage(format!(
            "{target} is {mode}, so it takes no guest; `quorate node uncordon {target}` changes that"
        ))),
    }
}

/// The migration of a guest that is not over yet.
async fn under_way(session: &Session, guest: &str) -> Result<String, CliError> {
    let client = session.client().await?;
    let listed = client
        .list(&progress::all("virtualmachinemigrations"), false)
        .await?;
    let open = listed.objects.iter().find(|migration| {
        object::text(migration, "/spec/virtualMachine") == guest && !is_over(migration)
    });
    open.map(|migration| object::name(migration).to_owned())
        .ok_or_else(|| {
            CliError::usage(format!(
                "no migration of virtualmachine/{guest} is under way, so there is nothing to cancel; `quorate get vmm` lists them"
            ))
        })
}

/// Whether nothing more happens to a migration.
pub(crate) fn is_over(migration: &Value) -> bool {
    matches!(
        object::text(migration, "/status/phase"),
        "Succeeded" | "Failed" | "Cancelled"
    )
}

fn moved(seen: &Seen, name: &str, cancelled: bool) -> Verdict {
    let Some(migration) = seen.get("VirtualMachineMigration", name) else {
        return Verdict::Failed(format!(
            "virtualmachinemigration/{name} was deleted meanwhile"
        ));
    };
    let text = |pointer| object::text(migration, pointer);
    let guest = text("/spec/virtualMachine");
    let why = match (text("/status/message"), text("/status/reason")) {
        ("", "") => String::new(),
        ("", reason) => format!(": {reason}"),
        (message, _) => format!(": {message}"),
    };
    let way = match (text("/status/source"), text("/status/target")) {
        ("", "") => String::new(),
        (source, target) => format!(" from {source} to {target}"),
    };
    match text("/status/phase") {
        "Succeeded" if cancelled => Verdict::Failed(format!(
            "virtualmachine/{guest} had moved already: it runs on {}",
            text("/status/target")
        )),
        "Succeeded" => Verdict::Done(format!(
            "virtualmachine/{guest} runs on {}",
            text("/status/target")
        )),
        "Cancelled" if cancelled => Verdict::Done(format!(
            "virtualmachine/{guest} stays on {}",
            text("/status/source")
        )),
        "Failed" | "Cancelled" => Verdict::Failed(match text("/status/source") {
            "" => format!("virtualmachine/{guest} was not moved{why}"),
            source => format!("virtualmachine/{guest} was not moved and runs on {source}{why}"),
        }),
        "" | "Pending" => Verdict::Going(format!("{guest} waits to be moved{why}")),
        phase => {
            let percent = migration.pointer("/status/progress/percent");
            let percent = percent.map_or(String::new(), |percent| format!(", {percent}%"));
            Verdict::Going(format!("moving {guest}{way}: {phase}{percent}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: Value) -> Seen {
        let migration = json!({"kind": "VirtualMachineMigration", "metadata": {"name": "x"},
            "spec": {"virtualMachine": "web"}, "status": status});
        [migration].into_iter().collect()
    }

    #[test]
    fn a_move_tells_how_far_it_is_and_where_the_guest_ends_up() {
        let running = seen(
            json!({"phase": "Running", "source": "an1", "target": "an2", "progress": {"percent": 40}}),
        );
        assert_eq!(
            moved(&running, "x", false),
            Verdict::Going("moving web from an1 to an2: Running, 40%".into())
        );
        let done = seen(json!({"phase": "Succeeded", "source": "an1", "target": "an2"}));
        assert_eq!(
            moved(&done, "x", false),
            Verdict::Done("virtualmachine/web runs on an2".into())
        );
        let failed = seen(
            json!({"phase": "Failed", "source": "an1", "message": "its volume is not UpToDate on an2"}),
        );
        assert_eq!(
            moved(&failed, "x", false),
            Verdict::Failed(
                "virtualmachine/web was not moved and runs on an1: its volume is not UpToDate on an2".into()
            )
        );
    }

    #[test]
    fn a_move_that_was_called_back_too_late_is_no_success_of_the_call() {
        let late = seen(json!({"phase": "Succeeded", "source": "an1", "target": "an2"}));
        assert!(matches!(moved(&late, "x", true), Verdict::Failed(_)));
        let stayed = seen(json!({"phase": "Cancelled", "source": "an1", "target": "an2"}));
        assert_eq!(
            moved(&stayed, "x", true),
            Verdict::Done("virtualmachine/web stays on an1".into())
        );
    }
}
