//! Changes to the membership: promote, remove, transfer, raise the feature level.

use quorate_proto::api::v1::{
    MemberReply, MemberStatus, PromoteRequest, RaiseFeatureLevelRequest, RemoveRequest,
    TransferLeaderRequest,
};

use super::status;
use crate::{
    client::{Retry, cluster},
    error::CliError,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Member {
    /// The member's name or id
    #[arg(value_name = "MEMBER")]
    member: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Removal {
    /// The member's name or id
    #[arg(value_name = "MEMBER")]
    member: String,
    /// Remove it although the cluster could lose no further voter afterwards
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Transfer {
    /// The new leader's name or id; without it, the most up-to-date voter
    #[arg(value_name = "MEMBER")]
    member: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct FeatureLevel {
    /// The level; without it, the highest that all members support
    #[arg(value_name = "LEVEL")]
    level: Option<u32>,
}

pub(super) async fn promote(session: &Session, args: &Member) -> Result<(), CliError> {
    let member_id = find(&status::ask(session).await?.members, &args.member)?.id;
    let client = session.client().await?;
    let reply: MemberReply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(PromoteRequest { member_id });
            async move { cluster(channel).promote(request).await }
        })
        .await?;
    done(session, &format!("{} votes now", args.member), &reply)
}

pub(super) async fn remove(session: &Session, args: &Removal) -> Result<(), CliError> {
    let now = status::ask(session).await?;
    let member = find(&now.members, &args.member)?;
    if now.can_lose == 0 && member.reachable != Some(false) && now.members.len() > 1 && !args.force
    {
        return Err(CliError::usage(format!(
            "without {} the cluster could not lose any further voter, and one that does not answer would stop it; bring the \
             missing members back first, or repeat with --force",
            member.name
        )));
    }
    let member_id = member.id;
    let client = session.client().await?;
    let reply: MemberReply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(RemoveRequest { member_id });
            async move { cluster(channel).remove(request).await }
        })
        .await?;
    done(
        session,
        &format!(
            "{} is no member any more; it can come back only as a new one, by a new token",
            args.member
        ),
        &reply,
    )
}

pub(super) async fn transfer(session: &Session, args: &Transfer) -> Result<(), CliError> {
    let member_id = match &args.member {
        Some(wanted) => find(&status::ask(session).await?.members, wanted)?.id,
        None => 0,
    };
    let client = session.client().await?;
    let reply: MemberReply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(TransferLeaderRequest { member_id });
            async move { cluster(channel).transfer_leader(request).await }
        })
        .await?;
    let leader = reply
        .members
        .iter()
        .find(|member| member.is_leader)
        .map_or("nobody yet", |leader| &leader.name);
    done(session, &format!("the leader is {leader}"), &reply)
}

pub(super) async fn raise_feature_level(
    session: &Session,
    args: &FeatureLevel,
) -> Result<(), CliError> {
    let level = args.level.unwrap_or_default();
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(RaiseFeatureLevelRequest { level });
            async move { cluster(channel).raise_feature_level(request).await }
        })
        .await?;
    session
        .console
        .line(&format!("the feature level is {}", reply.feature_level))
}

fn done(session: &Session, sentence: &str, reply: &MemberReply) -> Result<(), CliError> {
    session.console.note(sentence);
    status::print_members(
        session,
        &reply.members,
        &crate::output::format::Format::Table,
    )
}

fn find<'a>(members: &'a [MemberStatus], wanted: &str) -> Result<&'a MemberStatus, CliError> {
    let mut named = members.iter().filter(|member| member.name == wanted);
    match (named.next(), named.next()) {
        (Some(member), None) => return Ok(member),
        (Some(_), Some(_)) => {
            return Err(CliError::usage(format!(
                "several members are called {wanted:?}; take the id from `quorate cluster members`"
            )));
        }
        (None, _) => {}
    }
    members
        .iter()
        .find(|member| member.id.to_string() == wanted)
        .ok_or_else(|| {
            let known: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            CliError::usage(format!(
                "there is no member {wanted:?}; there are {}",
                known.join(", ")
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_goes_by_its_name_or_its_id() {
        let member = |id: u64, name: &str| MemberStatus {
            id,
            name: name.to_owned(),
            ..MemberStatus::default()
        };
        let members = [member(1, "an01"), member(2, "an02"), member(4, "an02")];
        assert_eq!(find(&members, "an01").expect("by name").id, 1);
        assert_eq!(find(&members, "4").expect("by id").id, 4);
        assert!(
            find(&members, "an02")
                .expect_err("two of them")
                .to_string()
                .contains("several")
        );
        assert!(
            find(&members, "an03")
                .expect_err("nobody")
                .to_string()
                .contains("there are an01, an02")
        );
    }
}
