//! `quorate edit`: an object in the editor of one's choice, until it is accepted or given up.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use quorate_crds::manifest::{Limits, parse, to_yaml};
use serde_json::Value;

use crate::{
    client::{Change, Refusal},
    commands::apply::with_guesses,
    error::CliError,
    kinds::{self, Target},
    merge_patch::{difference, merge},
    object,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
}

const HEADER: &str = "\
Save and leave the editor to make the change. An empty or unchanged file changes nothing.
Lines that begin with # are not part of the object.";

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let target = kinds::single(&args.what)?;
    let client = session.client().await?;
    let name = target.name.unwrap_or_default();
    let change = Change {
        manager: "quorate-edit".to_owned(),
        ..Change::default()
    };
    let mut base = editable(client.get(target.kind.plural, name, false).await?.0);
    let mut file = Draft::new(&target)?;
    let mut text = with_comments(HEADER, &to_yaml(&base));
    // What was in the editor when a problem was found; saving the same again gives up.
    let mut refused: Option<(String, CliError)> = None;
    loop {
        let edited_text = file.edit(&text)?;
        let body = without_comments(&edited_text);
        if let Some((rejected, error)) = refused.take()
            && rejected == body
        {
            return Err(file.kept(error));
        }
        if body.trim().is_empty() {
            session
                .console
                .note("nothing was changed: the file is empty");
            return Ok(());
        }
        let problem = match read(&body, &target) {
            Ok(edited) if edited == base => {
                session.console.note("nothing was changed");
                return Ok(());
            }
            Ok(edited) => match client
                .update(&edited, &change)
                .await
                .map_err(|error| with_guesses(error, &edited))
            {
                Ok(changed) => {
                    for warning in &changed.warnings {
                        session.console.warn(warning);
                    }
                    return session.console.line(&format!(
                        "{} {}",
                        target.reference(),
                        changed.word()
                    ));
                }
                Err(CliError::Refused(refusal)) if refusal.is_conflict() => {
                    let live = editable(client.get(target.kind.plural, name, false).await?.0);
                    let mut merged = live.clone();
                    merge(&mut merged, &difference(&base, &edited));
                    base = live;
                    text = with_comments(
                        &format!("{HEADER}\n\n{CHANGED_MEANWHILE}"),
                        &to_yaml(&merged),
                    );
                    continue;
                }
                Err(CliError::Refused(refusal)) if refusal.is_invalid() => {
                    CliError::Refused(refusal)
                }
                Err(error) => return Err(file.kept(error)),
            },
            Err(error) => error,
        };
        text = with_comments(
            &format!("{HEADER}\n\nThis was refused:\n{}", in_words(&problem)),
            &body,
        );
        refused = Some((body, problem));
    }
}

const CHANGED_MEANWHILE: &str = "\
Somebody else changed the object meanwhile. Below, your changes have been laid over the new state:
check them, then save again.";

fn in_words(error: &CliError) -> String {
    let mut lines = vec![error.to_string()];
    lines.extend(error.details().into_iter().map(|line| format!("  {line}")));
    lines.join("\n")
}

/// The object without what its owner cannot set.
fn editable(mut object: Value) -> Value {
    object::drop_managed_fields(&mut object);
    if let Some(root) = object.as_object_mut() {
        root.remove("status");
    }
    object
}

fn read(body: &str, target: &Target<'_>) -> Result<Value, CliError> {
    let mut objects = parse(body.as_bytes(), &Limits::default())
        .map_err(|error| CliError::usage(error.to_string()))?;
    let (Some(object), true) = (objects.pop(), objects.is_empty()) else {
        return Err(CliError::usage("the file must hold exactly one object"));
    };
    if object::kind(&object) != target.kind.kind || Some(object::name(&object)) != target.name {
        return Err(CliError::usage(format!(
            "kind and name say which object is edited and cannot be changed: found {}, expected {}; to copy an object, \
             save it with `quorate get -o yaml`, change it and apply it",
            object::reference(&object),
            target.reference()
        )));
    }
    Ok(object)
}

fn with_comments(comments: &str, body: &str) -> String {
    let comments: String = comments
        .lines()
        .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
        .collect();
    format!("{comments}{body}")
}

// Only the head of the file is ours; a `#` inside a block of text belongs to the object.
fn without_comments(text: &str) -> String {
    text.lines()
        .skip_while(|line| line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The file in the editor, readable by its owner only: it may hold a Secret.
struct Draft {
    path: PathBuf,
    _file: tempfile::TempPath,
}

impl Draft {
    fn new(target: &Target<'_>) -> Result<Self, CliError> {
        let file = tempfile::Builder::new()
            .prefix(&format!(
                "quorate-{}-",
                target.reference().replace('/', "-")
            ))
            .suffix(".yaml")
            .tempfile()
            .map_err(|error| {
                CliError::file("make a temporary file in", std::env::temp_dir(), error)
            })?;
        Ok(Self {
            path: file.path().to_owned(),
            _file: file.into_temp_path(),
        })
    }

    fn edit(&mut self, text: &str) -> Result<String, CliError> {
        fs::write(&self.path, text).map_err(|error| CliError::file("write", &self.path, error))?;
        let editor = ["QUORATE_EDITOR", "VISUAL", "EDITOR"]
            .into_iter()
            .find_map(|name| {
                std::env::var(name)
                    .ok()
                    .filter(|value| !value.trim().is_empty())
            })
            .unwrap_or_else(|| "vi".to_owned());
        // The variable may hold options, so a shell takes it apart; the path is handed over unseen by it.
        let status = Command::new("sh")
            .args(["-c", &format!("{editor} \"$1\""), "sh"])
            .arg(&self.path)
            .status()
            .map_err(|source| CliError::Local {
                doing: format!("cannot start the editor {editor:?}"),
                source,
            })?;
        if !status.success() {
            return Err(CliError::Broken(format!(
                "the editor {editor:?} ended with {status}; nothing was changed; set QUORATE_EDITOR or EDITOR to another one"
            )));
        }
        fs::read_to_string(&self.path).map_err(|error| CliError::file("read", &self.path, error))
    }

    /// Keep what was typed and say where.
    fn kept(&self, error: CliError) -> CliError {
        match self.keep() {
            Ok(path) => {
                let hint = format!("your text is kept in {}", path.display());
                match error {
                    CliError::Refused(mut refusal) => {
                        refusal.message = format!("{}; {hint}", Refusal::summary(&refusal));
                        CliError::Refused(refusal)
                    }
                    CliError::Usage(message) => CliError::Usage(format!("{message}; {hint}")),
                    other => other,
                }
            }
            Err(_) => error,
        }
    }

    fn keep(&self) -> io::Result<PathBuf> {
        let text = fs::read_to_string(&self.path)?;
        let (mut file, path) = tempfile::Builder::new()
            .prefix("quorate-edit-")
            .suffix(".yaml")
            .tempfile()?
            .keep()
            .map_err(|error| error.error)?;
        file.write_all(text.as_bytes())?;
        Ok(Path::new(&path).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_at_the_head_go_and_those_inside_the_object_stay() {
        let text = with_comments("one\n\ntwo", "spec:\n  script: |\n    # kept\n");
        assert_eq!(text, "# one\n#\n# two\nspec:\n  script: |\n    # kept\n");
        assert_eq!(without_comments(&text), "spec:\n  script: |\n    # kept\n");
    }

    #[test]
    fn another_kind_or_name_is_refused() {
        let args = vec!["vm/web".to_owned()];
        let target = kinds::single(&args).expect("one object");
        let renamed =
            "apiVersion: quorate.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: db}\n";
        assert!(
            read(renamed, &target)
                .expect_err("renamed")
                .to_string()
                .contains("found virtualmachine/db, expected virtualmachine/web")
        );
        assert!(
            read("", &target)
                .expect_err("empty")
                .to_string()
                .contains("exactly one")
        );
    }

    #[test]
    fn status_and_owners_are_not_offered_for_editing() {
        let object =
            json!({"metadata": {"name": "web", "managedFields": []}, "spec": {}, "status": {}});
        assert_eq!(
            editable(object),
            json!({"metadata": {"name": "web"}, "spec": {}})
        );
    }
}
