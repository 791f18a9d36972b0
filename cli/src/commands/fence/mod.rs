//! `quorate fence`: whether hosts could be made safe.

pub(super) mod status;
mod test;

use clap::Subcommand;

use crate::{error::CliError, session::Session};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate fence status\n  quorate fence test an-a01n01                 # every level of a host\n  \
                  quorate fence test an-a01n01 --level pdu     # one level\n  quorate fence test an-p01                    \
                  # one device\n\nA test asks the devices for their state and switches nothing. To fence a host: quorate node \
                  fence."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which hosts could be fenced, by what, and when that was last tested
    Status(status::Args),
    /// Ask fence devices whether they would work; nothing is switched
    Test(test::Args),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Status(args) => status::run(session, &args).await,
        Command::Test(args) => test::run(session, &args).await,
    }
}
