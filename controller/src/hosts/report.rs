//! What hosts say about their records and themselves, written in one transaction per report, and only where it is news.

use quorate_crds::NodePlanStatus;
use quorate_proto::host::v1::{RecordReport, ReportReply, ReportRequest};
use serde_json::json;
use tokio::time::Instant;

use super::{
    ATTEMPTS, DeskError, HostDesk, check_incarnation, facts::Facts, kind, node_status, overtaken,
};
use crate::resource::Draft;

impl HostDesk {
    /// Takes a report.
    ///
    /// # Errors
    /// When this member does not lead, or another boot of the host counts.
    pub async fn report(
        &self,
        node: &str,
        request: ReportRequest,
    ) -> Result<ReportReply, DeskError> {
        let facts = Facts::read(&request.facts)?;
        let reports = request
            .records
            .iter()
            .map(|report| read(report, &request))
            .collect::<Result<Vec<_>, _>>()?;
        // What it reports it has learnt from the log: this member's state is new enough, or the conditions say no.
        let mut view = self.store().view();
        for _ in 0..ATTEMPTS {
            let term = self.term()?;
            let mut draft = Draft::new(&view, self.engine.sources());
            let nodes = kind("Node")?;
            let status = draft.get(nodes, node)?.map(node_status).unwrap_or_default();
            check_incarnation(node, &status, request.incarnation)?;
            let mut unknown = Vec::new();
            for (name, said) in &reports {
                if !put(&mut draft, node, name, said)? {
                    unknown.push(name.clone());
                }
            }
            if let Some(facts) = &facts
                && status.report <= Some(request.number)
            {
                draft.edit(nodes, node, |object| facts.put_into(object, request.number))?;
            }
            // A fenced host's words count no more: its state is part of what this rests on.
            draft.rely_on(nodes, node)?;
            if self.commit(term, draft).await?.is_some() {
                if request.accepted_plan_generation > 0 {
                    let generation = request.accepted_plan_generation;
                    let mut accepted = self.detector.accepted();
                    accepted.note(node, request.incarnation, generation, Instant::now());
                }
                return Ok(ReportReply { unknown });
            }
            view = self.fresh_view().await?;
        }
        Err(overtaken())
    }
}

fn read(
    report: &RecordReport,
    request: &ReportRequest,
) -> Result<(String, NodePlanStatus), DeskError> {
    let mut status: NodePlanStatus = serde_json::from_slice(&report.status).map_err(|error| {
        DeskError::refused(format!(
            "the report about record {:?} is not readable: {error}; the host's software is of another version than the cluster's",
            report.record
        ))
    })?;
    status.incarnation = Some(request.incarnation);
    status.report = Some(request.number);
    Ok((report.record.clone(), status))
}

/// Puts that into the record, unless the host has said something later meanwhile: a report that was held up, and whose
/// answer the host did not wait for, may arrive at any time. False: there is no such record of that host.
fn put(
    draft: &mut Draft<'_>,
    node: &str,
    name: &str,
    said: &NodePlanStatus,
) -> Result<bool, DeskError> {
    let plans = kind("NodePlan")?;
    let own = draft
        .get(plans, name)?
        .is_some_and(|record| record["spec"]["node"] == node);
    if own {
        draft.edit(plans, name, |record| {
            let before = &record["status"];
            let same_boot = before["incarnation"].as_u64() == said.incarnation;
            if !same_boot || before["report"].as_u64() <= said.report {
                record["status"] = json!(said);
            }
        })?;
    }
    Ok(own)
}
