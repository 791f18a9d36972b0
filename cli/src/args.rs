//! The words of the command line.

use clap::{Parser, Subcommand};

use crate::{commands, session::GlobalOptions};

const STYLES: clap::builder::Styles = clap::builder::Styles::plain();

/// Highly available virtual machines on ordinary servers
#[derive(Debug, Parser)]
#[command(
    name = "quorate",
    version,
    styles = STYLES,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Write manifests, `quorate apply -f` them, and look with `quorate get` and `quorate describe`.\n\
                  Short names of kinds: vm, vol, fs, fd and more; `quorate api-resources` lists them all."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Everything `quorate` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the cluster match manifests
    Apply(commands::apply::Args),
    /// Show what apply would change; exit code 1 says that it would
    Diff(commands::diff::Args),
    /// List objects, or show some of them
    Get(commands::get::Args),
    /// Tell everything about objects in words, with their conditions and events
    Describe(commands::describe::Args),
    /// Delete objects
    Delete(commands::delete::Args),
    /// Change an object in an editor
    Edit(commands::edit::Args),
    /// Set or remove labels
    Label(commands::label::Args),
    /// Set or remove annotations
    Annotate(commands::label::Args),
    /// Change some fields of an object
    Patch(commands::patch::Args),
    /// Wait until objects are in a state
    Wait(commands::wait::Args),
    /// Show what has happened lately
    Events(commands::events::Args),
    /// Explain a kind and its fields
    Explain(commands::explain::Args),
    /// List the kinds
    #[command(name = "api-resources")]
    ApiResources(commands::api_resources::Args),
    /// Show the cluster and whatever in it needs attention
    Status(commands::status::Args),
    /// Show what would happen if something were applied, lost or drained
    Plan(commands::plan::Args),
    /// Tell why an object is as it is
    Why(commands::why::Args),
    /// Drain, withdraw, maintain and fence hosts
    Node(commands::node::Args),
    /// Start, stop, restart and move guests
    Vm(commands::vm::Args),
    /// Decide about data that only a person can decide about
    Volume(commands::volume::Args),
    /// Check filesystems that hosts share
    #[command(visible_alias = "fs")]
    Filesystem(commands::filesystem::Args),
    /// See and test whether hosts could be made safe
    Fence(commands::fence::Args),
    /// Look at and change the cluster itself: members, tokens, backups
    Cluster(commands::cluster::Args),
    /// See who you are and what you may do
    Auth(commands::auth::Args),
    /// Found a new cluster on this machine
    Init(commands::init::Args),
    /// Join a cluster with a token: as a member, as a host, or as a person
    Join(commands::join::Args),
    /// Manage contexts: which clusters you know and who you are there
    Config(commands::config::Args),
    /// Let kubectl reach the cluster: print a kubeconfig, or write it into kubectl's file
    Kubeconfig(commands::kubeconfig::Args),
    /// Show the versions of this program and of the cluster
    Version(commands::version::Args),
    /// Print a completion script for a shell
    Completion(commands::completion::Args),
    /// Explain a command, or a topic: exit-codes, output, configuration
    Help(commands::help::Args),
}
