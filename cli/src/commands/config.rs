//! `quorate config`: the contexts.

use clap::Subcommand;
use quorate_identity::Credentials;
use serde_json::json;

use crate::{
    config::{ConfigFile, Context},
    error::CliError,
    output::{
        age,
        table::{Cell, table},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the contexts
    #[command(name = "get-contexts")]
    GetContexts,
    /// Print the name of the current context
    #[command(name = "current-context")]
    CurrentContext,
    /// Make a context the current one
    #[command(name = "use-context")]
    UseContext {
        /// Its name
        name: String,
    },
    /// Make a context, or change the given parts of one
    #[command(name = "set-context")]
    SetContext(SetContext),
    /// Forget a context
    #[command(name = "delete-context")]
    DeleteContext {
        /// Its name
        name: String,
    },
    /// Print the file, without private keys
    View {
        /// With private keys
        #[arg(long)]
        raw: bool,
    },
}

// The addresses are the global --endpoint; --endpoint is how every command names them.
#[derive(Debug, clap::Args)]
struct SetContext {
    /// Its name; give the addresses with --endpoint
    name: String,
    /// A file with the cluster's authority certificate
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<String>,
    /// A file with your certificate
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<String>,
    /// A file with its key
    #[arg(long, value_name = "FILE")]
    client_key: Option<String>,
}

pub(crate) fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let mut file = session.config()?;
    match args.command {
        Command::GetContexts => session.console.print(&list(&file, session.console.color())),
        Command::CurrentContext => {
            let name = session.options().context.as_deref();
            session.console.line(&file.context(name)?.name)
        }
        Command::UseContext { name } => {
            file.config.current_context = file.context(Some(&name))?.name.clone();
            file.save()?;
            session
                .console
                .line(&format!("the current context is {name}"))
        }
        Command::SetContext(change) => set(session, file, change),
        Command::DeleteContext { name } => {
            file.context(Some(&name))?;
            file.config.contexts.retain(|context| context.name != name);
            if file.config.current_context == name {
                file.config.current_context.clear();
                session.console.warn("it was the current context; choose another with `quorate config use-context NAME`");
            }
            file.save()?;
            session.console.line(&format!("context {name} deleted"))
        }
        Command::View { raw } => {
            if !raw {
                for context in &mut file.config.contexts {
                    if context.client_key.contains("-----BEGIN") {
                        context.client_key = "(hidden; --raw shows it)".to_owned();
                    }
                }
            }
            session
                .console
                .print(&quorate_crds::manifest::to_yaml(&json!(file.config)))
        }
    }
}

fn set(session: &Session, mut file: ConfigFile, change: SetContext) -> Result<(), CliError> {
    let known = file
        .config
        .contexts
        .iter()
        .find(|context| context.name == change.name)
        .cloned();
    let created = known.is_none();
    let mut context = known.unwrap_or_else(|| Context {
        name: change.name.clone(),
        ..Context::default()
    });
    if !session.options().endpoints.is_empty() {
        context.endpoints.clone_from(&session.options().endpoints);
    }
    for (field, value) in [
        (
            &mut context.certificate_authority,
            change.certificate_authority,
        ),
        (&mut context.client_certificate, change.client_certificate),
        (&mut context.client_key, change.client_key),
    ] {
        if let Some(path) = value {
            let absolute =
                std::path::absolute(&path).map_err(|error| CliError::file("find", &path, error))?;
            *field = absolute.display().to_string();
        }
    }
    let current = file.config.current_context.clone();
    file.put(context);
    if !current.is_empty() {
        file.config.current_context = current;
    }
    file.save()?;
    session.console.line(&format!(
        "context {} {}",
        change.name,
        if created { "created" } else { "changed" }
    ))
}

fn list(file: &ConfigFile, color: bool) -> String {
    let now = jiff::Timestamp::now();
    let rows: Vec<Vec<Cell>> = file
        .config
        .contexts
        .iter()
        .map(|context| {
            let mark = if context.name == file.config.current_context {
                "*"
            } else {
                ""
            };
            let (user, left) = identity(file, context, now);
            vec![
                mark.into(),
                context.name.as_str().into(),
                user.into(),
                left.into(),
                context.endpoints.join(",").into(),
            ]
        })
        .collect();
    table(
        &["CURRENT", "NAME", "USER", "CERTIFICATE", "ENDPOINTS"],
        &rows,
        color,
    )
}

fn identity(file: &ConfigFile, context: &Context, now: jiff::Timestamp) -> (String, String) {
    let own = file
        .pem(&context.client_certificate, "client certificate")
        .and_then(|chain| Ok((chain, file.pem(&context.client_key, "client key")?)))
        .ok()
        .and_then(|(chain, key)| Credentials::from_pem(&chain, &key).ok());
    match own {
        Some(own) if own.peer().is_expired(now) => {
            (own.peer().subject.user().to_owned(), "expired".to_owned())
        }
        Some(own) => {
            let left = age::short(own.peer().not_after.as_second() - now.as_second());
            (own.peer().subject.user().to_owned(), format!("{left} left"))
        }
        None => (age::NONE.to_owned(), "unreadable".to_owned()),
    }
}
