//! The words of the command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate_lab::description::host_name;

use crate::hands::HandArgument;

/// The machine room: a whole cluster of real hosts in QEMU.
#[derive(Debug, Parser)]
#[command(name = "quorate-lab", version)]
pub(crate) struct Arguments {
    /// The room that is meant, when several run
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) room: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the image and the template of the standard room, or find them in the cache
    Image,
    /// Start a room and keep it until Ctrl-C
    Up(Up),
    /// End a room
    Down,
    /// Show all rooms on one screen
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a host; its exit code is ours
    Exec {
        /// node1, node2, …
        host: HostNumber,
        /// The command
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// A shell in a host
    Shell {
        /// node1, node2, …
        host: HostNumber,
    },
    /// Copy a file into a host or out of it: `copy ./file node1:/root/file`, `copy node1:/root/file ./file`
    Copy {
        /// The file
        from: Place,
        /// What it becomes
        to: Place,
    },
    /// Run a program of this machine in the room's network, as at the operator's desk
    Desk {
        /// The program with its arguments
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Follow the serial console of a host
    Console {
        /// node1, node2, …
        host: HostNumber,
    },
    /// Everything that has happened, in order
    Timeline {
        /// Go on with what happens
        #[arg(short, long)]
        follow: bool,
    },
    /// Switch a host over its BMC, or press its button
    Power {
        /// node1, node2, …
        host: HostNumber,
        /// What to do
        action: PowerAction,
    },
    /// Do something to cords, devices, cables, switches, disks, kernels, processes and clocks; each has its undo
    #[command(subcommand)]
    Do(HandArgument),
    /// Remove what rooms that were killed have left behind
    Clean {
        /// Remove images and templates too
        #[arg(long)]
        cache: bool,
    },
    /// Be the room (started by `up`)
    #[command(hide = true)]
    Supervise {
        /// The room's directory
        directory: PathBuf,
    },
    /// Be a running host for its BMC (started by the BMC)
    #[command(hide = true)]
    Hold {
        /// The room's socket
        control: PathBuf,
        /// The host's number
        host: u8,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// A description in YAML; see docs/lab.md
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// How many hosts, 1 to 8
    #[arg(long)]
    pub(crate) hosts: Option<u8>,
    /// The room's name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Install the packages in this directory on all hosts, and make them a cluster
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) packages: Option<PathBuf>,
    /// Apply the manifests in this directory or file to the cluster; may be repeated, and a file takes the place of an earlier one of its name
    #[arg(long, value_name = "PATH", requires = "packages")]
    pub(crate) apply: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PowerAction {
    On,
    Off,
    Cycle,
    Reset,
    Status,
    /// Press the power button shortly
    Button,
    /// Hold the power button down
    LongButton,
}

/// `node1` or `1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HostNumber(pub(crate) u8);

impl HostNumber {
    pub(crate) fn name(self) -> String {
        host_name(self.0)
    }
}

impl FromStr for HostNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<HostNumber, String> {
        let number = text.strip_prefix("node").unwrap_or(text).parse();
        number
            .ok()
            .filter(|number| *number > 0)
            .map(HostNumber)
            .ok_or_else(|| format!("{text:?} is not a host; write node1, node2, …"))
    }
}

/// `node1:/root/file`, or a file of this machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    There(HostNumber, String),
    Here(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        Ok(match text.split_once(':') {
            Some((host, path)) if !host.contains('/') => {
                Place::There(host.parse()?, path.to_owned())
            }
            _ => Place::Here(text.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_file_is_here_or_in_a_host() {
        let there = Place::There(HostNumber(2), "/root/a:b".to_owned());
        assert_eq!("node2:/root/a:b".parse(), Ok(there));
        assert_eq!("./a:b".parse(), Ok(Place::Here("./a:b".into())));
        assert!("nowhere:/root".parse::<Place>().is_err());
    }

    #[test]
    fn a_host_is_named_or_numbered() {
        assert_eq!("node3".parse::<HostNumber>().map(|host| host.0), Ok(3));
        assert_eq!("3".parse::<HostNumber>().map(|host| host.0), Ok(3));
        assert!("node0".parse::<HostNumber>().is_err() && "web".parse::<HostNumber>().is_err());
    }
}
