//! `quorate patch`: change some fields by a merge patch or a JSON patch.

use std::{fs, path::PathBuf};

use quorate_proto::api::v1::PatchType;
use serde_json::Value;

use crate::{
    client::Change,
    error::CliError,
    kinds,
    output::{format::Format, objects},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// The patch, in JSON or YAML
    #[arg(
        short = 'p',
        long,
        value_name = "PATCH",
        required_unless_present = "patch_file",
        conflicts_with = "patch_file"
    )]
    patch: Option<String>,
    /// A file with the patch
    #[arg(long, value_name = "FILE")]
    patch_file: Option<PathBuf>,
    /// merge (RFC 7386) lays fields over the object, json (RFC 6902) is a list of operations
    #[arg(long = "type", value_enum, default_value = "merge")]
    kind: Kind,
    /// Patch this part instead of the object itself
    #[arg(long, value_parser = ["status"])]
    subresource: Option<String>,
    /// Do everything but commit
    #[arg(long)]
    dry_run: bool,
    /// Print the resulting object: yaml, json, name, jsonpath=…
    #[arg(short = 'o', long, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Merge,
    Json,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let target = kinds::single(&args.what)?;
    let name = target.name.unwrap_or_default();
    let text = match (args.patch, args.patch_file) {
        (Some(text), _) => text,
        (None, Some(path)) => {
            fs::read_to_string(&path).map_err(|error| CliError::file("read", path, error))?
        }
        (None, None) => String::new(),
    };
    let patch: Value = serde_saphyr::from_str(&text)
        .map_err(|error| CliError::usage(format!("the patch is neither JSON nor YAML: {error}")))?;
    let kind = match (args.kind, &patch) {
        (Kind::Merge, Value::Object(_)) => PatchType::Merge,
        (Kind::Json, Value::Array(_)) => PatchType::Json,
        (Kind::Merge, _) => {
            return Err(CliError::usage(
                "a merge patch is an object, like '{\"spec\":{\"memory\":\"4Gi\"}}'; for a list of operations say --type json",
            ));
        }
        (Kind::Json, _) => {
            return Err(CliError::usage(
                "a JSON patch is a list, like '[{\"op\":\"replace\",\"path\":\"/spec/memory\",\"value\":\"4Gi\"}]'",
            ));
        }
    };
    let client = session.client().await?;
    let change = Change {
        dry_run: args.dry_run,
        ..Change::default()
    };
    let changed = client
        .patch(
            target.kind.plural,
            name,
            args.subresource.as_deref().unwrap_or_default(),
            (kind, &patch),
            &change,
        )
        .await?;
    for warning in &changed.warnings {
        session.console.warn(warning);
    }
    match (args.output, changed.object.as_ref()) {
        (Some(Format::Name), _) => session.console.line(&target.reference()),
        (Some(format), Some(object)) => session.console.print(&objects::whole(object, &format)),
        _ => {
            let word = if changed.word() == "configured" {
                "patched"
            } else {
                changed.word()
            };
            let suffix = if args.dry_run { " (dry run)" } else { "" };
            session
                .console
                .line(&format!("{} {word}{suffix}", target.reference()))
        }
    }
}
