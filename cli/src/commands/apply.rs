//! `quorate apply`: server-side apply of manifests, and pruning of what is no longer declared.

use std::collections::HashSet;

use quorate_proto::api::v1::{Outcome, Propagation};
use quorate_schema::selector::LabelSelector;
use serde_json::Value;

use crate::{
    client::{Change, Client, FIELD_MANAGER, Scope},
    console::{Console, Tone, paint},
    dry_run::Declared,
    error::CliError,
    kinds,
    manifests::{Files, Manifest},
    object, order,
    output::{format::Format, objects},
    session::Session,
    tally::Tally,
};

/// Daemons write these; nobody declares them.
const NEVER_PRUNED: [&str; 3] = ["Event", "NodePlan", "FenceOperation"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// Only the manifests with these labels
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    selector: String,
    /// Delete what was applied before under this selector and field manager, and is in no manifest now
    #[arg(long, requires = "selector")]
    prune: bool,
    /// Do everything but commit
    #[arg(long)]
    dry_run: bool,
    /// Take fields over that belong to other field managers
    #[arg(long)]
    force_conflicts: bool,
    /// The name under which fields are owned
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    field_manager: String,
    /// Print the resulting objects instead of a line for each: yaml, json, name, jsonpath=…
    #[arg(short = 'o', long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Accepted for the habit of it: every apply is made by the server
    #[arg(long, hide = true)]
    server_side: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let selector =
        LabelSelector::parse(&args.selector).map_err(|error| CliError::usage(error.to_string()))?;
    if args.prune && args.selector.is_empty() {
        return Err(CliError::usage(
            "--prune needs -l SELECTOR: it deletes only objects with labels that you name",
        ));
    }
    let manifests = read(&args.files, &selector)?;
    let client = session.client().await?;
    let change = Change {
        manager: args.field_manager.clone(),
        dry_run: args.dry_run,
        force: args.force_conflicts,
    };
    let suffix = if args.dry_run { " (dry run)" } else { "" };
    let declared = Declared::by(&manifests);
    let mut tally = Tally::default();
    for manifest in &manifests {
        let applied = if args.dry_run {
            declared.try_out(&client, &manifest.object, &change).await
        } else {
            client.apply(&manifest.object, &change).await
        };
        let applied = applied.map_err(|error| with_guesses(error, &manifest.object));
        let Some(changed) = tally.take(&session.console, &manifest.label(), applied)? else {
            continue;
        };
        for warning in &changed.warnings {
            session
                .console
                .warn(&format!("{}: {warning}", manifest.label()));
        }
        match (&args.output, &changed.object) {
            (Some(Format::Name), _) => {
                session.console.line(&object::reference(&manifest.object))?
            }
            (Some(format), Some(object)) => print_whole(&session.console, object, format)?,
            _ => {
                let word = paint(
                    session.console.color(),
                    tone(changed.outcome),
                    changed.word(),
                );
                session.console.line(&format!(
                    "{} {word}{suffix}",
                    object::reference(&manifest.object)
                ))?;
            }
        }
    }
    if args.prune && tally.has_failed() {
        // What failed may be the successor of what would go: a renamed guest, for one.
        session
            .console
            .warn("nothing was pruned, because not every manifest was applied");
    } else if args.prune {
        prune(session, &client, &manifests, &args, &change, &mut tally).await?;
    }
    tally.finish()
}

/// The manifests that the selector chooses.
fn read(files: &Files, selector: &LabelSelector) -> Result<Vec<Manifest>, CliError> {
    if files.files.is_empty() {
        return Err(CliError::usage(
            "name the manifests: quorate apply -f FILE, -f DIRECTORY, or -f - for standard input",
        ));
    }
    let mut manifests = files.read()?;
    manifests.retain(|manifest| selector.matches_object(&manifest.object));
    Ok(manifests)
}

fn print_whole(console: &Console, object: &Value, format: &Format) -> Result<(), CliError> {
    let mut object = object.clone();
    object::drop_managed_fields(&mut object);
    let text = objects::whole(&object, format);
    match format {
        Format::Yaml => console.print(&format!("---\n{text}")),
        _ => console.print(&text),
    }
}

pub(crate) fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Created => Tone::Good,
        Outcome::Configured => Tone::Warn,
        Outcome::Deleted | Outcome::Deleting => Tone::Bad,
        Outcome::Unchanged | Outcome::Unspecified => Tone::Dim,
    }
}

async fn prune(
    session: &Session,
    client: &Client,
    manifests: &[Manifest],
    args: &Args,
    change: &Change,
    tally: &mut Tally,
) -> Result<(), CliError> {
    let declared: HashSet<String> = manifests
        .iter()
        .map(|manifest| object::reference(&manifest.object))
        .collect();
    let kinds = quorate_crds::kinds()
        .iter()
        .filter(|kind| !NEVER_PRUNED.contains(&kind.kind));
    let mut gone = Vec::new();
    for kind in kinds {
        let scope = Scope {
            kind: kind.plural.to_owned(),
            label_selector: args.selector.clone(),
            ..Scope::default()
        };
        match client.list(&scope, false).await {
            Ok(listed) => gone.extend(listed.objects),
            // Who may not list a kind has not applied any of it either.
            Err(CliError::Refused(refusal)) if refusal.reason == "Forbidden" => {}
            Err(error) => return Err(error),
        }
    }
    gone.retain(|object| {
        !declared.contains(&object::reference(object))
            && was_applied_by(object, &args.field_manager)
            && object.pointer("/metadata/deletionTimestamp").is_none()
    });
    let suffix = if args.dry_run { " (dry run)" } else { "" };
    for object in order::for_creation(gone, |object| object).iter().rev() {
        let reference = object::reference(object);
        let kind = kinds::find(object::kind(object))?.plural;
        let uid = object::text(object, "/metadata/uid");
        let name = object::name(object);
        let deleted = client
            .delete(kind, name, uid, Propagation::Unspecified, change)
            .await;
        if tally.take(&session.console, &reference, deleted)?.is_some() {
            let word = paint(session.console.color(), Tone::Bad, "pruned");
            session
                .console
                .line(&format!("{reference} {word}{suffix}"))?;
        }
    }
    Ok(())
}

fn was_applied_by(object: &Value, manager: &str) -> bool {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| {
        object::text(entry, "/manager") == manager && object::text(entry, "/operation") == "Apply"
    })
}

/// A refusal with a guess at each field that the kind does not have.
pub(crate) fn with_guesses(error: CliError, manifest: &Value) -> CliError {
    let CliError::Refused(mut refusal) = error else {
        return error;
    };
    if let Some(kind) = quorate_crds::find(object::kind(manifest)) {
        let unknown = refusal
            .details
            .causes
            .iter_mut()
            .filter(|cause| cause.reason == "FieldValueUnknown");
        for cause in unknown {
            let steps: Vec<String> = field_steps(&cause.field);
            let Some((last, parents)) = steps.split_last() else {
                continue;
            };
            let Some(mut parent) = kind
                .schema
                .root()
                .descend(parents.iter().map(String::as_str))
            else {
                continue;
            };
            while let Some(items) = parent.items.as_deref() {
                parent = items;
            }
            let guess = kinds::did_you_mean(last, parent.properties.keys().map(String::as_str));
            if !cause.message.contains("did you mean") {
                cause.message.push_str(&guess.replacen(" did", "; did", 1));
            }
        }
    }
    CliError::Refused(refusal)
}

// `spec.disks[1].size` as its names.
fn field_steps(path: &str) -> Vec<String> {
    path.split('.')
        .map(|step| step.split('[').next().unwrap_or_default().to_owned())
        .filter(|step| !step.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_this_manager_applied_is_ever_pruned() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "quorate", "operation": "Apply"}, {"manager": "alice", "operation": "Update"}]}});
        assert!(was_applied_by(&object, "quorate"));
        assert!(!was_applied_by(&object, "alice"));
        assert!(!was_applied_by(&json!({"metadata": {}}), "quorate"));
    }

    #[test]
    fn a_field_path_is_taken_apart_into_names() {
        assert_eq!(field_steps("spec.disks[1].size"), ["spec", "disks", "size"]);
    }
}
