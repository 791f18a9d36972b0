//! `quorate events`: what has happened lately, the newest last.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::describe::regarding;
use crate::{
    client::{Follow, Followed, Scope},
    error::CliError,
    kinds, object,
    output::{
        conditions,
        describe::seen,
        format::Format,
        objects::{self, Found, Options},
        table::{Cell, Table},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only events about this object
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// Only events of these types: Normal, Warning
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Go on and show every new event
    #[arg(short = 'w', long)]
    watch: bool,
    /// table, yaml, json, name or jsonpath=TEMPLATE
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    output: Format,
    /// Leave the headings out
    #[arg(long)]
    no_headers: bool,
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    local: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let about = args.about.clone().map(|about| vec![about]);
    let field_selector = match &about {
        Some(about) => {
            let target = kinds::single(about)?;
            regarding(target.kind.kind, target.name.unwrap_or_default())
        }
        None => String::new(),
    };
    let scope = Scope {
        kind: "events".to_owned(),
        field_selector,
        ..Scope::default()
    };
    let client = session.client().await?;
    let listed = client.list(&scope, args.local).await?;
    if listed.stale {
        session.console.warn_of_no_quorum();
    }
    let mut events = listed.objects;
    events.retain(|event| is_wanted(event, &args.types));
    events.sort_by(|a, b| {
        object::text(a, "/spec/lastTimestamp").cmp(object::text(b, "/spec/lastTimestamp"))
    });
    let color = session.console.color();
    if !matches!(args.output, Format::Table | Format::Wide) {
        let options = Options {
            format: args.output,
            no_headers: args.no_headers,
            color,
            ..Options::default()
        };
        return objects::print(
            &session.console,
            vec![Found {
                kind: kinds::find("events")?,
                objects: events,
            }],
            false,
            &options,
        );
    }
    if events.is_empty() && !args.watch {
        session.console.note("no events; they are kept for an hour");
        return Ok(());
    }
    let headers = ["SEEN", "TYPE", "OBJECT", "REASON", "WHAT"]
        .map(str::to_owned)
        .to_vec();
    let mut table = Table::new(headers, !args.no_headers, color);
    session.console.print(&table.rows(&rows(&events)))?;
    if !args.watch {
        return Ok(());
    }
    let mut follow = Follow::after(Arc::clone(&client), scope, listed.revision);
    loop {
        if let Followed::Added(event) | Followed::Modified(event) = follow.next().await?
            && is_wanted(&event, &args.types)
        {
            session.console.print(&table.rows(&rows(&[event])))?;
        }
    }
}

fn is_wanted(event: &Value, types: &[String]) -> bool {
    types.is_empty()
        || types
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(object::text(event, "/spec/type")))
}

fn rows(events: &[Value]) -> Vec<Vec<Cell>> {
    let now = Timestamp::now();
    events
        .iter()
        .map(|event| {
            let type_ = object::text(event, "/spec/type");
            let kind = object::text(event, "/spec/regarding/kind").to_lowercase();
            vec![
                seen(event, now).into(),
                Cell::toned(type_, conditions::tone_of_word("TYPE", type_)),
                format!("{kind}/{}", object::text(event, "/spec/regarding/name")).into(),
                object::text(event, "/spec/reason").into(),
                object::text(event, "/spec/note").into(),
            ]
        })
        .collect()
}
