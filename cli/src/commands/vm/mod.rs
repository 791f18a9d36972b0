//! `quorate vm`: guests are started, stopped and moved.

mod console;
pub(super) mod migrate;
mod power;
mod vnc;

use clap::Subcommand;

use crate::{error::CliError, session::Session};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate vm stop web db            # both, in order, and wait until they are off\n  quorate vm \
                  restart web\n  quorate vm migrate web --to an-a01n02\n  quorate vm migrate web --cancel\n  quorate vm console web\n\nStart, \
                  stop and restart change what is wanted (`spec.desiredState`), as an apply would: a manifest that says otherwise changes it back."
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
    /// Open a guest's serial console on this terminal
    Console(console::Args),
    /// Open a port on this machine that leads to a guest's screen
    Vnc(vnc::Args),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Start(args) => power::start(session, &args).await,
        Command::Stop(args) => power::stop(session, &args).await,
        Command::Restart(args) => power::restart(session, &args).await,
        Command::Migrate(args) => migrate::run(session, &args).await,
        Command::Console(args) => console::run(session, &args).await,
        Command::Vnc(args) => vnc::run(session, &args).await,
    }
}
