//! `quorate cluster takeover`.

use std::{os::unix::process::CommandExt, path::PathBuf, process::Command};

use super::backup::member_program;
use crate::error::CliError;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It is for a machine that has booted alone, or whose peer no fence device can prove off. Stop the member first \
(systemctl stop quorated). Without a flag it only shows what goes on and what is at risk.

The lost members are refused when they come back: join them anew, each with an empty data directory.")]
pub(super) struct Takeover {
    /// The configuration of the member on this machine; before the flags that follow
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/quorate/quorated.yaml"
    )]
    member_config: PathBuf,
    /// --i-verified-NODE-is-off, once for each machine of another voter
    #[arg(
        value_name = "--i-verified-NODE-is-off",
        allow_hyphen_values = true,
        trailing_var_arg = true
    )]
    verified: Vec<String>,
}

/// Taking over needs the member's program, which knows the store's files; this command finds it and hands over.
pub(super) fn takeover(args: &Takeover) -> Result<(), CliError> {
    let mut command = Command::new(member_program());
    command
        .arg("takeover")
        .arg("--config")
        .arg(&args.member_config);
    for machine in machines(&args.verified)? {
        command.arg("--verified-off").arg(machine);
    }
    let error = command.exec();
    Err(CliError::Local {
        doing: format!(
            "cannot start {}, which takes over; run this command on the machine of the member that goes on",
            member_program().display()
        ),
        source: error,
    })
}

/// The machines that were looked at.
fn machines(flags: &[String]) -> Result<Vec<&str>, CliError> {
    flags
        .iter()
        .map(|flag| {
            let machine = flag
                .strip_prefix("--i-verified-")
                .and_then(|rest| rest.strip_suffix("-is-off"));
            machine.filter(|machine| !machine.is_empty()).ok_or_else(|| {
                CliError::usage(format!(
                    "{flag:?} is not understood, allowed: --i-verified-NODE-is-off, with the name of a machine that you \
                     have seen to be off"
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_named_in_the_flag() {
        let flags = ["--i-verified-an02-is-off".to_owned()];
        assert_eq!(machines(&flags).expect("understood"), ["an02"]);
        for wrong in ["--i-verified--is-off", "an02", "--i-verified-an02"] {
            assert!(machines(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
