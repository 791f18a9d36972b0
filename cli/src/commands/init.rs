//! `quorate init`: a new cluster, with this machine as its first member.

use std::{path::Path, sync::Arc};

use quorate_identity::{Authority, Bootstrap, Credentials, Keyring, Subject, SystemClock};
use rustls::crypto::ring::default_provider;

use crate::{
    config::Context,
    error::CliError,
    member_files::{MemberFiles, MemberKeys},
    session::Session,
};

/// The id of the member that founds a cluster; the cluster gives out the later ones.
const FIRST_MEMBER: u64 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What people call the cluster; also the name of the new context
    #[arg(long, value_name = "NAME", default_value = "quorate")]
    cluster_name: String,
    #[command(flatten)]
    member: MemberFiles,
    /// This member votes and runs nothing
    #[arg(long)]
    witness: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    quorate_schema::names::check_name(&args.cluster_name).map_err(|error| {
        CliError::usage(format!("--cluster-name {:?}: {error}", args.cluster_name))
    })?;
    let member = &args.member;
    member.refuse_existing()?;
    member.refuse_unwritable()?;
    let mut contexts = session.config()?;
    if contexts
        .config
        .contexts
        .iter()
        .any(|context| context.name == args.cluster_name)
    {
        return Err(CliError::usage(format!(
            "{} has a context {:?} already, with the keys of another cluster; choose another --cluster-name, or forget it with \
             `quorate config delete-context {}`",
            contexts.path.display(),
            args.cluster_name,
            args.cluster_name
        )));
    }
    let name = member.member_name()?;
    let addresses = member.member_addresses()?;
    let broken =
        |error: &dyn std::fmt::Display| CliError::Broken(format!("{error}; nothing was written"));
    let authority = Authority::create(&args.cluster_name, Arc::new(SystemClock))
        .map_err(|error| broken(&error))?;
    let own = Credentials::issue(&authority, &Subject::member(FIRST_MEMBER), &addresses)
        .map_err(|error| broken(&error))?;
    let admin =
        Credentials::issue(&authority, &Subject::admin(), &[]).map_err(|error| broken(&error))?;
    let keyring = Keyring::generate().map_err(|error| broken(&error))?;
    let note = Bootstrap::Found {
        cluster_name: args.cluster_name.clone(),
        cluster_id: random_uuid()?,
        history_id: random_uuid()?,
        witness: args.witness,
    };
    let keys = MemberKeys {
        authority: &authority.certificate_pem(),
        authority_key: &authority.key_pem(),
        own: &own,
        keyring: &keyring,
    };
    // The context first: without the administrator's key the new cluster could not be used.
    let context = contexts.add(Context {
        name: args.cluster_name.clone(),
        endpoints: addresses.clone(),
        certificate_authority: authority.certificate_pem(),
        client_certificate: admin.chain_pem().to_owned(),
        client_key: admin.key_pem().to_owned(),
    });
    contexts.save()?;
    member.write(&keys, &note)?;
    session.console.line(&format!(
        "cluster {} founded, first member {name} at {}",
        args.cluster_name,
        addresses.join(", ")
    ))?;
    if context != args.cluster_name {
        session.console.note(&format!(
            "another cluster has the context {} already; this one's is {context}, and is the current one now",
            args.cluster_name
        ));
    }
    session
        .console
        .note(&next_steps(&member.member_config, &contexts.path));
    Ok(())
}

fn next_steps(member_config: &Path, contexts: &Path) -> String {
    let start = if member_config == Path::new("/etc/quorate/quorated.yaml") {
        "systemctl enable --now quorated".to_owned()
    } else {
        format!("quorated run --config {}", member_config.display())
    };
    format!(
        "next:
  1. start it:               {start}
  2. look at it:             quorate cluster status
  3. bring further members:  quorate cluster join-token create member
The administrator's key is in {}: keep it safe, there is no other yet.",
        contexts.display()
    )
}

/// A random UUID (version 4).
fn random_uuid() -> Result<String, CliError> {
    let mut bytes = [0_u8; 16];
    default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| {
            CliError::Broken("the system gave no random numbers; nothing was written".to_owned())
        })?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_uuid_has_the_form_of_one() {
        let uuid = random_uuid().expect("random numbers");
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert_ne!(uuid, random_uuid().expect("random numbers"));
    }
}
