//! `quorate auth`: who one is, what one may do, and a new certificate.

use clap::Subcommand;
use jiff::Timestamp;
use quorate_identity::{Credentials, KeyRequest};
use quorate_proto::api::v1::{CanIRequest, RenewRequest, WhoAmIRequest};

use crate::{
    client::{Retry, identity},
    error::CliError,
    kinds,
    output::age,
    session::Session,
};

const VERBS: [&str; 8] = [
    "get", "list", "watch", "create", "update", "patch", "delete", "manage",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask whether you may do something; exit code 1 says no
    #[command(name = "can-i")]
    CanI(CanI),
    /// Show the user and the groups that the cluster sees in you
    Whoami,
    /// Get a new certificate for the same user, also when the present one has expired
    Renew,
}

#[derive(Debug, clap::Args)]
struct CanI {
    /// get, list, watch, create, update, patch (also for apply) or delete; manage for cluster/…
    #[arg(value_name = "VERB", required_unless_present = "list")]
    verb: Option<String>,
    /// KIND, KIND/NAME or cluster/CALL
    #[arg(value_name = "WHAT", required_unless_present = "list")]
    what: Option<String>,
    /// Ask about this part of the object
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    /// List everything that you may do
    #[arg(long, conflicts_with_all = ["verb", "what"])]
    list: bool,
    /// Print nothing, only set the exit code
    #[arg(short = 'q', long)]
    quiet: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::CanI(args) => can_i(session, args).await,
        Command::Whoami => who_am_i(session).await,
        Command::Renew => renew(session).await,
    }
}

async fn can_i(session: &Session, args: CanI) -> Result<(), CliError> {
    let question = question(&args)?;
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(question.clone());
            async move { identity(channel).can_i(request).await }
        })
        .await?;
    if args.list {
        if reply.rules.is_empty() {
            session
                .console
                .note("nothing; ask an administrator for a role");
        }
        let rules: String = reply.rules.iter().map(|rule| format!("{rule}\n")).collect();
        return session.console.print(&rules);
    }
    if !args.quiet {
        let answer = if reply.allowed { "yes" } else { "no" };
        let why = if reply.reason.is_empty() {
            String::new()
        } else {
            format!(" - {}", reply.reason)
        };
        session.console.line(&format!("{answer}{why}"))?;
    }
    if reply.allowed {
        Ok(())
    } else {
        Err(CliError::No)
    }
}

fn question(args: &CanI) -> Result<CanIRequest, CliError> {
    let mut question = CanIRequest {
        list: args.list,
        subresource: args.subresource.clone(),
        ..CanIRequest::default()
    };
    if args.list {
        return Ok(question);
    }
    let verb = args.verb.clone().unwrap_or_default();
    question.verb = match verb.as_str() {
        "apply" => "patch".to_owned(),
        "*" => verb,
        known if VERBS.contains(&known) => verb,
        _ => {
            return Err(CliError::usage(format!(
                "{verb:?} is no verb; allowed are {}",
                VERBS.join(", ")
            )));
        }
    };
    let what = args.what.clone().unwrap_or_default();
    if what == "*" || what.starts_with("cluster/") {
        question.kind = what;
        return Ok(question);
    }
    let (kind, name) = what.split_once('/').unwrap_or((&what, ""));
    question.kind = kinds::find(kind)?.plural.to_owned();
    question.name = name.to_owned();
    Ok(question)
}

async fn who_am_i(session: &Session) -> Result<(), CliError> {
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(WhoAmIRequest {});
            async move { identity(channel).who_am_i(request).await }
        })
        .await?;
    let now = Timestamp::now().as_second();
    let expires = Timestamp::from_second(reply.certificate_expires_unix_seconds)
        .map(|at| at.to_string())
        .unwrap_or_default();
    session.console.print(&format!(
        "User:         {}\nGroups:       {}\nCertificate:  until {expires} ({} left)\n",
        reply.user,
        if reply.groups.is_empty() {
            age::NONE.to_owned()
        } else {
            reply.groups.join(", ")
        },
        age::short(reply.certificate_expires_unix_seconds - now)
    ))
}

async fn renew(session: &Session) -> Result<(), CliError> {
    let key = KeyRequest::generate().map_err(|error| CliError::Broken(error.to_string()))?;
    let message = RenewRequest {
        csr: key.request().to_owned(),
    };
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(message.clone());
            async move { identity(channel).renew(request).await }
        })
        .await?;
    let own = Credentials::from_pem(&reply.certificate, key.key()).map_err(|error| {
        CliError::Broken(format!(
            "the cluster sent a certificate that cannot be used: {error}"
        ))
    })?;
    let mut file = session.config()?;
    let mut context = file.context(session.options().context.as_deref())?.clone();
    context.client_certificate = reply.certificate;
    context.client_key = key.key().to_owned();
    if !reply.ca_certificate.is_empty() {
        context.certificate_authority = reply.ca_certificate;
    }
    let current = std::mem::take(&mut file.config.current_context);
    file.put(context);
    file.config.current_context = current;
    file.save()?;
    session.console.line(&format!(
        "{} is good until {}",
        own.peer().subject.user(),
        own.peer().not_after
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: &str, what: &str) -> Result<CanIRequest, String> {
        let args = CanI {
            verb: Some(verb.to_owned()),
            what: Some(what.to_owned()),
            subresource: String::new(),
            list: false,
            quiet: false,
        };
        question(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_question_names_a_verb_and_a_kind_or_an_object() {
        let one = asked("apply", "vm/web").expect("a question");
        assert_eq!(
            (one.verb.as_str(), one.kind.as_str(), one.name.as_str()),
            ("patch", "virtualmachines", "web")
        );
        let all = asked("list", "secrets").expect("a question");
        assert_eq!((all.kind.as_str(), all.name.as_str()), ("secrets", ""));
        assert_eq!(
            asked("manage", "cluster/backup").expect("a question").kind,
            "cluster/backup"
        );
        assert!(
            asked("eat", "vm")
                .expect_err("no verb")
                .contains("allowed are get, list")
        );
        assert!(
            asked("get", "zebra")
                .expect_err("no kind")
                .contains("there is no kind")
        );
    }
}
