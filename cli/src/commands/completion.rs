//! `quorate completion`: scripts that let shells complete commands and options, and in bash also kinds and
//! the names of objects.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{args::Cli, client::Scope, error::CliError, kinds, object, session::Session};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum, required_unless_present = "words")]
    shell: Option<Shells>,
    // What scripts ask for: the words between the command and the one to complete.
    #[arg(long, hide = true, value_name = "WORD", num_args = 0.., allow_hyphen_values = true, conflicts_with = "shell")]
    words: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Shells {
    Bash,
    Zsh,
    Fish,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.shell {
        Some(shell) => session.console.print(&script(shell)),
        None => objects(session, &args.words.unwrap_or_default()).await,
    }
}

fn script(shell: Shells) -> String {
    let mut out = Vec::new();
    let generator = match shell {
        Shells::Bash => Shell::Bash,
        Shells::Zsh => Shell::Zsh,
        Shells::Fish => Shell::Fish,
    };
    generate(generator, &mut Cli::command(), "quorate", &mut out);
    let script = String::from_utf8_lossy(&out).into_owned();
    match shell {
        Shells::Bash => script + BASH_OBJECTS,
        Shells::Zsh | Shells::Fish => script,
    }
}

/// The generated script knows words that never change; what a cluster holds is asked for.
const BASH_OBJECTS: &str = r#"
_quorate_objects() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD-1}") current="${COMP_WORDS[COMP_CWORD]}"
    case "${words[0]}" in
    get | describe | delete | edit | label | annotate | patch | wait)
        if [[ $current != -* ]]; then
            local known
            known=$(quorate completion --request-timeout 2s --words "${words[@]:1}" 2>/dev/null)
            COMPREPLY=($(compgen -W "$known" -- "$current"))
            [[ ${#COMPREPLY[@]} -gt 0 ]] && return
        fi
        ;;
    esac
    _quorate "$@"
}
complete -F _quorate_objects -o bashdefault -o default quorate
"#;

/// What may come next, one word a line: kinds, then names of the kind.
async fn objects(session: &Session, words: &[String]) -> Result<(), CliError> {
    let kind = words.iter().find(|word| !word.starts_with('-'));
    let Some(kind) = kind else {
        let names = quorate_crds::kinds().iter().flat_map(|kind| {
            [kind.plural]
                .into_iter()
                .chain(kind.short_names.iter().copied())
        });
        return session
            .console
            .print(&names.map(|name| format!("{name}\n")).collect::<String>());
    };
    let scope = Scope {
        kind: kinds::find(kind)?.plural.to_owned(),
        ..Scope::default()
    };
    let listed = session.client().await?.list(&scope, false).await?;
    let names = listed
        .objects
        .iter()
        .map(|object| format!("{}\n", object::name(object)));
    session.console.print(&names.collect::<String>())
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
