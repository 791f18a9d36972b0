//! `quorate node fence`: a host is switched off because a person wants it.

use serde_json::json;

use super::confirm::ask_for_name;
use crate::{
    error::CliError,
    fencing,
    progress::{self, Waiting},
    session::Session,
    wish,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The host
    #[arg(value_name = "NODE")]
    node: String,
    /// Why; it is kept with the operation
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "asked for on the command line"
    )]
    reason: String,
    /// Leave it off; by default it is switched on again once it is seen to be off
    #[arg(long)]
    off: bool,
    /// Do not ask for the host's name
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let node = args.node.as_str();
    let client = session.client().await?;
    let (host, _) = client.get("nodes", node, false).await?;
    if !args.yes {
        ask_for_name(
            session,
            node,
            &format!(
                "everything that runs on {node} is cut off at once and then recovered elsewhere"
            ),
            "--yes",
        )?;
    }
    let user = wish::user(session).await?;
    let name = wish::request_name(node);
    let mut spec = json!({
        "node": node,
        "action": if args.off { "PowerOff" } else { "PowerCycle" },
        "reason": args.reason,
        "requestedBy": user,
    });
    // Should it boot meanwhile, the new incarnation is not meant.
    if let Some(incarnation) = host.pointer("/status/incarnation") {
        spec["incarnation"] = incarnation.clone();
    }
    wish::request(session, "FenceOperation", &name, spec).await?;
    let goes_on = format!(
        "{node} is being fenced: `quorate describe fenceoperation/{name}` shows how far it is"
    );
    let scopes = vec![progress::one("fenceoperations", &name)];
    progress::outcome(session, &args.waiting, scopes, &goes_on, |seen| {
        fencing::fenced(seen, &name, node)
    })
    .await
}
