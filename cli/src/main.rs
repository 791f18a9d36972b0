//! `quorate`, the command line: manifests in, the cluster's state out, with the habits of kubectl.

mod args;
mod client;
mod commands;
mod config;
mod console;
mod dry_run;
mod error;
mod fencing;
mod figures;
mod jsonpath;
mod kinds;
mod looking;
mod manifests;
mod member_files;
mod merge_patch;
mod object;
mod order;
mod output;
mod progress;
mod session;
mod tally;
mod values;
mod wish;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, session::Session};

// One connection at a time needs no threads, and starting them would be a good part of a short run.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let session = Session::new(cli.global);
    match commands::run(&session, cli.command).await {
        Ok(()) => ExitCode::from(error::exit::DONE),
        Err(error) => {
            session.console.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
