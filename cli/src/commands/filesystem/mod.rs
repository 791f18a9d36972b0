//! `quorate filesystem`: what people ask of a filesystem that hosts share.

mod check;

use clap::Subcommand;

use crate::{error::CliError, session::Session};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate filesystem check files            # look for damage, and write nothing\n  quorate \
                  filesystem check files --repair   # mend what is found"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look for damage on one that is mounted nowhere, and mend it
    Check(check::Args),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Check(args) => check::run(session, &args).await,
    }
}
