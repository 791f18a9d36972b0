//! One file per command.

pub(crate) mod api_resources;
pub(crate) mod apply;
pub(crate) mod auth;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod fence;
pub(crate) mod filesystem;
pub(crate) mod get;
pub(crate) mod help;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod kubeconfig;
pub(crate) mod label;
pub(crate) mod node;
pub(crate) mod patch;
pub(crate) mod plan;
pub(crate) mod status;
pub(crate) mod version;
pub(crate) mod vm;
pub(crate) mod volume;
pub(crate) mod wait;
pub(crate) mod why;

use crate::{args::Command, error::CliError, session::Session};

/// Do what the command line says.
pub(crate) async fn run(session: &Session, command: Command) -> Result<(), CliError> {
    match command {
        Command::Apply(args) => apply::run(session, args).await,
        Command::Diff(args) => diff::run(session, args).await,
        Command::Get(args) => get::run(session, args).await,
        Command::Describe(args) => describe::run(session, args).await,
        Command::Delete(args) => delete::run(session, args).await,
        Command::Edit(args) => edit::run(session, args).await,
        Command::Label(args) => label::run(session, label::Field::Labels, args).await,
        Command::Annotate(args) => label::run(session, label::Field::Annotations, args).await,
        Command::Patch(args) => patch::run(session, args).await,
        Command::Wait(args) => wait::run(session, args).await,
        Command::Events(args) => events::run(session, args).await,
        Command::Explain(args) => explain::run(session, &args),
        Command::ApiResources(args) => api_resources::run(session, args).await,
        Command::Status(args) => status::run(session, args).await,
        Command::Plan(args) => plan::run(session, args).await,
        Command::Why(args) => why::run(session, args).await,
        Command::Node(args) => node::run(session, args).await,
        Command::Vm(args) => vm::run(session, args).await,
        Command::Volume(args) => volume::run(session, args).await,
        Command::Filesystem(args) => filesystem::run(session, args).await,
        Command::Fence(args) => fence::run(session, args).await,
        Command::Cluster(args) => cluster::run(session, args).await,
        Command::Auth(args) => auth::run(session, args).await,
        Command::Init(args) => init::run(session, &args),
        Command::Join(args) => join::run(session, args).await,
        Command::Config(args) => config::run(session, args),
        Command::Kubeconfig(args) => kubeconfig::run(session, args),
        Command::Version(args) => version::run(session, args).await,
        Command::Completion(args) => completion::run(session, args).await,
        Command::Help(args) => help::run(session, &args),
    }
}
