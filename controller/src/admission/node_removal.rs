//! A Node whose host still holds something is not deleted: nobody would know any more what runs there.

use quorate_crds::{Cluster, Node, NodeState, Volume};
use quorate_store::{Bucket, Condition, Key, View};
use serde::de::DeserializeOwned;

use crate::{
    error::{ApiError, Subject},
    hosts,
};

/// How many of the things that it holds a refusal names.
const SHOWN: usize = 5;

/// Refuses the deletion of a Node that is not empty. What the answer relied on is returned.
pub(super) fn check(view: &View, name: &str) -> Result<Vec<Condition>, ApiError> {
    let mut conditions = vec![];
    for plural in ["nodeplans", "volumes", "clusters"] {
        let bucket = Bucket::new(plural);
        let since = view.bucket_revision(&bucket);
        conditions.push(Condition::BucketUnchangedSince(bucket, since));
    }
    let obstacles: Vec<String> = [member(view, name), held(view, name), last_copy(view, name)]
        .into_iter()
        .flatten()
        .collect();
    if obstacles.is_empty() {
        return Ok(conditions);
    }
    let subject = Subject::new("nodes", name);
    Err(ApiError::conflict(subject, obstacles.join("; ")))
}

/// What its host may still hold. One that is confirmed off, or has left, holds nothing.
fn held(view: &View, name: &str) -> Option<String> {
    let stored = view.get(&Key::new(Bucket::new("nodes"), name))?;
    let node: Node = serde_json::from_slice(&stored.value).ok()?;
    let status = node.status.unwrap_or_default();
    if matches!(status.state, Some(NodeState::Fenced | NodeState::Left)) {
        return None;
    }
    let held = hosts::held_by(view, name, status.incarnation.unwrap_or(0));
    (!held.is_empty()).then(|| {
        format!(
            "its host still holds {}; `quorate node withdraw {name}` empties it, and of one that is off for good \
             `quorate node confirm-fenced {name}` says so",
            shown(&held)
        )
    })
}

/// Volumes of which no other host has every write.
fn last_copy(view: &View, name: &str) -> Option<String> {
    let only_there = all::<Volume>(view, "volumes")
        .filter(|(_, volume)| {
            let in_sync = volume.status.iter().flat_map(|status| &status.in_sync);
            let mut elsewhere = in_sync.clone().filter(|member| member.as_str() != name);
            in_sync.clone().any(|member| member.as_str() == name) && elsewhere.next().is_none()
        })
        .map(|(volume, _)| format!("volume/{volume}"));
    let only_there: Vec<String> = only_there.collect();
    (!only_there.is_empty()).then(|| {
        format!(
            "its host keeps the only copy in sync of {}; wait until another replica has caught up, or delete the volume",
            shown(&only_there)
        )
    })
}

/// The member of the store that runs there.
fn member(view: &View, name: &str) -> Option<String> {
    let mut clusters = all::<Cluster>(view, "clusters");
    let (_, cluster) = clusters.next()?;
    let mut members = cluster.spec.members.iter();
    let own = members.find(|member| {
        let node = member.node.as_ref().unwrap_or(&member.name);
        node.as_str() == name
    })?;
    Some(format!(
        "member {} of the cluster runs there; take it out of the cluster first, and out of spec.members of the Cluster",
        own.name
    ))
}

fn all<T: DeserializeOwned>(view: &View, plural: &str) -> impl Iterator<Item = (String, T)> {
    let found = view.list(&Bucket::new(plural), None, usize::MAX);
    found.into_iter().filter_map(|(key, stored)| {
        let object = serde_json::from_slice(&stored.value).ok()?;
        Some((key.name.to_string(), object))
    })
}

fn shown(names: &[String]) -> String {
    let named = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
