//! `quorate cluster`: the cluster itself rather than the objects in it.

mod access_token;
mod backup;
mod change;
mod join_token;
pub(super) mod status;
mod takeover;

use clap::Subcommand;

use crate::{error::CliError, session::Session};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the quorum, the leader and the state of the member that answers; works without quorum
    Status(status::Args),
    /// List the members
    Members(status::Args),
    /// Create, list and revoke the tokens with which machines and people join
    #[command(name = "join-token")]
    JoinToken(join_token::Args),
    /// Create, list and revoke the tokens of programs that speak the Kubernetes protocol and have no certificate
    #[command(name = "access-token")]
    AccessToken(access_token::Args),
    /// Make a voter of a learner that has caught up
    Promote(change::Member),
    /// Take a member out; its id is never used again
    Remove(change::Removal),
    /// Hand leadership to another voter
    Transfer(change::Transfer),
    /// Allow what only newer members understand, once all members are new enough
    #[command(name = "raise-feature-level")]
    RaiseFeatureLevel(change::FeatureLevel),
    /// Write everything needed to rebuild the cluster's state to one file
    Backup(backup::Backup),
    /// Rebuild the first member of a cluster from a backup, on this machine
    Restore(backup::Restore),
    /// Let the member on this machine go on alone, when you have seen that all other voters are off
    Takeover(takeover::Takeover),
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Status(args) => status::status(session, &args).await,
        Command::Members(args) => status::members(session, &args).await,
        Command::JoinToken(args) => join_token::run(session, args).await,
        Command::AccessToken(args) => access_token::run(session, args).await,
        Command::Promote(args) => change::promote(session, &args).await,
        Command::Remove(args) => change::remove(session, &args).await,
        Command::Transfer(args) => change::transfer(session, &args).await,
        Command::RaiseFeatureLevel(args) => change::raise_feature_level(session, &args).await,
        Command::Backup(args) => backup::backup(session, &args).await,
        Command::Restore(args) => backup::restore(&args),
        Command::Takeover(args) => takeover::takeover(&args),
    }
}
