//! Going in order: a host that holds nothing may go, and is not fenced.

use quorate_crds::{NodePlan, NodeState, Time};
use quorate_planner::Reason;
use quorate_proto::host::v1::{LeaveReply, LeaveRequest};
use quorate_store::View;
use serde_json::json;

use super::{
    ATTEMPTS, DeskError, HostDesk, check_incarnation, follow::records_of, kind, node_status,
    overtaken, register::event,
};
use crate::{conditions, resource::Draft};

/// How many of the things that it holds a refusal names.
const NAMED: usize = 8;

impl HostDesk {
    /// Lets a host go that holds nothing any more.
    ///
    /// # Errors
    /// When this member does not lead, or the host holds something; what, is said.
    pub async fn leave(&self, node: &str, request: LeaveRequest) -> Result<LeaveReply, DeskError> {
        for _ in 0..ATTEMPTS {
            let term = self.term()?;
            let view = self.fresh_view().await?;
            let mut draft = Draft::new(&view, self.engine.sources());
            let nodes = kind("Node")?;
            let status = draft.get(nodes, node)?.map(node_status).unwrap_or_default();
            check_incarnation(node, &status, request.incarnation)?;
            if status.state == Some(NodeState::Left) {
                return Ok(LeaveReply {});
            }
            let held = held_by(&view, node, request.incarnation);
            if !held.is_empty() {
                let more = held.len().saturating_sub(NAMED);
                let rest = if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                };
                return Err(DeskError::not_now(format!(
                    "host {node} still holds {}{rest}; set `mode: Withdrawn` on it and wait until everything is released",
                    held[..held.len().min(NAMED)].join(", ")
                )));
            }
            let now = Time::from(self.engine.sources().clock.now());
            let why = "it left in order and holds nothing";
            draft.edit(nodes, node, |object| {
                object["status"]["state"] = json!(NodeState::Left);
                object["status"]["since"] = json!(now);
                conditions::set(object, "Ready", false, Reason::LeftInOrder, why, &now);
            })?;
            draft.tell(&event(node, "NodeLeft", why, &now))?;
            // Whatever is assigned to it changes its head: nothing can have been given to it meanwhile.
            draft.rely_on(kind("NodePlan")?, node)?;
            if self.commit(term, draft).await?.is_some() {
                return Ok(LeaveReply {});
            }
        }
        Err(overtaken())
    }
}

/// What that incarnation of the host may still hold.
pub(crate) fn held_by(view: &View, node: &str, incarnation: u64) -> Vec<String> {
    records_of(view, node)
        .iter()
        .filter_map(|(_, record)| holds(record, incarnation))
        .collect()
}

/// What the record's host may still hold by it. Networks and pools stay up on a host that goes: nothing about them can be
/// active twice.
pub(super) fn holds(record: &NodePlan, incarnation: u64) -> Option<String> {
    let assignment = record.spec.assignment.as_ref()?;
    if matches!(assignment.object.kind.as_str(), "Network" | "StoragePool") {
        return None;
    }
    let status = record.status.as_ref();
    let released = !assignment.active
        && status.is_some_and(|status| {
            status.released == Some(true)
                && status.incarnation == Some(incarnation)
                && status.observed_plan_generation >= Some(record.spec.plan_generation)
        });
    let former = record.spec.incarnation != incarnation;
    (!released && !former).then(|| format!("{}/{}", assignment.object.kind, assignment.object.name))
}
