//! `quorate diff`: what apply would change.

use crate::{
    client::{Change, FIELD_MANAGER},
    commands::apply::with_guesses,
    dry_run::Declared,
    error::CliError,
    manifests::Files,
    object,
    output::diff::diff,
    session::Session,
    tally::Tally,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// The name under which fields are owned
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    field_manager: String,
    /// Show what taking fields over from other field managers would change
    #[arg(long)]
    force_conflicts: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    if args.files.files.is_empty() {
        return Err(CliError::usage(
            "name the manifests: quorate diff -f FILE, -f DIRECTORY, or -f - for standard input",
        ));
    }
    let manifests = args.files.read()?;
    let client = session.client().await?;
    let change = Change {
        manager: args.field_manager,
        force: args.force_conflicts,
        ..Change::default()
    };
    let declared = Declared::by(&manifests);
    let mut tally = Tally::default();
    let mut differs = false;
    for manifest in &manifests {
        let kind = object::kind(&manifest.object);
        let both = async {
            let live = client.find(kind, object::name(&manifest.object)).await?;
            let proposed = declared.try_out(&client, &manifest.object, &change).await?;
            Ok((live, proposed.object))
        };
        let both = both
            .await
            .map_err(|error| with_guesses(error, &manifest.object));
        let Some((live, proposed)) = tally.take(&session.console, &manifest.label(), both)? else {
            continue;
        };
        let proposed = proposed.unwrap_or_default();
        let label = object::reference(&manifest.object);
        if let Some(text) = diff(live.as_ref(), &proposed, &label, session.console.color()) {
            differs = true;
            session.console.print(&text)?;
        }
    }
    tally.finish()?;
    if differs { Err(CliError::No) } else { Ok(()) }
}
