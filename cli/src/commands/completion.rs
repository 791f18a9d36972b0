//! `quorate completion`: scripts that let shells complete commands, options and kinds.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{args::Cli, error::CliError, session::Session};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shells,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Shells {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    session.console.print(&script(args.shell))
}

fn script(shell: Shells) -> String {
    let mut out = Vec::new();
    let generator = match shell {
        Shells::Bash => Shell::Bash,
        Shells::Zsh => Shell::Zsh,
        Shells::Fish => Shell::Fish,
    };
    generate(generator, &mut Cli::command(), "quorate", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shells::Bash, Shells::Zsh, Shells::Fish] {
            let script = script(shell);
            assert!(
                script.contains("join-token") && script.contains("api-resources"),
                "{shell:?}"
            );
        }
    }
}
