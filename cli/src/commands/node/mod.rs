//! `quorate node`: what people want of a host, and how it is made safe by hand.

mod confirm;
mod fence;
mod links;
mod mode;
mod storage;

use clap::Subcommand;

pub(crate) use confirm::ask_for_name;

use crate::{error::CliError, session::Session};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate plan --drain an-a01n01          # look first\n  quorate node drain an-a01n01            \
                  # guests are moved off, live where they allow it\n  quorate node uncordon an-a01n01         # take part \
                  again\n  quorate node fence an-a01n01 --yes --reason \"stuck in D state\"\n  quorate node confirm-fenced \
                  an-a01n01 --i-have-seen-it-off an-a01n01 --saw \"both power cords unplugged\""
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let a host keep what it has and get nothing new
    Cordon(mode::Args),
    /// Let a host carry whatever the planner gives it again: ends cordon, drain, withdraw and maintenance
    Uncordon(mode::Args),
    /// Move everything off a host, and keep it off
    Drain(mode::Args),
    /// Leave a host alone: nothing is started, stopped, moved or fenced there
    Maintenance(mode::Args),
    /// Drain a host, stop its storage and let it leave; it is not fenced when it goes away
    Withdraw(mode::Args),
    /// Switch a host off by its fence devices, and on again
    Fence(fence::Args),
    /// Vouch for it that a host is off, when no fence device can
    #[command(name = "confirm-fenced")]
    ConfirmFenced(confirm::Args),
    /// Show what a host keeps: its parts of pools, and its replicas
    Storage(storage::Args),
    /// Show who hears whom over which network: delays, losses, the largest packets
    Links(links::Args),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Cordon(args) => mode::run(session, &args, mode::Mode::Cordoned).await,
        Command::Uncordon(args) => mode::run(session, &args, mode::Mode::Active).await,
        Command::Drain(args) => mode::run(session, &args, mode::Mode::Drained).await,
        Command::Maintenance(args) => mode::run(session, &args, mode::Mode::Maintenance).await,
        Command::Withdraw(args) => mode::run(session, &args, mode::Mode::Withdrawn).await,
        Command::Fence(args) => fence::run(session, &args).await,
        Command::ConfirmFenced(args) => confirm::run(session, &args).await,
        Command::Storage(args) => storage::run(session, &args).await,
        Command::Links(args) => links::run(session, &args).await,
    }
}
