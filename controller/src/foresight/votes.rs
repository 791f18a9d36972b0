//! What the loss of a host does to the quorum: a host may be a voter too.

use quorate_planner::Objects;
use quorate_store::{StoreStatus, View};
use serde_json::Value;

use crate::takeover::{Outlook, Voters};

/// The votes after a loss.
pub(super) struct Votes {
    /// For people.
    pub(super) text: String,
    /// Whether nothing can be decided then.
    pub(super) lost: bool,
}

/// The votes once `host` is lost; nothing when it has none.
pub(super) fn after_loss(
    status: &StoreStatus,
    view: &View,
    host: &str,
    fencing_works: bool,
) -> Option<Votes> {
    let voters = Voters::of(status, view);
    if !voters.are_on(host) {
        return None;
    }
    let left = voters.without(host, |member| {
        member.id == status.member_id || member.reachable != Some(false)
    });
    let rest = format!(
        "{host} has a vote: {} of {} votes would remain, {} are needed",
        left.len(),
        voters.count(),
        voters.needed()
    );
    let (text, lost) = match voters.outlook(&left) {
        Outlook::GoesOn(0) => (format!("{rest}; then no further voter may be lost"), false),
        Outlook::GoesOn(spare) => (format!("{rest}; then {spare} more may be lost"), false),
        Outlook::AfterFencing if fencing_works => (
            format!(
                "{rest}. Nothing is decided until the lost half is proven off; then the other half goes on"
            ),
            false,
        ),
        Outlook::AfterFencing => (nothing_decided(&rest), true),
        Outlook::NotProven(hosts) => (
            format!(
                "{} Nothing can prove off: {}",
                nothing_decided(&rest),
                hosts.join(", ")
            ),
            true,
        ),
        Outlook::Frozen(why) => (format!("{} {why}", nothing_decided(&rest)), true),
        Outlook::Stops => (nothing_decided(&rest), true),
    };
    Some(Votes { text, lost })
}

fn nothing_decided(rest: &str) -> String {
    format!(
        "{rest}. Nothing would be decided, and so nothing recovered, until another voter is back; a witness on a third machine \
         prevents that."
    )
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
