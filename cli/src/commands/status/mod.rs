//! `quorate status`: the whole cluster on one screen, and whatever in it needs attention.

mod live;
mod picture;

use jiff::Timestamp;

use super::cluster::status;
use crate::{
    error::CliError,
    figures::Figures,
    progress::{self, Seen},
    session::Session,
};
use picture::{LONG, Picture};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate status            # members, hosts, guests, volumes, what is under way, what is \
                  wrong\n  quorate status -w         # the same, kept up to date until Ctrl-C\n  quorate status --local    \
                  # without quorum: what this member last knew"
)]
pub(crate) struct Args {
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    local: bool,
    /// Keep it up to date until Ctrl-C
    #[arg(short = 'w', long, conflicts_with = "local")]
    watch: bool,
    /// Show every guest and volume; otherwise long lists show those that are not as they should be
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let reply = status::ask(session).await?;
    if !reply.has_quorum && !args.local {
        session
            .console
            .print(&status::text(&reply, session.console.color()))?;
        session.console.warn("there is no quorum, so objects are not shown; --local shows what this member last knew");
        return Err(CliError::No);
    }
    if args.watch {
        return live::run(session, args.all).await;
    }
    let client = session.client().await?;
    let mut seen = Seen::default();
    let mut stale = false;
    for plural in shown() {
        let listed = match client.list(&progress::all(plural), args.local).await {
            Ok(listed) => listed,
            // Who may not see a kind sees the rest.
            Err(CliError::Refused(refusal)) if refusal.reason == "Forbidden" => continue,
            Err(error) => return Err(error),
        };
        stale |= listed.stale;
        for object in listed.objects {
            seen.put(object);
        }
    }
    let figures = if reply.has_quorum {
        Figures::ask(&client).await
    } else {
        Figures::default()
    };
    if stale {
        session.console.warn_of_no_quorum();
    }
    let picture = Picture {
        reply: &reply,
        seen: &seen,
        figures: &figures,
        now: Timestamp::now(),
        color: session.console.color(),
        all: args.all,
        long: LONG,
    };
    session.console.print(&picture.text())
}

/// The kinds that the picture is made of: all that tell how they are.
fn shown() -> Vec<&'static str> {
    quorate_crds::kinds()
        .iter()
        .filter(|kind| kind.status && kind.kind != "NodePlan")
        .map(|kind| kind.plural)
        .collect()
}
