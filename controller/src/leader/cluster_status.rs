//! `Cluster.status`: what the cluster is, as its leader sees it.

use quorate_crds::{
    Cluster, MemberStatus, Name, Node, NodeMode, NodeState, ObservedMemberRole, QuorumStatus, Time,
};
use quorate_planner::Reason;
use quorate_store::{Bucket, Role, StoreStatus, View};
use serde_json::{Value, json};

use crate::{
    conditions,
    error::ApiError,
    resource::{Draft, find_kind},
    takeover::next_loss,
};

/// How many of the missing hosts a message names.
const NAMED: usize = 8;

/// Writes what is news about the cluster into `draft`.
pub(super) fn settle<'n>(
    draft: &mut Draft<'_>,
    nodes: impl Iterator<Item = &'n Node>,
    store: &StoreStatus,
    now: &Time,
) -> Result<(), ApiError> {
    let clusters = find_kind("Cluster")?;
    let hosts = Hosts::of(nodes);
    let bucket = Bucket::new(clusters.plural);
    for (key, _) in draft.view().list(&bucket, None, 1) {
        let quorum = quorum(store, draft.view());
        draft.edit(clusters, &key.name, |object| {
            put(object, &hosts, store, quorum, now);
        })?;
    }
    Ok(())
}

/// The hosts, counted.
struct Hosts {
    all: usize,
    online: usize,
    missing: Vec<String>,
}

impl Hosts {
    fn of<'n>(nodes: impl Iterator<Item = &'n Node>) -> Self {
        let mut hosts = Self {
            all: 0,
            online: 0,
            missing: Vec::new(),
        };
        for node in nodes {
            hosts.all += 1;
            let state = node.status.as_ref().and_then(|status| status.state);
            if state == Some(NodeState::Online) {
                hosts.online += 1;
            } else if !matches!(node.spec.mode, NodeMode::Withdrawn | NodeMode::Maintenance) {
                let state =
                    state.map_or("never registered".to_owned(), |state| format!("{state:?}"));
                let name = node.metadata.name.clone().unwrap_or_default();
                hosts.missing.push(format!("{name} ({state})"));
            }
        }
        hosts
    }
}

fn put(object: &mut Value, hosts: &Hosts, store: &StoreStatus, quorum: QuorumStatus, now: &Time) {
    let Ok(cluster) = serde_json::from_value::<Cluster>(object.clone()) else {
        return;
    };
    let leader = store
        .members
        .iter()
        .find(|member| Some(member.id) == store.leader);
    let present = quorum.present.unwrap_or(0);
    let can_lose = quorum.can_lose.unwrap_or(0);
    let fields = json!({
        "observedGeneration": cluster.metadata.generation,
        "id": store.cluster_id,
        "historyId": store.history_id,
        "leader": leader.map(|leader| leader.name.clone()),
        "term": store.term,
        "featureLevel": store.feature_level,
        "nodesOnline": format!("{}/{}", hosts.online, hosts.all),
        "quorum": quorum,
        "members": members(&cluster, store),
    });
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    for (field, value) in fields.as_object().into_iter().flatten() {
        object["status"][field] = value.clone();
    }
    let (reason, why) = if can_lose > 0 {
        (
            Reason::QuorumPresent,
            format!("{present} votes are there, and {can_lose} more may go"),
        )
    } else {
        (
            Reason::NoSpareMember,
            format!("{present} votes are there, and none may go"),
        )
    };
    conditions::set(object, "Quorate", true, reason, &why, now);
    if cluster.spec.maintenance {
        let why = "nothing is started, stopped, moved or fenced";
        conditions::set(
            object,
            "Maintenance",
            true,
            Reason::ClusterInMaintenance,
            why,
            now,
        );
    } else {
        conditions::clear(object, "Maintenance");
    }
    if hosts.missing.is_empty() {
        let why = format!("{} of {} hosts are online", hosts.online, hosts.all);
        conditions::set(object, "Ready", true, Reason::AllWell, &why, now);
    } else {
        let more = hosts.missing.len().saturating_sub(NAMED);
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let named = hosts.missing[..hosts.missing.len().min(NAMED)].join(", ");
        let why = format!("not online: {named}{rest}");
        conditions::set(object, "Ready", false, Reason::HostsMissing, &why, now);
    }
}

fn quorum(store: &StoreStatus, view: &View) -> QuorumStatus {
    let voters = || {
        store
            .members
            .iter()
            .filter(|member| member.role == Role::Voter)
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let all = count(voters().count());
    let present = count(
        voters()
            .filter(|voter| voter.reachable != Some(false))
            .count(),
    );
    let needed = all / 2 + 1;
    let can_lose = present.saturating_sub(needed);
    QuorumStatus {
        summary: Some(format!("{present}/{needed}")),
        voters: Some(all),
        needed: Some(needed),
        present: Some(present),
        can_lose: Some(can_lose),
        next_loss: Some(next_loss(store, view, |voter| {
            voter.reachable != Some(false)
        })),
    }
}

fn members(cluster: &Cluster, store: &StoreStatus) -> Vec<MemberStatus> {
    store
        .members
        .iter()
        .map(|member| {
            let declared = cluster
                .spec
                .members
                .iter()
                .find(|declared| declared.name.as_str() == member.name);
            MemberStatus {
                name: Name::from(member.name.as_str()),
                id: Some(member.id),
                role: Some(match (member.role, member.witness) {
                    (Role::Learner, _) => ObservedMemberRole::Learner,
                    (Role::Voter, true) => ObservedMemberRole::Witness,
                    (Role::Voter, false) => ObservedMemberRole::Voter,
                }),
                node: declared.and_then(|declared| declared.node.clone()),
                addresses: member.addresses.clone(),
                reachable: member.reachable,
                // It moves all the time; whoever asks for the cluster's status is told.
                lag: None,
            }
        })
        .collect()
}
