//! `quorate vm`: guests are started, stopped and moved.

pub(super) mod migrate;
mod power;

use clap::Subcommand;

use crate::{error::CliError, session::Session};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate vm stop web db            # both, in order, and wait until they are off\n  quorate vm \
                  restart web\n  quorate vm migrate web --to an-a01n02\n  quorate vm migrate web --cancel\n\nThey change \
                  what is wanted (`spec.desiredState`), as an apply would: a manifest that says otherwise changes it back."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Want guests to run
    Start(power::Args),
    /// Want guests to be off; they are shut down in order
    Stop(power::Args),
    /// Shut guests down in order and start them again
    Restart(power::Args),
    /// Move a running guest to another host
    Migrate(migrate::Args),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Start(args) => power::start(session, &args).await,
        Command::Stop(args) => power::stop(session, &args).await,
        Command::Restart(args) => power::restart(session, &args).await,
        Command::Migrate(args) => migrate::run(session, &args).await,
    }
}
