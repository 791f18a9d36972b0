//! `quorate cluster join-token`: one-time tokens for machines and people.

use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use quorate_proto::api::v1::{
    CreateJoinTokenRequest, JoinKind, JoinTokenInfo, ListJoinTokensRequest, RevokeJoinTokenRequest,
};

use crate::{
    client::{Retry, cluster},
    error::CliError,
    output::{
        age,
        table::{Cell, table},
    },
    session::Session,
    values,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token and show it, once
    Create(Create),
    /// List the tokens that are still good
    List,
    /// Make a token useless
    Revoke {
        /// The token's id, from the list
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Who may join with it
    #[arg(value_enum)]
    kind: Kind,
    /// The name in the certificate: of the host or of the person
    #[arg(value_name = "NAME", required_if_eq_any([("kind", "node"), ("kind", "user")]))]
    name: Option<String>,
    /// A group of the person; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// How long the token is good, up to 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = values::duration)]
    valid: Duration,
    /// The member will be a witness: it votes and runs nothing
    #[arg(long)]
    witness: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A further `quorated`.
    Member,
    /// A host that carries guests.
    Node,
    /// A person with this program.
    User,
}

pub(super) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Create(create) => self::create(session, create).await,
        Command::List => list(session).await,
        Command::Revoke { id } => revoke(session, &id).await,
    }
}

async fn create(session: &Session, args: Create) -> Result<(), CliError> {
    if args.kind != Kind::User && !args.groups.is_empty() {
        return Err(CliError::usage(
            "--group is for users: a member's and a node's groups are fixed",
        ));
    }
    if args.kind != Kind::Member && args.witness {
        return Err(CliError::usage("--witness is for members"));
    }
    let kind = match args.kind {
        Kind::Member => JoinKind::Member,
        Kind::Node => JoinKind::Node,
        Kind::User => JoinKind::User,
    };
    let message = CreateJoinTokenRequest {
        kind: kind.into(),
        name: args.name.unwrap_or_default(),
        groups: args.groups,
        valid_seconds: args.valid.as_secs(),
        witness: args.witness,
    };
    let client = session.client().await?;
    let reply = client
        .call(Retry::Never, |channel| {
            let request = client.request(message.clone());
            async move { cluster(channel).create_join_token(request).await }
        })
        .await?;
    session.console.line(&reply.token)?;
    let file = session.config()?;
    let server = file
        .context(session.options().context.as_deref())
        .ok()
        .and_then(|context| session.endpoints(context).first().cloned())
        .unwrap_or_else(|| "HOST".to_owned());
    let how = match args.kind {
        Kind::Member => "there, as root: quorate join TOKEN --server",
        Kind::Node => "there, as root: quorate join TOKEN --server",
        Kind::User => "that person runs: quorate join TOKEN --server",
    };
    session.console.note(&format!(
        "good once, for {}; it is not shown again. {how} {server}",
        age::short(args.valid.as_secs().try_into().unwrap_or(i64::MAX))
    ));
    Ok(())
}

async fn list(session: &Session) -> Result<(), CliError> {
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(ListJoinTokensRequest {});
            async move { cluster(channel).list_join_tokens(request).await }
        })
        .await?;
    if reply.tokens.is_empty() {
        session
            .console
            .note("no tokens are open; make one with `quorate cluster join-token create`");
        return Ok(());
    }
    let now = Timestamp::now().as_second();
    let rows: Vec<Vec<Cell>> = reply.tokens.iter().map(|token| row(token, now)).collect();
    session.console.print(&table(
        &["ID", "FOR", "NAME", "GROUPS", "EXPIRES IN", "CREATED BY"],
        &rows,
        session.console.color(),
    ))
}

fn row(token: &JoinTokenInfo, now: i64) -> Vec<Cell> {
    let kind = match token.kind() {
        JoinKind::Member => "member",
        JoinKind::Node => "node",
        JoinKind::User => "user",
        JoinKind::Unspecified => "unknown",
    };
    vec![
        token.id.as_str().into(),
        kind.into(),
        token.name.as_str().into(),
        token.groups.join(",").into(),
        age::short(token.expires_unix_seconds - now).into(),
        token.created_by.as_str().into(),
    ]
}

async fn revoke(session: &Session, id: &str) -> Result<(), CliError> {
    let client = session.client().await?;
    client
        .call(Retry::Safe, |channel| {
            let request = client.request(RevokeJoinTokenRequest { id: id.to_owned() });
            async move { cluster(channel).revoke_join_token(request).await }
        })
        .await?;
    session.console.line(&format!("join token {id} revoked"))
}
