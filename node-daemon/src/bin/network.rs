//! `quorate-network`: brings a host's networks up at boot, changes them when asked, and takes a change back that was not
//! kept in time.

use clap::Parser;
use quorate_network::keeper::{Directory, Keeper};
use quorate_network::netlink::Machine;
use quorate_network::service::{Server, boot_id, now};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps this host's networks.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where it is remembered what was kept.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/quorate-network")]
    state: PathBuf,
    /// Where questions are asked.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/quorate-network/socket"
    )]
    socket: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    quorate_program::begin(false, "info");
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &*error, "this host's networks are not kept");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let shelf = Directory(arguments.state.clone());
    let keeper = Keeper::begin(Machine, shelf, &boot_id()?, now())?;
    let mut server = Server::listen(keeper, &arguments.socket)?;
    sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
    loop {
        server.turn()?;
    }
}
