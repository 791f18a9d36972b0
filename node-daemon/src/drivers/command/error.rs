use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::drivers::{DriverError, Trouble};

/// Why a program did not come to an end of its own.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    /// It is not on this host. Trying again does not help.
    #[error("the program {program} is not on this host")]
    Missing { program: &'static str },
    /// It could not be started, and may be later.
    #[error("the program {program} could not be started")]
    NotStarted {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    /// It was started, made no progress and was killed; what it did is unknown.
    #[error("it made no progress for {after:?} and was killed")]
    Stuck { after: Duration },
    /// It wrote more than any answer can be, and was killed; what it did is unknown.
    #[error("it wrote without end and was killed")]
    Endless,
    /// Somebody killed it; what it did is unknown.
    #[error("it was killed, by signal {signal}")]
    Killed { signal: i32 },
    /// Its end could not be learned; what it did is unknown.
    #[error("its end could not be learned")]
    Lost(#[source] io::Error),
    /// A program that was followed has ended.
    #[error("it ended with exit code {code}: {words}")]
    Ended { code: i32, words: String },
}

impl CommandError {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Missing { .. } => Trouble::NotInstalled,
            Self::NotStarted { .. } | Self::Killed { .. } | Self::Ended { .. } => Trouble::Refused,
            Self::Stuck { .. } => Trouble::TimedOut,
            Self::Endless | Self::Lost(_) => Trouble::UnknownAnswer,
        }
    }

    pub(super) fn of_a_look(self, command: &str) -> DriverError {
        match &self {
            Self::Missing { program } => missing(program),
            _ => DriverError::passing(self.trouble(), format!("\"{command}\" gave no answer"))
                .because(self),
        }
    }

    pub(in crate::drivers) fn of_an_act(self, command: &str) -> DriverError {
        match &self {
            Self::Missing { program } => missing(program),
            Self::NotStarted { .. } => {
                DriverError::passing(self.trouble(), format!("\"{command}\" was not done"))
                    .because(self)
            }
            _ => DriverError::unclear(
                self.trouble(),
                format!("nobody knows what \"{command}\" has done"),
            )
            .because(self),
        }
    }
}

fn missing(program: &str) -> DriverError {
    let package = match program {
        "lvm" => "lvm2",
        "drbdadm" | "drbdsetup" | "drbdmeta" => "drbd-utils",
        "wipefs" => "util-linux",
        "modprobe" => "kmod",
        "mkfs.gfs2" | "fsck.gfs2" | "gfs2_grow" | "gfs2_jadd" => "gfs2-utils",
        _ => program,
    };
    DriverError::lasting(
        Trouble::NotInstalled,
        format!("the program {program} is not on this host: install the package {package}"),
    )
}
