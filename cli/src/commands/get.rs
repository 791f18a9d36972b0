//! `quorate get`: list objects, show some of them, follow them.

use std::collections::HashMap;

use futures_util::{StreamExt, stream::SelectAll};
use serde_json::Value;

use crate::{
    client::{Client, Follow, Followed, Listed, Scope},
    error::CliError,
    figures,
    jsonpath::Path,
    kinds::{self, Target},
    object,
    output::{
        format::Format,
        objects::{self, Found, Options, Rows},
        table::Table,
    },
    session::Session,
    tally::Tally,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND, KIND,KIND, KIND NAME, KIND/NAME or all
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// table, wide, yaml, json, name, jsonpath=TEMPLATE or custom-columns=HEADER:PATH,…
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    output: Format,
    /// Go on and show every change
    #[arg(short = 'w', long)]
    watch: bool,
    /// Only objects with these labels: app=web,tier!=db,env in (a,b),!legacy
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: String,
    /// Only objects with these field values: metadata.name=web,status.node=an01
    #[arg(
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    field_selector: String,
    /// Order by what this path finds, like .spec.memory
    #[arg(long, value_name = "PATH")]
    sort_by: Option<Path>,
    /// Add a column with all labels
    #[arg(long)]
    show_labels: bool,
    /// Add a column for each of these labels
    #[arg(short = 'L', long, value_name = "KEY", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Leave the headings out
    #[arg(long)]
    no_headers: bool,
    /// Show who owns which fields, in YAML and JSON
    #[arg(long)]
    show_managed_fields: bool,
    /// No error when a named object does not exist
    #[arg(long)]
    ignore_not_found: bool,
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    local: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let targets = kinds::targets(&args.what)?;
    let named = targets.iter().any(|target| target.name.is_some());
    if named && !(args.selector.is_empty() && args.field_selector.is_empty()) {
        return Err(CliError::usage(
            "a selector chooses among all objects of a kind; leave the names or the selector out",
        ));
    }
    if args.watch && args.local {
        return Err(CliError::usage(
            "--watch needs the cluster, --local asks only one member; leave one of them out",
        ));
    }
    let options = Options {
        format: args.output.clone(),
        show_labels: args.show_labels,
        label_columns: args.label_columns.clone(),
        no_headers: args.no_headers,
        show_managed_fields: args.show_managed_fields,
        color: session.console.color(),
    };
    let client = session.client().await?;
    let mut tally = Tally::default();
    let mut listings: Vec<(Target<'_>, Listed)> = Vec::new();
    for target in &targets {
        let listed = fetch(&client, target, &args).await;
        let about = if targets.len() > 1 {
            target.reference()
        } else {
            String::new()
        };
        match listed {
            Err(CliError::Refused(refusal)) if args.ignore_not_found && refusal.is_not_found() => {}
            Err(error) if targets.len() == 1 => return Err(error),
            listed => listings.extend(
                tally
                    .take(&session.console, &about, listed)?
                    .map(|listed| (*target, listed)),
            ),
        }
    }
    if listings.iter().any(|(_, listed)| listed.stale) {
        session.console.warn_of_no_quorum();
    }
    let revisions: HashMap<String, String> = listings
        .iter()
        .map(|(target, listed)| (target.reference(), listed.revision.clone()))
        .collect();
    let mut found = grouped(listings, args.sort_by.as_ref());
    if shows_readings(&args.output) && !args.local {
        for found in &mut found {
            figures::refine(&client, &mut found.objects).await;
        }
    }
    if args.watch {
        return follow(
            session, &client, &targets, found, &revisions, &args, &options,
        )
        .await;
    }
    let nothing = found.iter().all(|found| found.objects.is_empty());
    if nothing && !named && matches!(args.output, Format::Table | Format::Wide) {
        let kinds: Vec<_> = targets.iter().map(|target| target.kind.plural).collect();
        session
            .console
            .note(&format!("no {} found", kinds.join(", ")));
    } else if !(nothing && named) {
        objects::print(
            &session.console,
            found,
            named && targets.len() == 1,
            &options,
        )?;
    }
    tally.finish()
}

/// A table shows how things are just now; whatever hands on the object itself hands on what is stored.
fn shows_readings(format: &Format) -> bool {
    matches!(format, Format::Table | Format::Wide)
}

async fn fetch(client: &Client, target: &Target<'_>, args: &Args) -> Result<Listed, CliError> {
    match target.name {
        Some(name) => {
            let (object, stale) = client.get(target.kind.plural, name, args.local).await?;
            let revision = object::text(&object, "/metadata/resourceVersion").to_owned();
            Ok(Listed {
                objects: vec![object],
                revision,
                stale,
            })
        }
        None => client.list(&scope(target, args), args.local).await,
    }
}

fn scope(target: &Target<'_>, args: &Args) -> Scope {
    Scope {
        kind: target.kind.plural.to_owned(),
        label_selector: args.selector.clone(),
        field_selector: match target.name {
            Some(name) => format!("metadata.name={name}"),
            None => args.field_selector.clone(),
        },
    }
}

/// Objects of one kind together, in the order in which the kinds were named.
fn grouped(listings: Vec<(Target<'_>, Listed)>, sort_by: Option<&Path>) -> Vec<Found> {
    let mut groups: Vec<Found> = Vec::new();
    for (target, listed) in listings {
        match groups
            .iter_mut()
            .find(|group| group.kind.kind == target.kind.kind)
        {
            Some(group) => group.objects.extend(listed.objects),
            None => groups.push(Found {
                kind: target.kind,
                objects: listed.objects,
            }),
        }
    }
    if let Some(path) = sort_by {
        groups
            .iter_mut()
            .for_each(|group| objects::sort_by(&mut group.objects, path));
    }
    groups
}

async fn follow(
    session: &Session,
    client: &std::sync::Arc<Client>,
    targets: &[Target<'_>],
    found: Vec<Found>,
    revisions: &HashMap<String, String>,
    args: &Args,
    options: &Options,
) -> Result<(), CliError> {
    let several = found.len() > 1;
    let mut printer = ChangePrinter {
        several,
        options,
        rows: HashMap::new(),
        custom: None,
    };
    for found in found {
        let text = printer.text(found.kind.kind, &found.objects)?;
        session.console.print(&text)?;
    }
    let mut streams = SelectAll::new();
    for target in targets {
        // An object that was not there is followed from now on, so that its creation shows.
        let after = revisions
            .get(&target.reference())
            .cloned()
            .unwrap_or_default();
        let follow = Follow::after(std::sync::Arc::clone(client), scope(target, args), after);
        streams.push(Box::pin(follow.into_stream()));
    }
    while let Some(told) = streams.next().await {
        match told? {
            Followed::Added(mut object)
            | Followed::Modified(mut object)
            | Followed::Deleted(mut object) => {
                if shows_readings(&options.format) {
                    figures::refine(client, std::slice::from_mut(&mut object)).await;
                }
                let kind = object::kind(&object).to_owned();
                let text = printer.text(&kind, &[object])?;
                session.console.print(&text)?;
            }
            Followed::Complete => {}
        }
    }
    Ok(())
}

/// Prints objects as they change, in the format of the first ones.
struct ChangePrinter<'a> {
    several: bool,
    options: &'a Options,
    rows: HashMap<&'static str, Rows>,
    custom: Option<Table>,
}

impl ChangePrinter<'_> {
    fn text(&mut self, kind: &str, objects: &[Value]) -> Result<String, CliError> {
        match &self.options.format {
            Format::Table | Format::Wide => {
                let kind = kinds::find(kind)?;
                let rows = match self.rows.entry(kind.kind) {
                    std::collections::hash_map::Entry::Occupied(rows) => rows.into_mut(),
                    std::collections::hash_map::Entry::Vacant(none) => {
                        none.insert(Rows::new(kind, self.several, self.options)?)
                    }
                };
                if objects.is_empty() {
                    Ok(String::new())
                } else {
                    Ok(rows.text(objects))
                }
            }
            Format::Name => Ok(objects
                .iter()
                .map(|object| object::reference(object) + "\n")
                .collect()),
            Format::CustomColumns(columns) => {
                let table = self
                    .custom
                    .get_or_insert_with(|| objects::custom_table(columns, self.options));
                Ok(table.rows(&objects::custom_rows(columns, objects)))
            }
            format => {
                let mut text = String::new();
                for object in objects {
                    let mut object = object.clone();
                    if !self.options.show_managed_fields {
                        object::drop_managed_fields(&mut object);
                    }
                    if matches!(format, Format::Yaml) {
                        text.push_str("---\n");
                    }
                    text.push_str(&objects::whole(&object, format));
                }
                Ok(text)
            }
        }
    }
}
