//! `quorate label` and `quorate annotate`.

use quorate_proto::api::v1::{Outcome, PatchType};
use serde_json::{Map, Value, json};

use crate::{
    client::{Change, Client, Scope},
    error::CliError,
    kinds, object,
    session::Session,
    tally::Tally,
    values,
};

/// How often to look again when somebody else changes the object at the same time.
const ATTEMPTS: u32 = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND NAME or KIND/NAME, then KEY=VALUE to set and KEY- to remove
    #[arg(required = true, num_args = 1.., value_name = "WHAT CHANGE")]
    words: Vec<String>,
    /// Only objects with these labels, instead of naming them
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: String,
    /// All objects of the kind
    #[arg(long)]
    all: bool,
    /// Also where another value is set already
    #[arg(long)]
    overwrite: bool,
    /// Do everything but commit
    #[arg(long)]
    dry_run: bool,
}

/// Which of the two maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Labels,
    Annotations,
}

impl Field {
    fn pointer(self) -> &'static str {
        match self {
            Self::Labels => "/metadata/labels",
            Self::Annotations => "/metadata/annotations",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Labels => "labeled",
            Self::Annotations => "annotated",
        }
    }
}

type Changes = Vec<(String, Option<String>)>;

pub(crate) async fn run(session: &Session, field: Field, args: Args) -> Result<(), CliError> {
    let (what, changes) = split(&args.words)?;
    let targets = kinds::targets(&what)?;
    let client = session.client().await?;
    let change = Change {
        dry_run: args.dry_run,
        ..Change::default()
    };
    let mut tally = Tally::default();
    for target in targets {
        let names = match target.name {
            Some(name) => vec![name.to_owned()],
            None if args.selector.is_empty() && !args.all => {
                let kind = target.kind.plural;
                return Err(CliError::usage(format!(
                    "name the {kind} to change, or choose them with -l SELECTOR or --all"
                )));
            }
            None => {
                let scope = Scope {
                    kind: target.kind.plural.to_owned(),
                    label_selector: args.selector.clone(),
                    ..Scope::default()
                };
                client
                    .list(&scope, false)
                    .await?
                    .objects
                    .iter()
                    .map(|object| object::name(object).to_owned())
                    .collect()
            }
        };
        for name in names {
            let reference = format!("{}/{name}", target.kind.singular);
            let done = one(
                &client,
                target.kind.plural,
                &name,
                field,
                &changes,
                args.overwrite,
                &change,
            )
            .await;
            if let Some(outcome) = tally.take(&session.console, &reference, done)? {
                let word = if outcome == Outcome::Unchanged {
                    "unchanged"
                } else {
                    field.done()
                };
                let suffix = if args.dry_run { " (dry run)" } else { "" };
                session
                    .console
                    .line(&format!("{reference} {word}{suffix}"))?;
            }
        }
    }
    tally.finish()
}

fn split(words: &[String]) -> Result<(Vec<String>, Changes), CliError> {
    let first_change = words
        .iter()
        .position(|word| word.contains('=') || word.ends_with('-'))
        .unwrap_or(words.len());
    let (what, changes) = words.split_at(first_change);
    if changes.is_empty() {
        return Err(CliError::usage(
            "say what to change: KEY=VALUE sets, KEY- removes",
        ));
    }
    let changes = changes
        .iter()
        .map(|word| values::change(word))
        .collect::<Result<_, _>>()
        .map_err(CliError::Usage)?;
    Ok((what.to_vec(), changes))
}

async fn one(
    client: &Client,
    kind: &str,
    name: &str,
    field: Field,
    changes: &Changes,
    overwrite: bool,
    change: &Change,
) -> Result<Outcome, CliError> {
    let mut attempt = 1;
    loop {
        let seen = if overwrite {
            None
        } else {
            Some(client.get(kind, name, false).await?.0)
        };
        let patch = patch(field, changes, seen.as_ref())?;
        match client
            .patch(kind, name, "", (PatchType::Merge, &patch), change)
            .await
        {
            // What was looked at has changed since: look again.
            Err(CliError::Refused(refusal))
                if refusal.is_conflict() && seen.is_some() && attempt < ATTEMPTS =>
            {
                attempt += 1
            }
            done => return done.map(|changed| changed.outcome),
        }
    }
}

/// The merge patch. With the object as it was seen, nothing that is set is overwritten, and the patch holds
/// for that state only.
fn patch(field: Field, changes: &Changes, seen: Option<&Value>) -> Result<Value, CliError> {
    let mut map = Map::new();
    for (key, value) in changes {
        let present = seen.and_then(|object| object.pointer(field.pointer())?.get(key)?.as_str());
        if let (Some(present), Some(value)) = (present, value)
            && present != value
        {
            return Err(CliError::usage(format!(
                "{} {key:?} is {present:?} already; set it to {value:?} with --overwrite",
                field.name().trim_end_matches('s')
            )));
        }
        map.insert(
            key.clone(),
            value.clone().map_or(Value::Null, Value::String),
        );
    }
    let mut metadata = Map::new();
    metadata.insert(field.name().to_owned(), Value::Object(map));
    if let Some(seen) = seen {
        metadata.insert(
            "resourceVersion".to_owned(),
            Value::from(object::text(seen, "/metadata/resourceVersion")),
        );
    }
    Ok(json!({"metadata": metadata}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn names_come_first_and_changes_after_them() {
        let (what, changes) = split(&words("vm web db app=web old-")).expect("understood");
        assert_eq!(what, ["vm", "web", "db"]);
        assert_eq!(
            changes,
            [
                ("app".to_owned(), Some("web".to_owned())),
                ("old".to_owned(), None)
            ]
        );
        assert!(
            split(&words("vm web"))
                .expect_err("no change")
                .to_string()
                .contains("KEY=VALUE sets")
        );
    }

    #[test]
    fn what_is_set_is_not_overwritten_unless_asked() {
        let seen = json!({"metadata": {"resourceVersion": "7", "labels": {"app": "web"}}});
        let set = |value: &str| vec![("app".to_owned(), Some(value.to_owned()))];

        let refused = patch(Field::Labels, &set("db"), Some(&seen))
            .expect_err("another value")
            .to_string();
        assert_eq!(
            refused,
            "label \"app\" is \"web\" already; set it to \"db\" with --overwrite"
        );

        let same = patch(Field::Labels, &set("web"), Some(&seen)).expect("the same value");
        assert_eq!(
            same,
            json!({"metadata": {"labels": {"app": "web"}, "resourceVersion": "7"}})
        );

        let removed =
            patch(Field::Annotations, &vec![("app".to_owned(), None)], None).expect("removal");
        assert_eq!(removed, json!({"metadata": {"annotations": {"app": null}}}));
    }
}
