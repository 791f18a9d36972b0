//! `quorate join`: a token becomes an identity, of a member, a host or a person.

use std::{path::PathBuf, sync::Arc};

use quorate_identity::{
    Bootstrap, Clock, Credentials, JoinToken, KeyRequest, Keyring, SystemClock,
    joining_client_config,
};
use quorate_proto::{
    api::v1::{JoinKind, JoinReply, JoinRequest, MemberGrant},
    client::with_port,
};
use serde_json::json;

use crate::{
    client::{Client, Retry, identity},
    config::Context,
    error::CliError,
    member_files::{MemberFiles, MemberKeys, write_new},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The token from `quorate cluster join-token create`; `-` reads it from standard input, where other
    /// users of this machine do not see it
    #[arg(value_name = "TOKEN")]
    token: String,
    /// A member of the cluster; may be repeated
    #[arg(long = "server", value_name = "HOST[:PORT]", required = true)]
    servers: Vec<String>,
    /// People: the name of the new context [default: the cluster's name]
    #[arg(long, value_name = "NAME")]
    context_name: Option<String>,
    /// Hosts: where certificate, key and settings go
    #[arg(long, value_name = "DIR", default_value = "/etc/quorate/node")]
    node_dir: PathBuf,
    #[command(flatten)]
    member: MemberFiles,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let mut text = args.token.clone();
    if text == "-" {
        text.clear();
        std::io::stdin()
            .read_line(&mut text)
            .map_err(|error| CliError::file("read the token from", "standard input", error))?;
    }
    let token: JoinToken = text
        .trim()
        .parse()
        .map_err(|error| CliError::usage(format!("{error}")))?;
    let key = KeyRequest::generate().map_err(|error| CliError::Broken(error.to_string()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // The connection is given up before the secret is sent when the server does not show the token's authority.
    let tls = joining_client_config(&token, &clock)
        .map_err(|error| CliError::Broken(error.to_string()))?;
    let servers = args
        .servers
        .iter()
        .map(|server| with_port(server))
        .collect();
    let client = Client::new(servers, Arc::new(tls), session.request_timeout());
    // Only the cluster knows whom a token is for. A machine that could not become a member offers no address,
    // and so a member's token is refused instead of spent in vain.
    let (addresses, obstacle) = match as_member(&args.member) {
        Ok(addresses) => (addresses, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let request = JoinRequest {
        token: token.reveal(),
        csr: key.request().to_owned(),
        addresses,
        name: args.member.member_name().unwrap_or_default(),
        supported_feature_level: quorate_proto::FEATURE_LEVEL,
    };
    let reply = client
        .call(Retry::Never, |channel| {
            let request = client.request(request.clone());
            async move { identity(channel).join(request).await }
        })
        .await;
    let reply = match (reply, obstacle) {
        (Err(CliError::Refused(refusal)), Some(obstacle)) if refusal.is_invalid() => {
            return Err(obstacle);
        }
        (reply, _) => reply?,
    };
    token
        .verify_authority(&reply.ca_certificate)
        .map_err(|error| CliError::Broken(error.to_string()))?;
    let own = Credentials::from_pem(&reply.certificate, key.key()).map_err(|error| {
        CliError::Broken(format!(
            "the cluster sent a certificate that cannot be used: {error}"
        ))
    })?;
    match (reply.kind(), &reply.member) {
        (JoinKind::Member, Some(grant)) => member(session, &args, &reply, grant, &own),
        (JoinKind::Node, _) => node(session, &args, &reply, &own),
        (JoinKind::User, _) => user(session, &args, &reply, &own),
        _ => Err(CliError::Broken(
            "the cluster's answer says neither member, node nor user; update this program"
                .to_owned(),
        )),
    }
}

/// What a member is reached by, when this machine can become one.
fn as_member(files: &MemberFiles) -> Result<Vec<String>, CliError> {
    files.refuse_existing()?;
    files.refuse_unwritable()?;
    files.member_addresses()
}

fn member(
    session: &Session,
    args: &Args,
    reply: &JoinReply,
    grant: &MemberGrant,
    own: &Credentials,
) -> Result<(), CliError> {
    let keyring = Keyring::parse(&grant.secrets_keyring)
        .map_err(|error| CliError::Broken(error.to_string()))?;
    let keys = MemberKeys {
        authority: &reply.ca_certificate,
        authority_key: &grant.ca_key,
        own,
        keyring: &keyring,
    };
    let note = Bootstrap::Join {
        member_id: grant.member_id,
        cluster_id: grant.cluster_id.clone(),
        history_id: grant.history_id.clone(),
        witness: grant.witness,
    };
    args.member.write(&keys, &note)?;
    session.console.line(&format!(
        "{} joined cluster {} as member {}",
        args.member.member_name()?,
        reply.cluster_name,
        grant.member_id
    ))?;
    session.console.note(&format!(
        "next:
  1. start it:                          systemctl enable --now quorated   (or: quorated run --config {})
  2. see it catch up, on any member:    quorate cluster members
  3. let it vote:                       quorate cluster promote {}",
        args.member.member_config.display(),
        args.member.member_name()?
    ));
    Ok(())
}

fn node(
    session: &Session,
    args: &Args,
    reply: &JoinReply,
    own: &Credentials,
) -> Result<(), CliError> {
    let dir = &args.node_dir;
    let settings = json!({"name": own.peer().subject.node_name(), "endpoints": reply.endpoints});
    write_new(&dir.join("ca.crt"), &reply.ca_certificate, 0o644)?;
    write_new(&dir.join("node.key"), own.key_pem(), 0o600)?;
    write_new(&dir.join("node.crt"), own.chain_pem(), 0o644)?;
    write_new(
        &dir.join("node.yaml"),
        &quorate_crds::manifest::to_yaml(&settings),
        0o644,
    )?;
    session.console.line(&format!(
        "this host is {} of cluster {}; its identity is in {}",
        own.peer().subject.user(),
        reply.cluster_name,
        dir.display()
    ))
}

fn user(
    session: &Session,
    args: &Args,
    reply: &JoinReply,
    own: &Credentials,
) -> Result<(), CliError> {
    let mut file = session.config()?;
    let name = args
        .context_name
        .clone()
        .unwrap_or_else(|| reply.cluster_name.clone());
    let name = file.add(Context {
        name,
        endpoints: if reply.endpoints.is_empty() {
            args.servers
                .iter()
                .map(|server| with_port(server))
                .collect()
        } else {
            reply.endpoints.clone()
        },
        certificate_authority: reply.ca_certificate.clone(),
        client_certificate: own.chain_pem().to_owned(),
        client_key: own.key_pem().to_owned(),
    });
    file.save()?;
    session.console.line(&format!(
        "you are {} in cluster {}; the context {name} is the current one now",
        own.peer().subject.user(),
        reply.cluster_name
    ))
}
