//! May storage write without a peer? DRBD's `fence-peer` asks, with I/O frozen.
//!
//! The desk decides nothing: it puts the question where the planner sees it, on the asker's record, and waits until the
//! log holds the answer. An answer that is not in the log would be a lie that DRBD's own quorum cannot make up for.

use std::time::Duration;

use quorate_crds::{DiskState, Node, NodePlan, NodeState, Volume};
use quorate_proto::host::v1::{PeerAnswer, PeerQuestion, peer_answer::Verdict};
use quorate_store::{View, WatchScope};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{
    ATTEMPTS, DeskError, HostDesk, check_incarnation, find, follow::records_of, kind, node_status,
    overtaken,
};
use crate::resource::Draft;

/// After this long the asker is told that nothing is decided yet, and asks again.
const PATIENCE: Duration = Duration::from_secs(20);

impl HostDesk {
    /// Answers once the log says that the peer cannot write, or after a while that it is not decided yet.
    ///
    /// # Errors
    /// When this member does not lead, or the question makes no sense.
    pub async fn ask_about_peer(
        &self,
        node: &str,
        question: PeerQuestion,
    ) -> Result<PeerAnswer, DeskError> {
        let deadline = Instant::now() + PATIENCE;
        self.put_question(node, &question).await?;
        loop {
            self.term()?;
            let view = self.fresh_view().await?;
            let (verdict, message) = verdict(&view, &question);
            let answer = PeerAnswer {
                verdict: verdict.into(),
                message,
            };
            let watch = self.store().watch(WatchScope::default(), view.revision());
            drop(view);
            let Ok(mut watch) = watch else { continue };
            if verdict != Verdict::Undecided {
                return Ok(answer);
            }
            match timeout_at(deadline, watch.next_batch()).await {
                Ok(Ok(_)) | Ok(Err(quorate_store::WatchError::Expired { .. })) => {}
                Ok(Err(error)) => return Err(DeskError::Unavailable(error.into())),
                Err(_) => return Ok(answer),
            }
        }
    }

    /// Puts the question on the asker's record of the volume, if it is not there already.
    async fn put_question(&self, node: &str, question: &PeerQuestion) -> Result<(), DeskError> {
        for _ in 0..ATTEMPTS {
            let term = self.term()?;
            let view = self.fresh_view().await?;
            let mut draft = Draft::new(&view, self.engine.sources());
            let nodes = kind("Node")?;
            let status = draft.get(nodes, node)?.map(node_status).unwrap_or_default();
            check_incarnation(node, &status, question.incarnation)?;
            let Some((name, _)) = replica_of(&view, node, &question.volume) else {
                return Err(DeskError::refused(format!(
                    "host {node} has no replica of volume {:?}",
                    question.volume
                )));
            };
            if replica_of(&view, &question.peer, &question.volume).is_none() {
                return Err(DeskError::refused(format!(
                    "host {:?} has no replica of volume {:?}",
                    question.peer, question.volume
                )));
            }
            draft.edit(kind("NodePlan")?, &name, |record| {
                if !record["status"].is_object() {
                    record["status"] = json!({});
                }
                record["status"]["incarnation"] = json!(question.incarnation);
                if !record["status"]["replica"].is_object() {
                    record["status"]["replica"] = json!({"node": node});
                }
                let asked = &mut record["status"]["replica"]["asksAbout"];
                if !asked.is_array() {
                    *asked = json!([]);
                }
                if let Some(peers) = asked.as_array_mut()
                    && !peers.contains(&json!(question.peer))
                {
                    peers.push(json!(question.peer));
                }
            })?;
            if self.commit(term, draft).await?.is_some() {
                return Ok(());
            }
        }
        Err(overtaken())
    }
}

fn verdict(view: &View, question: &PeerQuestion) -> (Verdict, String) {
    let PeerQuestion { volume, peer, .. } = question;
    let in_sync = find::<Volume>(view, "Volume", volume)
        .and_then(|volume| volume.status)
        .map(|status| status.in_sync)
        .unwrap_or_default();
    let status = find::<Node>(view, "Node", peer)
        .and_then(|node| node.status)
        .unwrap_or_default();
    let record = replica_of(view, peer, volume).map(|(_, record)| record);
    // A boot that has registered since then proves the former one dead, and holds nothing yet.
    let gone = status.state == Some(NodeState::Fenced)
        || record
            .as_ref()
            .is_some_and(|record| Some(record.spec.incarnation) < status.incarnation);
    let outdated = record.is_some_and(|record| is_outdated(&record, status.incarnation));
    let counts = in_sync.iter().any(|member| member.as_str() == peer);
    match (gone, outdated, counts) {
        (true, _, false) => (Verdict::Fenced, format!("host {peer} is confirmed off")),
        (_, true, false) => (
            Verdict::Outdated,
            format!("the replica of volume {volume} on host {peer} is outdated"),
        ),
        (true, ..) | (_, true, true) => (
            Verdict::Undecided,
            format!(
                "waiting until the replica on host {peer} is taken out of the in-sync set of volume {volume}"
            ),
        ),
        (false, false, _) => (
            Verdict::Undecided,
            format!(
                "waiting until host {peer} is confirmed off, or its replica of volume {volume} is outdated"
            ),
        ),
    }
}

/// Whether the host has been told to outdate its data, and has said since, in this boot, that it is: what it said before
/// may have been overtaken by its catching up. While the order stands, the planner takes nobody back into the set. Data
/// that lack something anyway need no order to be refused by everybody.
fn is_outdated(record: &NodePlan, incarnation: Option<u64>) -> bool {
    let Some(status) = &record.status else {
        return false;
    };
    let assigned = record.spec.assignment.as_ref();
    let assigned = assigned.and_then(|assigned| assigned.replica.as_ref());
    let disk = status.replica.as_ref().and_then(|replica| replica.disk);
    assigned.is_some_and(|assigned| assigned.outdate)
        && matches!(disk, Some(DiskState::Outdated | DiskState::Inconsistent))
        && status.incarnation == incarnation
        && status.observed_plan_generation >= Some(record.spec.plan_generation)
}

fn replica_of(view: &View, node: &str, volume: &str) -> Option<(String, NodePlan)> {
    records_of(view, node).into_iter().find(|(_, record)| {
        record.spec.assignment.as_ref().is_some_and(|assignment| {
            assignment.object.kind == "Volume"
                && assignment.object.name.as_str() == volume
                && assignment.replica.is_some()
        })
    })
}
