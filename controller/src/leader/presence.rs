//! From what the detector makes of the beats to what the log says about hosts.
//!
//! Only transitions are written. `Suspect` and `Online` are the detector's word, `Fencing` and `Fenced` the planner's,
//! `Joining` and `Left` the host's own, by the desk.

use std::collections::BTreeMap;

use jiff::Timestamp;
use quorate_crds::{EventType, Name, NodeState, Time};
use quorate_planner::Reason;
use serde_json::{Value, json};

use crate::{
    conditions,
    detector::{Incarnation, Judgement},
    error::ApiError,
    fencing,
    resource::{Draft, find_kind, object},
};

use super::rings;

/// Writes what is news in `judgement` into `draft`.
pub(super) fn settle(
    draft: &mut Draft<'_>,
    judgement: &Judgement,
    rings: &[Name],
    now: Timestamp,
) -> Result<(), ApiError> {
    let (moment, now) = (now, &Time::from(now));
    for lost in &judgement.lost {
        let why = "it is silent on all rings";
        let change = Transition {
            from: &[NodeState::Online],
            to: NodeState::Suspect,
            reason: Reason::SilentOnAllRings,
            event: "NodeSuspect",
            why,
        };
        change.make(draft, lost, now)?;
    }
    for present in &judgement.present {
        let why = format!("incarnation {} is heard", present.number);
        let change = Transition {
            from: &[NodeState::Joining, NodeState::Suspect],
            to: NodeState::Online,
            reason: Reason::Online,
            event: "NodeOnline",
            why: &why,
        };
        change.make(draft, present, now)?;
    }
    for contradicted in &judgement.contradicted {
        let why = format!(
            "incarnation {} was confirmed off and is heard nevertheless",
            contradicted.number
        );
        let change = Transition {
            from: &[NodeState::Fenced],
            to: NodeState::Suspect,
            reason: Reason::EvidenceContradicted,
            event: "EvidenceContradicted",
            why: &why,
        };
        if change.make(draft, contradicted, now)? {
            let void = fencing::void(
                draft.view(),
                &contradicted.node,
                contradicted.number,
                moment,
            );
            draft.include(void);
        }
    }
    let quality = Quality {
        silent_rings: &judgement.silent_rings,
        judgement,
        rings,
    };
    let nodes = find_kind("Node")?;
    let bucket = quorate_store::Bucket::new(nodes.plural);
    for (key, stored) in draft.view().list(&bucket, None, usize::MAX) {
        // Most hosts have nothing to be said about; they are not even parsed.
        if quality.may_matter(&key.name, &stored.value) {
            draft.edit(nodes, &key.name, |node| quality.put_into(node, now))?;
        }
    }
    Ok(())
}

/// A host's way from one state to another.
struct Transition<'a> {
    from: &'a [NodeState],
    to: NodeState,
    reason: Reason,
    event: &'static str,
    why: &'a str,
}

impl Transition<'_> {
    fn make(
        &self,
        draft: &mut Draft<'_>,
        incarnation: &Incarnation,
        now: &Time,
    ) -> Result<bool, ApiError> {
        let nodes = find_kind("Node")?;
        let name = &incarnation.node;
        let applies = draft.get(nodes, name)?.is_some_and(|node| {
            let status = &node["status"];
            status["incarnation"] == json!(incarnation.number)
                && self.from.iter().any(|from| status["state"] == json!(from))
        });
        if !applies {
            return Ok(false);
        }
        draft.edit(nodes, name, |node| {
            node["status"]["state"] = json!(self.to);
            node["status"]["since"] = json!(now);
            let online = self.to == NodeState::Online;
            conditions::set(node, "Ready", online, self.reason, self.why, now);
        })?;
        let mut event = crate::hosts::event(name, self.event, self.why, now);
        if self.to != NodeState::Online {
            event.type_ = EventType::Warning;
        }
        draft.tell(&event)?;
        Ok(true)
    }
}

/// What is wrong with hosts that are heard.
struct Quality<'a> {
    silent_rings: &'a BTreeMap<String, Vec<u8>>,
    judgement: &'a Judgement,
    rings: &'a [Name],
}

const ASPECTS: [&str; 3] = ["RingDegraded", "DaemonWorks", "HeardByLeader"];

impl Quality<'_> {
    fn may_matter(&self, name: &str, stored: &[u8]) -> bool {
        // What is no text is no object either; whoever parses it says so.
        let text = std::str::from_utf8(stored).unwrap_or_default();
        let noted = |word: &str| text.contains(&format!("\"{word}\""));
        self.silent_rings.contains_key(name)
            || self.judgement.unwell.contains(name)
            || self.judgement.heard_elsewhere.contains(name)
            || ASPECTS.into_iter().any(noted)
            || self.rings.iter().any(|ring| !noted(ring.as_str()))
            || !noted("rings")
    }

    fn put_into(&self, node: &mut Value, now: &Time) {
        if node["status"]["state"] != json!(NodeState::Online) {
            return;
        }
        let name = object::name(node).to_owned();
        let silent = self.silent_rings.get(&name);
        rings::put(
            node,
            self.rings,
            |ring| silent.is_some_and(|silent| silent.iter().any(|one| usize::from(*one) == ring)),
            now,
        );
        match silent {
            Some(rings) => {
                let numbers: Vec<String> = rings.iter().map(u8::to_string).collect();
                let why = format!(
                    "ring {} does not bring its heartbeats; rings are counted from 0 in the order of the members' addresses",
                    numbers.join(", ")
                );
                conditions::set(node, "RingDegraded", true, Reason::RingSilent, &why, now);
            }
            None => conditions::clear(node, "RingDegraded"),
        }
        if self.judgement.unwell.contains(&name) {
            let why = "it is heard, and its daemon has not worked for longer than a restart takes";
            conditions::set(node, "DaemonWorks", false, Reason::DaemonSilent, why, now);
        } else {
            conditions::clear(node, "DaemonWorks");
        }
        if self.judgement.heard_elsewhere.contains(&name) {
            let why = "the leader does not hear it, and another member does: it gets no lease";
            conditions::set(
                node,
                "HeardByLeader",
                false,
                Reason::HeardElsewhere,
                why,
                now,
            );
        } else {
            conditions::clear(node, "HeardByLeader");
        }
    }
}
