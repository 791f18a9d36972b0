//! `quorate help`: commands, and topics that belong to no single one.

use clap::CommandFactory;

use crate::{args::Cli, error::CliError, session::Session};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A command, or exit-codes, output or configuration
    #[arg(value_name = "COMMAND or TOPIC")]
    what: Vec<String>,
}

const TOPICS: [(&str, &str); 3] = [
    ("exit-codes", EXIT_CODES),
    ("output", OUTPUT),
    ("configuration", CONFIGURATION),
];

const EXIT_CODES: &str = "\
0  done
1  the answer is no: diff found differences, auth can-i says no, status sees no quorum, plan leaves a guest down,
   what was waited for failed (a guest that finds no host, a fence test)
2  the command line or a manifest is wrong; nothing was sent
3  the cluster refused: invalid, forbidden, not signed in, too many requests
4  there is no such object
5  a conflict: somebody else owns a field, or the object changed or exists already
6  no member answered, or the cluster has no quorum
7  the time ran out; a change may or may not have been made
8  a file could not be read or written, or a program could not be started
130  somebody stopped waiting with Ctrl-C; the cluster goes on

When a command concerns several objects, the rest goes on after a failure, and the code is that of the first one.
";

const OUTPUT: &str = "\
-o table                     the kind's columns (the default)
-o wide                      more of them
-o yaml, -o json             everything; managed fields only with --show-managed-fields
-o name                      kind/name, one a line
-o jsonpath=TEMPLATE         '{.metadata.name}', '{range .items[*]}{.metadata.name}{\"\\n\"}{end}'
-o custom-columns=H:PATH,…   NAME:.metadata.name,MEMORY:.spec.memory

Several objects are a List with items in YAML, JSON and JSONPath; one that is asked for by name is itself.
Results go to standard output, everything else to standard error. Colour appears on terminals only; NO_COLOR
and --color=never switch it off, --color=always switches it on.
";

const CONFIGURATION: &str = "\
One file holds all contexts: --config, else QUORATE_CONFIG, else ~/.config/quorate/config.yaml.

currentContext: anvil
contexts:
- name: anvil
  endpoints: [an01:7443, an02:7443, witness:7443]   # tried in this order
  certificateAuthority: …                           # PEM text, or the path of a file,
  clientCertificate: …                              # relative to this one
  clientKey: …

`quorate init` and `quorate join` write it; `quorate config` changes it. The editor of `quorate edit` is
QUORATE_EDITOR, else VISUAL, else EDITOR, else vi.
";

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    session.console.print(&help(&args.what)?)
}

fn help(what: &[String]) -> Result<String, CliError> {
    if let [topic] = what
        && let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == topic)
    {
        return Ok((*text).to_owned());
    }
    let mut command = Cli::command();
    // Building hands the global options down to every command.
    command.build();
    let mut here = &mut command;
    for word in what {
        here = here.find_subcommand_mut(word).ok_or_else(|| {
            let topics: Vec<_> = TOPICS.iter().map(|(name, _)| *name).collect();
            CliError::usage(format!(
                "there is no command or topic {:?}; `quorate help` lists the commands, the topics are {}",
                what.join(" "),
                topics.join(", ")
            ))
        })?;
    }
    Ok(here.render_long_help().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_exit_code_is_documented() {
        let codes = [
            exit::DONE,
            exit::NO,
            exit::USAGE,
            exit::REFUSED,
            exit::NOT_FOUND,
            exit::CONFLICT,
            exit::UNAVAILABLE,
            exit::TIMED_OUT,
            exit::LOCAL,
            exit::INTERRUPTED,
        ];
        let text = help(&words("exit-codes")).expect("a topic");
        for code in codes {
            assert!(
                text.lines()
                    .any(|line| line.starts_with(&format!("{code}  "))),
                "{code}"
            );
        }
    }

    #[test]
    fn help_finds_commands_below_commands() {
        assert!(
            help(&words("cluster join-token create"))
                .expect("a command")
                .contains("--valid")
        );
        assert!(help(&[]).expect("everything").contains("api-resources"));
        assert!(
            help(&words("dance"))
                .expect_err("nothing")
                .to_string()
                .contains("exit-codes")
        );
    }
}
