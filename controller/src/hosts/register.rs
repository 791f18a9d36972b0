//! Becoming a host: incarnations.
//!
//! An incarnation is one boot of a host. The same boot always gets the same number, also when the answer was lost or /run
//! was wiped; a new boot gets the next one, and proves by itself that the former one is over: the host's key is in one
//! place. That proof is stored as a fence operation's evidence, in the same transaction.

use quorate_crds::{
    Condition, ConditionStatus, EventSpec, EventType, Evidence, EvidenceKind, FenceAction,
    FenceOperation, FenceOperationSpec, FencePhase, Name, NodeState, ObjectReference, Time,
};
use quorate_planner::Reason;
use quorate_proto::host::v1::{RegisterReply, RegisterRequest};
use quorate_store::Bucket;
use serde_json::{Value, json};

use super::{
    ATTEMPTS, DeskError, HostDesk, facts::Facts, kind, members, node_status, overtaken, settings,
    timing, traces, watchdog,
};
use crate::{
    cluster_info::ClusterInfo,
    resource::{Draft, Engine},
};

const MAX_BOOT_ID: usize = 64;

impl HostDesk {
    /// Makes the caller a host of the cluster, or confirms that it is one. A host that nobody has declared becomes a Node
    /// with nothing but defaults: that it has a certificate means that somebody has invited it.
    ///
    /// # Errors
    /// When this member does not lead, or the host may not be one.
    pub async fn register(
        &self,
        node: &str,
        request: RegisterRequest,
    ) -> Result<RegisterReply, DeskError> {
        let facts = Facts::read(&request.facts)?;
        let length = request.boot_id.len();
        if !(1..=MAX_BOOT_ID).contains(&length) {
            return Err(DeskError::refused(format!(
                "the boot id has {length} bytes, allowed: 1 to {MAX_BOOT_ID}; it is what the kernel says in /proc/sys/kernel/random/boot_id"
            )));
        }
        for _ in 0..ATTEMPTS {
            let term = self.term()?;
            let view = self.fresh_view().await?;
            let level = self.store().status().feature_level;
            if request.feature_level < level {
                return Err(DeskError::refused(format!(
                    "host {node} supports feature level {}, the cluster is at {level}; upgrade the host's software",
                    request.feature_level
                )));
            }
            let mut draft = Draft::new(&view, self.engine.sources());
            let incarnation = self.admit(&mut draft, node, &request, facts.as_ref(), term)?;
            if self.commit(term, draft).await?.is_none() {
                continue;
            }
            let view = self.store().view();
            let stored = view.get(&Engine::key(kind("Node")?, node));
            let status = self.store().status();
            return Ok(RegisterReply {
                incarnation,
                heartbeat_key: self.detector.lock().key(node, incarnation).to_vec().into(),
                members: members(self.store()),
                timing: Some(timing(&settings(&view))),
                node: stored.map(|stored| stored.value).unwrap_or_default(),
                cluster_name: ClusterInfo::read(&view).name,
                cluster_id: status.cluster_id,
                history_id: status.history_id,
                watchdog_bound: watchdog::is_bound(&view, node),
            });
        }
        Err(overtaken())
    }

    fn admit(
        &self,
        draft: &mut Draft<'_>,
        node: &str,
        request: &RegisterRequest,
        facts: Option<&Facts>,
        term: u64,
    ) -> Result<u64, DeskError> {
        let nodes = kind("Node")?;
        if draft.get(nodes, node)?.is_none() {
            draft.create(
                nodes,
                json!({
                    "apiVersion": quorate_crds::API_VERSION,
                    "kind": "Node",
                    "metadata": {"name": node},
                    "spec": {},
                }),
            )?;
        }
        let status = draft.get(nodes, node)?.map(node_status).unwrap_or_default();
        let former = match status.incarnation {
            Some(incarnation) => incarnation,
            None => traces::newest_incarnation(draft.view(), node, request.incarnation)?,
        };
        let same_boot = former > 0
            && match &status.boot_id {
                Some(known) => *known == request.boot_id,
                None => former == request.incarnation,
            };
        let state = status.state;
        if same_boot && state == Some(NodeState::Fenced) {
            return Err(DeskError::IncarnationOver {
                reason: format!(
                    "incarnation {former} of host {node} was confirmed off, and the same boot of it registers: what it held may run elsewhere. Boot the host"
                ),
            });
        }
        let goes_on = same_boot && state != Some(NodeState::Left);
        let incarnation = if goes_on { former } else { former + 1 };
        let stays = goes_on && state.is_some();
        let newest = !goes_on || status.report <= Some(request.number);
        if let Some(facts) = facts.filter(|_| newest) {
            draft.edit(nodes, node, |object| {
                facts.put_into(object, request.number);
            })?;
        }
        if stays {
            return Ok(incarnation);
        }
        let now = Time::from(self.engine.sources().clock.now());
        let why = format!("incarnation {incarnation} has registered and is not heard yet");
        draft.edit(nodes, node, |object| {
            begin(object, incarnation, &request.boot_id, &now, &why);
        })?;
        draft.tell(&event(node, "NodeRegistered", &why, &now))?;
        let may_have_run = matches!(
            state,
            Some(NodeState::Online | NodeState::Suspect | NodeState::Fencing)
        );
        if former > 0 && !same_boot && may_have_run {
            store_proof(draft, node, former, term, &now)?;
        }
        Ok(incarnation)
    }
}

/// What is known about a former boot is not known about this one.
fn begin(object: &mut Value, incarnation: u64, boot_id: &str, now: &Time, why: &str) {
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    let Some(status) = object["status"].as_object_mut() else {
        return;
    };
    status.insert("incarnation".to_owned(), json!(incarnation));
    status.insert("bootId".to_owned(), json!(boot_id));
    status.insert("state".to_owned(), json!(NodeState::Joining));
    status.insert("since".to_owned(), json!(now));
    for field in ["planGeneration", "rings"] {
        status.remove(field);
    }
    let ready = Condition {
        type_: "Ready".to_owned(),
        status: ConditionStatus::False,
        reason: Reason::Joining.to_string(),
        message: why.to_owned(),
        last_transition_time: now.clone(),
        observed_generation: None,
    };
    let mut conditions: Vec<Value> = status
        .get("conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|condition| {
            !["Ready", "RingDegraded", "DaemonWorks", "HeardByLeader"]
                .iter()
                .any(|type_| condition["type"] == *type_)
        })
        .cloned()
        .collect();
    conditions.insert(0, json!(ready));
    status.insert("conditions".to_owned(), Value::Array(conditions));
}

/// A new boot proves the former one over: every operation that was to make it safe has succeeded, and where there was
/// none there is one now that says so.
fn store_proof(
    draft: &mut Draft<'_>,
    node: &str,
    former: u64,
    term: u64,
    now: &Time,
) -> Result<(), DeskError> {
    let operations = kind("FenceOperation")?;
    let bucket = Bucket::new(operations.plural);
    draft.require(quorate_store::Condition::BucketUnchangedSince(
        bucket.clone(),
        draft.view().bucket_revision(&bucket),
    ));
    let evidence = Evidence {
        kind: EvidenceKind::NewBoot,
        incarnation: former,
        at: now.clone(),
        term: Some(term),
        level: None,
        watchdog_expired_at: None,
        confirmed_by: None,
    };
    let mut proven = false;
    for (key, stored) in draft.view().list(&bucket, None, usize::MAX) {
        let Ok(operation) = serde_json::from_slice::<FenceOperation>(&stored.value) else {
            continue;
        };
        let status = operation.status.unwrap_or_default();
        let about = operation.spec.incarnation.or(status.incarnation);
        let powers = matches!(
            operation.spec.action,
            FenceAction::PowerOff | FenceAction::PowerCycle
        );
        if operation.spec.node.as_str() != node || about != Some(former) || !powers {
            continue;
        }
        match status.phase {
            Some(FencePhase::Succeeded) => proven = true,
            Some(FencePhase::Voided | FencePhase::Failed) => {}
            _ => {
                proven = true;
                draft.edit(operations, &key.name, |object| {
                    object["status"]["phase"] = json!(FencePhase::Succeeded);
                    object["status"]["finishedAt"] = json!(now);
                    object["status"]["evidence"] = json!(evidence);
                })?;
            }
        }
    }
    if !proven {
        let mut operation = json!(FenceOperation::new(
            &format!("{node}-{former}-boot"),
            FenceOperationSpec {
                node: Name::from(node),
                incarnation: Some(former),
                action: FenceAction::PowerOff,
                level: None,
                device: None,
                confirmation: None,
                reason: "the host booted again".to_owned(),
                requested_by: Some("quorated".to_owned()),
            },
        ));
        operation["status"] = json!({
            "phase": FencePhase::Succeeded,
            "startedAt": now,
            "finishedAt": now,
            "evidence": evidence,
        });
        draft.create(operations, operation)?;
    }
    Ok(())
}

/// An event about a host.
pub(crate) fn event(node: &str, reason: &str, note: &str, now: &Time) -> EventSpec {
    EventSpec {
        regarding: ObjectReference {
            kind: "Node".to_owned(),
            name: Name::from(node),
            uid: None,
        },
        related: None,
        reason: reason.to_owned(),
        note: note.to_owned(),
        type_: EventType::Normal,
        count: 1,
        first_timestamp: now.clone(),
        last_timestamp: now.clone(),
        reporting_controller: "quorated".to_owned(),
        reporting_node: None,
    }
}
