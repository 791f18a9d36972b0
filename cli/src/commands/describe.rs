//! `quorate describe`: objects in words, with what happened to them.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    client::{Client, Scope},
    error::CliError,
    figures, kinds, object,
    output::describe::describe,
    session::Session,
    tally::Tally,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND, KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// Only objects with these labels
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: String,
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    local: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let targets = kinds::targets(&args.what)?;
    let client = session.client().await?;
    let mut tally = Tally::default();
    let mut objects = Vec::new();
    let mut stale = false;
    for target in &targets {
        let kind = target.kind.plural;
        let fetched = match target.name {
            Some(name) => client
                .get(kind, name, args.local)
                .await
                .map(|(object, stale)| (vec![object], stale)),
            None => {
                let scope = Scope {
                    kind: kind.to_owned(),
                    label_selector: args.selector.clone(),
                    ..Scope::default()
                };
                client
                    .list(&scope, args.local)
                    .await
                    .map(|listed| (listed.objects, listed.stale))
            }
        };
        if let Some((found, is_stale)) =
            tally.take(&session.console, &target.reference(), fetched)?
        {
            objects.extend(found);
            stale |= is_stale;
        }
    }
    if stale {
        session.console.warn_of_no_quorum();
    }
    if !args.local {
        figures::refine(&client, &mut objects).await;
    }
    let now = Timestamp::now();
    for (at, object) in objects.iter().enumerate() {
        if at > 0 {
            session.console.line("\n---\n")?;
        }
        let events = about(&client, object, args.local).await?;
        session
            .console
            .print(&describe(object, &events, now, session.console.color()))?;
    }
    tally.finish()
}

/// The events about an object, the oldest first. Who may not see events sees none.
async fn about(client: &Client, object: &Value, local: bool) -> Result<Vec<Value>, CliError> {
    let scope = Scope {
        kind: "events".to_owned(),
        field_selector: regarding(object::kind(object), object::name(object)),
        ..Scope::default()
    };
    let mut events = match client.list(&scope, local).await {
        Ok(listed) => listed.objects,
        Err(CliError::Refused(refusal)) if refusal.reason == "Forbidden" => Vec::new(),
        Err(error) => return Err(error),
    };
    events.sort_by(|a, b| {
        object::text(a, "/spec/lastTimestamp").cmp(object::text(b, "/spec/lastTimestamp"))
    });
    Ok(events)
}

/// The field selector for the events about one object.
pub(crate) fn regarding(kind: &str, name: &str) -> String {
    format!("spec.regarding.kind={kind},spec.regarding.name={name}")
}
