//! `quorate status`: one look at the cluster and at whatever in it needs attention.

use jiff::Timestamp;

use super::cluster::status;
use crate::{
    client::Scope,
    console::{Tone, paint},
    error::CliError,
    kinds, object,
    output::{
        age, conditions,
        table::{Cell, table},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    local: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let reply = status::ask(session).await?;
    session
        .console
        .print(&status::text(&reply, session.console.color()))?;
    if !reply.has_quorum && !args.local {
        session.console.warn("there is no quorum, so objects are not shown; --local shows what this member last knew");
        return Err(CliError::No);
    }
    let client = session.client().await?;
    let now = Timestamp::now();
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut looked_at = 0;
    let mut stale = false;
    for kind in kinds::kinds("all")?.into_iter().filter(|kind| kind.status) {
        let scope = Scope {
            kind: kind.plural.to_owned(),
            ..Scope::default()
        };
        let listed = match client.list(&scope, args.local).await {
            Ok(listed) => listed,
            Err(CliError::Refused(refusal)) if refusal.reason == "Forbidden" => continue,
            Err(error) => return Err(error),
        };
        stale |= listed.stale;
        looked_at += listed.objects.len();
        for object in &listed.objects {
            for condition in conditions::of(object)
                .iter()
                .filter(|condition| condition.is_good() != Some(true))
            {
                let since = if condition.since.is_empty() {
                    String::new()
                } else {
                    age::since(condition.since, now)
                };
                rows.push(vec![
                    object::reference(object).into(),
                    Cell::toned(
                        format!("{}: {}", condition.type_, condition.plain()),
                        condition.tone(),
                    ),
                    since.into(),
                    format!("{} {}", condition.reason, condition.message)
                        .trim()
                        .to_owned()
                        .into(),
                ]);
            }
        }
    }
    if stale {
        session
            .console
            .warn("STALE: this member sees no quorum; what it shows may be out of date");
    }
    session.console.line("")?;
    if rows.is_empty() {
        let good = paint(
            session.console.color(),
            Tone::Good,
            "nothing needs attention",
        );
        return session
            .console
            .line(&format!("{looked_at} objects, {good}"));
    }
    session.console.print(&table(
        &["NEEDS ATTENTION", "CONDITION", "FOR", "WHY"],
        &rows,
        session.console.color(),
    ))
}
