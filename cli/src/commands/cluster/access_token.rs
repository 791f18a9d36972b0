//! `quorate cluster access-token`: for programs that speak the Kubernetes protocol and have no certificate.

use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use quorate_proto::api::v1::{
    AccessTokenInfo, CreateAccessTokenRequest, ListAccessTokensRequest, RevokeAccessTokenRequest,
};
use serde_json::json;

use crate::{
    client::{Retry, cluster},
    commands::kubeconfig,
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
    /// List the tokens that are good
    List,
    /// Make a token useless, from this moment on
    Revoke {
        /// The token's id, from the list
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The user that it stands for; roles are bound to this name or to the groups
    #[arg(value_name = "USER")]
    user: String,
    /// A group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// How long the token is good, up to 366d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = values::duration)]
    valid: Duration,
    /// Show a kubeconfig with the token in it, instead of the token alone
    #[arg(long)]
    kubeconfig: bool,
}

pub(super) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Create(create) => self::create(session, create).await,
        Command::List => list(session).await,
        Command::Revoke { id } => revoke(session, &id).await,
    }
}

async fn create(session: &Session, args: Create) -> Result<(), CliError> {
    let message = CreateAccessTokenRequest {
        user: args.user.clone(),
        groups: args.groups,
        valid_seconds: args.valid.as_secs(),
    };
    let client = session.client().await?;
    let reply = client
        .call(Retry::Never, |channel| {
            let request = client.request(message.clone());
            async move { cluster(channel).create_access_token(request).await }
        })
        .await?;
    if args.kubeconfig {
        let text = kubeconfig::of_user(session, &args.user, json!({"token": reply.token}))?;
        session.console.print(&text)?;
    } else {
        session.console.line(&reply.token)?;
    }
    session.console.note(&format!(
        "good for {}, until it is revoked with `quorate cluster access-token revoke {}`; it is not shown again",
        age::short(args.valid.as_secs().try_into().unwrap_or(i64::MAX)),
        reply.id
    ));
    Ok(())
}

async fn list(session: &Session) -> Result<(), CliError> {
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(ListAccessTokensRequest {});
            async move { cluster(channel).list_access_tokens(request).await }
        })
        .await?;
    if reply.tokens.is_empty() {
        session.console.note(
            "there are no access tokens; make one with `quorate cluster access-token create`",
        );
        return Ok(());
    }
    let now = Timestamp::now().as_second();
    let rows: Vec<Vec<Cell>> = reply.tokens.iter().map(|token| row(token, now)).collect();
    session.console.print(&table(
        &["ID", "USER", "GROUPS", "AGE", "EXPIRES IN", "CREATED BY"],
        &rows,
        session.console.color(),
    ))
}

fn row(token: &AccessTokenInfo, now: i64) -> Vec<Cell> {
    vec![
        token.id.as_str().into(),
        token.user.as_str().into(),
        token.groups.join(",").into(),
        age::short(now - token.created_unix_seconds).into(),
        age::short(token.expires_unix_seconds - now).into(),
        token.created_by.as_str().into(),
    ]
}

async fn revoke(session: &Session, id: &str) -> Result<(), CliError> {
    let client = session.client().await?;
    client
        .call(Retry::Safe, |channel| {
            let request = client.request(RevokeAccessTokenRequest { id: id.to_owned() });
            async move { cluster(channel).revoke_access_token(request).await }
        })
        .await?;
    session.console.line(&format!("access token {id} revoked"))
}
