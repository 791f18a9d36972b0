//! What the loss of a host does to the quorum: a host may be a voter too.

use quorate_planner::Objects;
use quorate_store::{Role, StoreStatus};
use serde_json::Value;

/// The votes after a loss.
pub(super) struct Votes {
    /// For people.
    pub(super) text: String,
    /// Whether nothing can be decided then.
    pub(super) lost: bool,
}

/// The votes once `host` is lost; nothing when it has none.
pub(super) fn after_loss(status: &StoreStatus, objects: &Objects, host: &str) -> Option<Votes> {
    let voters: Vec<&str> = status
        .members
        .iter()
        .filter(|member| member.role == Role::Voter)
        .map(|member| member.name.as_str())
        .collect();
    if !voters.iter().any(|name| machine_of(objects, name) == host) {
        return None;
    }
    let present = status
        .members
        .iter()
        .filter(|member| member.role == Role::Voter)
        .filter(|member| member.id == status.member_id || member.reachable != Some(false))
        .filter(|member| machine_of(objects, &member.name) != host)
        .count();
    let needed = voters.len() / 2 + 1;
    let lost = present < needed;
    let rest = format!(
        "{host} has a vote: {present} of {} votes would remain, {needed} are needed",
        voters.len()
    );
    Some(Votes {
        text: match (lost, present - needed.min(present)) {
            (true, _) => format!(
                "{rest}. Nothing would be decided, and so nothing recovered, until another voter is back; a witness \
                 on a third machine prevents that"
            ),
            (false, 0) => format!("{rest}; then no further voter may be lost"),
            (false, spare) => format!("{rest}; then {spare} more may be lost"),
        },
        lost,
    })
}

/// The host that is the same machine as a member.
fn machine_of<'a>(objects: &'a Objects, member: &'a str) -> &'a str {
    let clusters = objects.iter().filter(|((kind, _), _)| kind == "Cluster");
    clusters
        .filter_map(|(_, cluster)| cluster.pointer("/spec/members")?.as_array())
        .flatten()
        .find(|declared| declared["name"] == member)
        .and_then(|declared| declared["node"].as_str())
        .filter(|node| !node.is_empty())
        .unwrap_or(member)
}

/// Cluster-wide settings that keep the planner from deciding anything, for people.
pub(super) fn held_back(objects: &Objects) -> Option<String> {
    let maintained = objects.iter().any(|((kind, _), cluster)| {
        kind == "Cluster" && cluster.pointer("/spec/maintenance") == Some(&Value::Bool(true))
    });
    maintained.then(|| {
        "the whole cluster is in maintenance (Cluster.spec.maintenance): nothing is decided"
            .to_owned()
    })
}
