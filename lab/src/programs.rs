//! The programs of the distribution that the room is built with.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{LabError, OnFile};

/// A program that must be there, and the Debian package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mkfs.erofs", "erofs-utils"),
    ("mkfs.ext4", "e2fsprogs"),
    ("ip", "iproute2"),
    ("ipmi_sim", "openipmi"),
    ("ipmitool", "ipmitool"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
];

/// What the stories of the room use at its desk as well: the stock agents, and an assembler for the guest that counts.
const NEEDED_BY_STORIES: &[(&str, &str)] = &[
    ("fence_ipmilan", "fence-agents"),
    ("fence_apc_snmp", "fence-agents"),
    ("fence_redfish", "fence-agents"),
    ("snmpget", "snmp"),
    ("as", "binutils"),
    ("ld", "binutils"),
];

/// Says everything that is missing here for a room, in one go, with the command that installs it.
pub fn check_prerequisites() -> Result<(), LabError> {
    check(NEEDED)
}

/// The same for a room and the stories that put it on trial.
pub fn check_prerequisites_of_stories() -> Result<(), LabError> {
    check(&[NEEDED, NEEDED_BY_STORIES].concat())
}

fn check(needed: &[(&str, &str)]) -> Result<(), LabError> {
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::Missing {
            what: "the right to make network namespaces and TAP devices".to_owned(),
            remedy: "run this command as root (sudo)".to_owned(),
        });
    }
    say_what_is_missing(needed, |program| find(program).is_some())
}

fn say_what_is_missing(
    needed: &[(&str, &str)],
    is_there: impl Fn(&str) -> bool,
) -> Result<(), LabError> {
    let missing: Vec<&(&str, &str)> = needed
        .iter()
        .filter(|(program, _)| !is_there(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    Err(LabError::Missing {
        what: programs.join(", "),
        remedy: format!(
            "install it: apt-get install --no-install-recommends {}",
            packages.join(" ")
        ),
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// A program that dies with the thread that starts it, whatever becomes of that one.
pub(crate) fn bound(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A program in namespaces of its own, which dies with everything that it started, mounted or plugged in.
pub(crate) fn contained(program: impl AsRef<std::ffi::OsStr>, private_network: bool) -> Command {
    let mut command = bound("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if private_network {
        command.arg("--net");
    }
    command.arg("--").arg(program);
    command
}

/// Runs a program to its end; what it prints goes into the error when it fails, and into the result otherwise.
pub(crate) async fn run(command: &mut Command) -> Result<String, LabError> {
    let typed = typed(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .on("start", program_of(command))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n");
    Err(LabError::Program {
        command: typed,
        status: output.status.to_string(),
        output: tail,
    })
}

fn program_of(command: &Command) -> &Path {
    Path::new(command.as_std().get_program())
}

/// The command as a person would type it, cut short.
fn typed(command: &Command) -> String {
    let mut text = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    for argument in command.as_std().get_args() {
        if text.len() > 200 {
            text.push_str(" …");
            break;
        }
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_said_at_once_with_the_packages_that_bring_it() {
        let needed = [NEEDED, NEEDED_BY_STORIES].concat();

        let error = say_what_is_missing(&needed, |program| {
            !program.starts_with("fence_") && program != "ipmi_sim"
        })
        .expect_err("four are missing")
        .to_string();

        assert!(
            error.contains("ipmi_sim, fence_ipmilan, fence_apc_snmp, fence_redfish"),
            "{error}"
        );
        assert!(error.ends_with("openipmi fence-agents"), "{error}");
    }

    #[tokio::test]
    async fn a_failed_program_is_named_with_what_it_printed() {
        let error = run(Command::new("sh").args(["-c", "echo no space left >&2; exit 3"]))
            .await
            .expect_err("the shell exits with 3");
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("no space left"),
            "{text}"
        );
    }
}
