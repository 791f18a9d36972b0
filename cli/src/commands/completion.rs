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
    local before="${COMP_WORDS[COMP_CWORD-1]}"
    case "${words[0]}" in
    get | describe | delete | edit | label | annotate | patch | wait | why)
        [[ $current != -* ]] && _quorate_known "$current" "${words[@]:1}" && return
        ;;
    plan)
        [[ $before == --fail || $before == --drain ]] && _quorate_known "$current" nodes && return
        ;;
    node)
        [[ ${#words[@]} -gt 1 && $current != -* ]] && _quorate_known "$current" nodes && return
        ;;
    vm)
        [[ $before == --to ]] && _quorate_known "$current" nodes && return
        [[ ${#words[@]} -gt 1 && $current != -* ]] && _quorate_known "$current" vm && return
        ;;
    fence)
        [[ $before == test ]] && _quorate_known "$current" nodes,fencedevices && return
        ;;
    esac
    _quorate "$@"
}

_quorate_known() {
    local known
    known=$(quorate completion --request-timeout 2s --words "${@:2}" 2>/dev/null)
    COMPREPLY=($(compgen -W "$known" -- "$1"))
    [[ ${#COMPREPLY[@]} -gt 0 ]]
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
    let mut names = String::new();
    for kind in kinds::kinds(kind)? {
        let scope = Scope {
            kind: kind.plural.to_owned(),
            ..Scope::default()
        };
        let listed = session.client().await?.list(&scope, false).await?;
        for object in &listed.objects {
            names.push_str(&format!("{}\n", object::name(object)));
        }
    }
    session.console.print(&names)
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
