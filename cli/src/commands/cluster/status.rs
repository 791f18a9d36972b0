//! `quorate cluster status` and `quorate cluster members`.

use quorate_proto::api::v1::{MemberRole, MemberStatus, StatusReply, StatusRequest};
use serde_json::{Value, json};

use crate::{
    client::{Retry, cluster},
    console::{Tone, paint},
    error::CliError,
    output::{
        age::NONE,
        format::Format,
        objects::whole,
        table::{Cell, Table},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// table, yaml, json or jsonpath=TEMPLATE
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    output: Format,
}

pub(super) async fn status(session: &Session, args: &Args) -> Result<(), CliError> {
    let reply = ask(session).await?;
    match &args.output {
        Format::Table | Format::Wide => session
            .console
            .print(&text(&reply, session.console.color())),
        format => session.console.print(&whole(&to_json(&reply), format)),
    }
}

pub(super) async fn members(session: &Session, args: &Args) -> Result<(), CliError> {
    let reply = ask(session).await?;
    print_members(session, &reply.members, &args.output)
}

pub(super) fn print_members(
    session: &Session,
    members: &[MemberStatus],
    output: &Format,
) -> Result<(), CliError> {
    match output {
        Format::Table | Format::Wide => session
            .console
            .print(&members_table(members, session.console.color())),
        format => session.console.print(&whole(
            &Value::from(members.iter().map(member_json).collect::<Vec<_>>()),
            format,
        )),
    }
}

pub(in crate::commands) async fn ask(session: &Session) -> Result<StatusReply, CliError> {
    let client = session.client().await?;
    client
        .call(Retry::Safe, |channel| {
            let request = client.request(StatusRequest {});
            async move { cluster(channel).status(request).await }
        })
        .await
}

/// The state of a cluster as people read it.
pub(in crate::commands) fn text(reply: &StatusReply, color: bool) -> String {
    let mut out = String::new();
    let mut line =
        |label: &str, value: &str| out.push_str(&format!("{:<11} {value}\n", format!("{label}:")));
    line(
        "Cluster",
        &format!("{} ({})", reply.cluster_name, reply.cluster_id),
    );
    line("Quorum", &quorum(reply, color));
    if !reply.next_loss.is_empty() {
        line("Next loss", &reply.next_loss);
    }
    if !reply.without_quorum.is_empty() {
        let own = name_of(reply, reply.member_id);
        line(
            "Alone",
            &paint(
                color,
                Tone::Warn,
                &format!("member {own} {}", reply.without_quorum),
            ),
        );
    }
    if !reply.returning.is_empty() {
        line(
            "Returning",
            &format!(
                "{}: taken out when proven off, votes again when it is back and has caught up",
                reply.returning.join(", ")
            ),
        );
    }
    line("Leader", &leader(reply, color));
    line(
        "Answers",
        &format!(
            "member {}, {}, version {}",
            name_of(reply, reply.member_id),
            progress(reply),
            reply.version
        ),
    );
    line(
        "Contents",
        &format!(
            "{} objects, revision {}, watches begin after {}",
            reply.object_count, reply.revision, reply.compacted_revision
        ),
    );
    line(
        "History",
        &format!(
            "{}, feature level {}",
            reply.history_id, reply.feature_level
        ),
    );
    if !reply.storage_problem.is_empty() {
        line("Storage", &paint(color, Tone::Bad, &reply.storage_problem));
    }
    out.push('\n');
    out.push_str(&members_table(&reply.members, color));
    out
}

pub(in crate::commands) fn quorum(reply: &StatusReply, color: bool) -> String {
    let voters = reply
        .members
        .iter()
        .filter(|member| member.role() == MemberRole::Voter)
        .count();
    if !reply.has_quorum {
        let no = paint(color, Tone::Bad, "LOST");
        return format!(
            "{no}: {} of {voters} votes are needed; nothing can be changed, `--local` still reads",
            reply.votes_needed
        );
    }
    let (tone, spare) = match reply.can_lose {
        0 => (Tone::Warn, "no voter may be lost".to_owned()),
        1 => (Tone::Good, "one voter may be lost".to_owned()),
        several => (Tone::Good, format!("{several} voters may be lost")),
    };
    format!(
        "{}, {} of {voters} votes are there, {} are needed, {spare}",
        paint(color, tone, "yes"),
        reply.votes_present,
        reply.votes_needed
    )
}

pub(in crate::commands) fn leader(reply: &StatusReply, color: bool) -> String {
    match reply.leader_id {
        0 => paint(color, Tone::Bad, "none is known"),
        id => format!("{}, term {}", name_of(reply, id), reply.term),
    }
}

fn name_of(reply: &StatusReply, id: u64) -> String {
    match reply.members.iter().find(|member| member.id == id) {
        Some(member) => format!("{} (id {id})", member.name),
        None => format!("id {id}"),
    }
}

fn progress(reply: &StatusReply) -> String {
    match reply.last_log_index.saturating_sub(reply.applied_index) {
        0 => format!("all {} log entries applied", reply.applied_index),
        behind => format!("{behind} log entries not applied yet"),
    }
}

fn members_table(members: &[MemberStatus], color: bool) -> String {
    let headers = [
        "ID",
        "NAME",
        "ROLE",
        "REACHABLE",
        "LAG",
        "LEVEL",
        "ADDRESSES",
    ]
    .map(str::to_owned)
    .to_vec();
    let rows: Vec<Vec<Cell>> = members
        .iter()
        .map(|member| {
            let reachable = match member.reachable {
                Some(true) => Cell::toned("yes", Tone::Good),
                Some(false) => Cell::toned("no", Tone::Bad),
                None => Cell::from("?"),
            };
            vec![
                member.id.to_string().into(),
                member.name.as_str().into(),
                role(member).into(),
                reachable,
                member
                    .lag
                    .map_or_else(|| NONE.to_owned(), |lag| lag.to_string())
                    .into(),
                member.supported_feature_level.to_string().into(),
                member.addresses.join(",").into(),
            ]
        })
        .collect();
    Table::new(headers, true, color).rows(&rows)
}

fn role(member: &MemberStatus) -> String {
    let role = match member.role() {
        MemberRole::Voter if member.is_leader => "leader",
        MemberRole::Voter => "voter",
        MemberRole::Learner => "learner",
        MemberRole::Unspecified => "unknown",
    };
    if member.witness {
        format!("{role}, witness")
    } else {
        role.to_owned()
    }
}

fn to_json(reply: &StatusReply) -> Value {
    json!({
        "clusterName": reply.cluster_name,
        "clusterId": reply.cluster_id,
        "historyId": reply.history_id,
        "memberId": reply.member_id,
        "leaderId": reply.leader_id,
        "term": reply.term,
        "revision": reply.revision,
        "compactedRevision": reply.compacted_revision,
        "lastLogIndex": reply.last_log_index,
        "appliedIndex": reply.applied_index,
        "featureLevel": reply.feature_level,
        "hasQuorum": reply.has_quorum,
        "votesNeeded": reply.votes_needed,
        "canLose": reply.can_lose,
        "votesPresent": reply.votes_present,
        "nextLoss": reply.next_loss,
        "withoutQuorum": reply.without_quorum,
        "returning": reply.returning,
        "version": reply.version,
        "storageProblem": reply.storage_problem,
        "objectCount": reply.object_count,
        "members": reply.members.iter().map(member_json).collect::<Vec<_>>(),
    })
}

fn member_json(member: &MemberStatus) -> Value {
    json!({
        "id": member.id,
        "name": member.name,
        "addresses": member.addresses,
        "role": role(member),
        "witness": member.witness,
        "isLeader": member.is_leader,
        "reachable": member.reachable,
        "lag": member.lag,
        "supportedFeatureLevel": member.supported_feature_level,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster_of_three() -> StatusReply {
        let member = |id: u64, name: &str, witness: bool| MemberStatus {
            id,
            name: name.to_owned(),
            addresses: vec![format!("{name}.bcn:7443"), format!("{name}.sn:7443")],
            role: MemberRole::Voter.into(),
            witness,
            is_leader: id == 2,
            reachable: Some(id != 3),
            lag: (id != 2).then_some(0),
            supported_feature_level: 1,
        };
        StatusReply {
            cluster_name: "anvil".to_owned(),
            cluster_id: "c-1".to_owned(),
            history_id: "h-1".to_owned(),
            member_id: 1,
            leader_id: 2,
            term: 4,
            revision: 120,
            compacted_revision: 20,
            last_log_index: 130,
            applied_index: 130,
            feature_level: 1,
            members: vec![
                member(1, "an01", false),
                member(2, "an02", false),
                member(3, "third", true),
            ],
            has_quorum: true,
            votes_needed: 2,
            can_lose: 0,
            version: "0.1.0".to_owned(),
            storage_problem: String::new(),
            object_count: 42,
            votes_present: 2,
            next_loss:
                "the cluster stops: nothing is started or recovered until a majority is back"
                    .to_owned(),
            without_quorum: String::new(),
            returning: Vec::new(),
        }
    }

    #[test]
    fn the_state_of_a_cluster_reads_from_the_most_to_the_least_important() {
        let expected = "\
Cluster:    anvil (c-1)
Quorum:     yes, 2 of 3 votes are there, 2 are needed, no voter may be lost
Next loss:  the cluster stops: nothing is started or recovered until a majority is back
Leader:     an02 (id 2), term 4
Answers:    member an01 (id 1), all 130 log entries applied, version 0.1.0
Contents:   42 objects, revision 120, watches begin after 20
History:    h-1, feature level 1

ID   NAME    ROLE             REACHABLE   LAG      LEVEL   ADDRESSES
1    an01    voter            yes         0        1       an01.bcn:7443,an01.sn:7443
2    an02    leader           yes         <none>   1       an02.bcn:7443,an02.sn:7443
3    third   voter, witness   no          0        1       third.bcn:7443,third.sn:7443
";
        assert_eq!(text(&cluster_of_three(), false), expected);
    }

    #[test]
    fn a_lost_quorum_says_what_still_works() {
        let reply = StatusReply {
            has_quorum: false,
            leader_id: 0,
            ..cluster_of_three()
        };
        let text = text(&reply, false);
        assert!(text.contains("Quorum:     LOST: 2 of 3 votes are needed; nothing can be changed, `--local` still reads"), "{text}");
        assert!(text.contains("Leader:     none is known"), "{text}");
    }

    #[test]
    fn a_pair_says_what_it_does_and_who_returns() {
        let reply = StatusReply {
            has_quorum: false,
            without_quorum: "is fencing an02".to_owned(),
            next_loss: String::new(),
            returning: vec!["an02".to_owned()],
            ..cluster_of_three()
        };
        let text = text(&reply, false);
        assert!(
            text.contains("Alone:      member an01 (id 1) is fencing an02\n"),
            "{text}"
        );
        assert!(text.contains("Returning:  an02: taken out"), "{text}");
        assert!(!text.contains("Next loss"), "{text}");
    }
}
