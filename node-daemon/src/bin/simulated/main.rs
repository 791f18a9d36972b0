//! `quorate-simulated`: a room full of machines that do not exist, the daemons of its hosts, its fence agents, and the
//! hands that pull its cords. `quorated dev` starts it; no package installs it.

mod agent;
mod hands;
mod host;
mod init;
mod room;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "quorate-simulated",
    version,
    about = "Machines that do not exist, for trying Quorate out"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the room of these manifests, and on each machine that is up what its init would run
    Room(room::Arguments),
    /// Run the daemon of one host on a machine of the room
    Node(host::Arguments),
    /// Run the lease process of one host on a machine of the room
    Lease(host::Arguments),
    /// Stand in for a fence agent
    Agent(agent::Arguments),
    /// Do something in the room
    Do(hands::Arguments),
    /// Show what is so in the room, whatever anybody believes
    Show(hands::Show),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    quorate_program::begin(false, "info");
    let outcome = match arguments.command {
        Command::Room(arguments) => room::run(&arguments),
        Command::Node(arguments) => host::run_node(&arguments),
        Command::Lease(arguments) => host::run_lease(&arguments),
        Command::Agent(arguments) => agent::run(&arguments),
        Command::Do(arguments) => hands::run(&arguments),
        Command::Show(arguments) => hands::show(&arguments),
    };
    outcome.unwrap_or_else(|message| {
        eprintln!("quorate-simulated: {message}");
        ExitCode::FAILURE
    })
}
