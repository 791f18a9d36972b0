//! `quorate node confirm-fenced`: a person vouches for it that a host is off.
//!
//! Nothing can check this. Should the host run on after all, its guests run twice and their data is lost; so the
//! host's name must be given a second time, and what was seen is kept with the name of who says so.

use std::io::{self, IsTerminal, Write};

use serde_json::json;

use crate::{
    error::CliError,
    fencing, object,
    progress::{self, Waiting},
    session::Session,
    wish,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The host
    #[arg(value_name = "NODE")]
    node: String,
    /// The host's name once more: you have looked, and it has no power
    #[arg(long, value_name = "NODE")]
    i_have_seen_it_off: Option<String>,
    /// What you saw; it is kept with your name
    #[arg(long, value_name = "TEXT")]
    saw: String,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let node = args.node.as_str();
    let client = session.client().await?;
    let (host, _) = client.get("nodes", node, false).await?;
    let state = object::text(&host, "/status/state");
    if state == "Online" {
        return Err(CliError::usage(format!(
            "{node} is Online: the cluster hears it at this moment, so it is not off; switch it off first, or let \
             `quorate node fence {node}` do it"
        )));
    }
    match &args.i_have_seen_it_off {
        Some(name) if name == node => {}
        Some(other) => {
            return Err(CliError::usage(format!(
                "--i-have-seen-it-off says {other:?}, the host is {node:?}; nothing was confirmed"
            )));
        }
        None => ask_for_name(
            session,
            node,
            &format!(
                "once you confirm, everything of {node} is started elsewhere; if {node} still runs, data is destroyed"
            ),
            &format!("--i-have-seen-it-off {node}"),
        )?,
    }
    let Some(incarnation) = host.pointer("/status/incarnation") else {
        return Err(CliError::usage(format!(
            "{node} has never been part of the cluster, so there is nothing to confirm"
        )));
    };
    let user = wish::user(session).await?;
    let name = wish::request_name(node);
    let spec = json!({
        "node": node, "incarnation": incarnation, "action": "Confirm", "reason": "confirmed by a person",
        "requestedBy": user, "confirmation": {"by": user, "statement": args.saw},
    });
    wish::request(session, "FenceOperation", &name, spec).await?;
    let goes_on = format!("the confirmation is kept as fenceoperation/{name}");
    let scopes = vec![progress::one("fenceoperations", &name)];
    progress::outcome(session, &args.waiting, scopes, &goes_on, |seen| {
        fencing::fenced(seen, &name, node)
    })
    .await
}

/// Let a person at a terminal type the host's name; `instead` is the option for scripts.
pub(crate) fn ask_for_name(
    session: &Session,
    node: &str,
    consequence: &str,
    instead: &str,
) -> Result<(), CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage(format!(
            "{consequence}; nobody is at the terminal to be asked, so say {instead} if that is meant"
        )));
    }
    session.console.warn(consequence);
    let asked = "the host's name";
    let failed = |error| CliError::file("ask for", asked, error);
    let mut out = io::stderr().lock();
    write!(out, "Type the host's name to go on: ")
        .and_then(|()| out.flush())
        .map_err(failed)?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).map_err(failed)?;
    if typed.trim() == node {
        return Ok(());
    }
    Err(CliError::usage(format!(
        "{:?} was typed, the host is {node:?}; nothing was done",
        typed.trim()
    )))
}
