//! `quorate volume`: what people ask of their data, and what only they may decide about it.

mod resolve;
mod verify;

use clap::Subcommand;

use crate::{error::CliError, session::Session};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate volume resolve data                      # what each side has written\n  quorate volume \
                  resolve data --discard an-a01n02\n  quorate volume verify data                       # \
                  compare every block of its replicas"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// After a split brain: show the sides, and give up what one of them has written alone
    Resolve(resolve::Args),
    /// Compare every block of the replicas, now
    Verify(verify::Args),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Resolve(args) => resolve::run(session, &args).await,
        Command::Verify(args) => verify::run(session, &args).await,
    }
}
