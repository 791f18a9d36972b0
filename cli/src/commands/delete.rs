//! `quorate delete`: remove objects, and by default wait until they are gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quorate_proto::api::v1::{Outcome, Propagation};
use tokio::time::sleep;

use super::wait::{Goal, until, waiting_for};
use crate::{
    client::{Change, Client, Scope},
    error::CliError,
    kinds,
    manifests::Files,
    object, order,
    session::Session,
    tally::Tally,
    values,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND NAME, KIND/NAME, or KIND with -l or --all
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Only objects with these labels
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
    /// What becomes of objects that this one owns
    #[arg(long, value_enum, default_value = "background")]
    cascade: Cascade,
    /// Wait until the objects are gone
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    wait: bool,
    /// How long to wait; 0 waits for ever
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = values::duration)]
    timeout: Duration,
    /// No error when an object does not exist
    #[arg(long)]
    ignore_not_found: bool,
    /// Do everything but commit
    #[arg(long)]
    dry_run: bool,
}

/// What becomes of objects that the deleted one owns.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Cascade {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

/// Waiting for ever, in a form that can be added to a clock.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How long what belonged to a deleted object may take to go after it, while it holds up what is to be deleted next.
const FOLLOWERS: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

struct Doomed {
    kind: &'static str,
    name: String,
    uid: String,
    reference: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let client = session.client().await?;
    let doomed = choose(&client, &args).await?;
    if doomed.is_empty() {
        session.console.note("nothing to delete");
    }
    let propagation = match args.cascade {
        Cascade::Background => Propagation::Background,
        Cascade::Foreground => Propagation::Foreground,
        Cascade::Orphan => Propagation::Orphan,
    };
    let change = Change {
        dry_run: args.dry_run,
        ..Change::default()
    };
    let suffix = if args.dry_run { " (dry run)" } else { "" };
    let mut run = Run {
        session,
        client: &client,
        tally: Tally::default(),
        leaving: Vec::new(),
        gone: false,
        limit: if args.timeout.is_zero() {
            FOR_EVER
        } else {
            args.timeout
        },
    };
    for object in doomed {
        let attempt =
            || client.delete(object.kind, &object.name, &object.uid, propagation, &change);
        let mut deleted = attempt().await;
        if is_in_use(&deleted) && args.wait && !run.leaving.is_empty() {
            // What uses it may be among those that are about to go.
            run.wait_for_the_leaving().await?;
            deleted = attempt().await;
        }
        // Or what belonged to one of those that went, and goes after it.
        let patience = Instant::now() + FOLLOWERS.min(run.limit);
        while is_in_use(&deleted) && args.wait && run.gone && Instant::now() < patience {
            sleep(LOOK_AGAIN).await;
            deleted = attempt().await;
        }
        if args.ignore_not_found
            && matches!(&deleted, Err(CliError::Refused(refusal)) if refusal.is_not_found())
        {
            continue;
        }
        let Some(changed) = run
            .tally
            .take(&session.console, &object.reference, deleted)?
        else {
            continue;
        };
        run.gone |= !args.dry_run;
        if changed.outcome == Outcome::Deleting && !args.dry_run {
            let state = changed.object.as_ref().map(waiting_for).unwrap_or_default();
            session
                .console
                .line(&format!("{} deleting: {state}", object.reference))?;
            let uid = changed
                .object
                .as_ref()
                .map(|object| object::text(object, "/metadata/uid").to_owned());
            run.leaving.push(Doomed {
                uid: uid.unwrap_or_default(),
                ..object
            });
        } else {
            session
                .console
                .line(&format!("{} deleted{suffix}", object.reference))?;
        }
    }
    if args.wait {
        run.wait_for_the_leaving().await?;
    }
    run.tally.finish()
}

struct Run<'a> {
    session: &'a Session,
    client: &'a Arc<Client>,
    tally: Tally,
    leaving: Vec<Doomed>,
    /// Something was deleted already.
    gone: bool,
    limit: Duration,
}

fn is_in_use<T>(answer: &Result<T, CliError>) -> bool {
    matches!(answer, Err(CliError::Refused(refusal)) if refusal.is_conflict())
}

impl Run<'_> {
    async fn wait_for_the_leaving(&mut self) -> Result<(), CliError> {
        let console = &self.session.console;
        for object in self.leaving.drain(..) {
            if console.shows_progress() {
                console.note(&format!(
                    "waiting for {} to go; Ctrl-C stops waiting, not the deletion",
                    object.reference
                ));
            }
            let gone = until(
                Arc::clone(self.client),
                object.kind,
                &object.name,
                &object.uid,
                &Goal::Deleted,
                self.limit,
            );
            if self
                .tally
                .take(console, &object.reference, gone.await)?
                .is_some()
            {
                console.line(&format!("{} deleted", object.reference))?;
            }
        }
        Ok(())
    }
}

/// The objects to delete, dependants before what they depend on.
async fn choose(client: &Client, args: &Args) -> Result<Vec<Doomed>, CliError> {
    if !args.files.files.is_empty() {
        if !args.what.is_empty() {
            return Err(CliError::usage("name objects or manifests, not both"));
        }
        let mut manifests = args.files.read()?;
        manifests.reverse();
        return manifests
            .iter()
            .map(|manifest| {
                let kind = kinds::find(object::kind(&manifest.object))?;
                let name = object::name(&manifest.object).to_owned();
                Ok(Doomed {
                    kind: kind.plural,
                    reference: format!("{}/{name}", kind.singular),
                    name,
                    uid: String::new(),
                })
            })
            .collect();
    }
    let mut targets = kinds::targets(&args.what)?;
    targets.sort_by_key(|target| std::cmp::Reverse(order::rank(target.kind.kind)));
    let mut doomed = Vec::new();
    for target in targets {
        let (kind, singular) = (target.kind.plural, target.kind.singular);
        if let Some(name) = target.name {
            doomed.push(Doomed {
                kind,
                name: name.to_owned(),
                uid: String::new(),
                reference: target.reference(),
            });
            continue;
        }
        if args.selector.is_empty() && !args.all {
            return Err(CliError::usage(format!(
                "name the {kind} to delete, or choose them with -l SELECTOR or --all"
            )));
        }
        let scope = Scope {
            kind: kind.to_owned(),
            label_selector: args.selector.clone(),
            ..Scope::default()
        };
        let listed = client.list(&scope, false).await?;
        doomed.extend(listed.objects.iter().map(|found| {
            let name = object::name(found).to_owned();
            Doomed {
                kind,
                reference: format!("{singular}/{name}"),
                name,
                uid: object::text(found, "/metadata/uid").to_owned(),
            }
        }));
    }
    Ok(doomed)
}
