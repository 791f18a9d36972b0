//! Decides what is asked of which fence device, and what may be believed of the answers. Sans I/O: objects, reports and
//! the time go in; agents to run, statuses to write and events come out.
//!
//! The rules that it keeps:
//! - a host counts as off only when every device of one level *says* off, asked after all of them were told; or when its
//!   watchdog has surely fired; or when a person or a new boot of the host says so;
//! - levels in their order, after the last the first again, for ever, and visibly;
//! - power returns only when the success is committed;
//! - no agent is run against a host by the host's own member;
//! - what another leader has half done counts for nothing.

mod ask;
mod checks;
mod conditions;
mod half;
mod half_return;
mod heard;
mod level;
mod power_return;
mod readiness;
mod test;
mod watchdog;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::AgentMetadata;
use quorate_store::Revision;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    agents::{AgentReport, AgentRequest},
    room::{Held, Now, Room, has_agent},
};
use crate::events::{Happening, Severity};
use ask::Dispatch;
pub use ask::RunId;
use checks::Check;
pub(super) use conditions::say;
pub use half::{HalfFencing, HalfSteps, Proof};
pub use half_return::{HalfReturn, Outlets, told_by_operations};
use heard::Heard;
use work::{News, Work};

/// An agent to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Names it in [`Coordinator::finished`].
    pub id: RunId,
    /// The member that runs it.
    pub member: String,
    /// What is asked.
    pub request: AgentRequest,
}

/// A change of an object's status, right only for the revision on which it was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    /// The bucket.
    pub bucket: &'static str,
    /// The object.
    pub name: String,
    /// The revision that must still be the newest.
    pub revision: Revision,
    /// Top-level fields of the status and their new values; null takes one away.
    pub fields: Map<String, Value>,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub struct Steps {
    /// Agents to kill; their reports do not matter any more. Before those to start.
    pub cancel: Vec<RunId>,
    /// Agents to start.
    pub start: Vec<Run>,
    /// Agents whose description is wanted.
    pub describe: Vec<String>,
    /// Statuses to write, fence operations first.
    pub writes: Vec<StatusWrite>,
    /// What people are told.
    pub happenings: Vec<Happening>,
    /// When time alone may change something.
    pub wake_at: Option<Instant>,
}

/// What the leader knows about leases: the last moment at which a host can have been granted one.
pub trait Grants: Send + Sync {
    /// None: it cannot be told, so that no watchdog proves anything.
    fn last_possible_grant(&self, node: &str) -> Option<Instant>;
}

/// The fencing coordinator of one term of a leader.
#[derive(Debug)]
pub struct Coordinator {
    works: BTreeMap<String, Work>,
    checks: BTreeMap<String, Check>,
    heard: Heard,
    dispatch: Dispatch,
    /// Agents that were asked to describe themselves, with the generation of the device that wanted it.
    described: BTreeMap<String, Option<AgentMetadata>>,
}

impl Coordinator {
    /// A coordinator on the member of this name, which leads in this term. It remembers nothing of former ones: what
    /// counts is in the stored objects.
    #[must_use]
    pub fn new(member: &str, term: u64) -> Self {
        Self {
            works: BTreeMap::new(),
            checks: BTreeMap::new(),
            heard: Heard::default(),
            dispatch: Dispatch::new(member.to_owned(), term),
            described: BTreeMap::new(),
        }
    }

    /// A run has ended.
    pub fn finished(&mut self, id: RunId, report: AgentReport) {
        self.dispatch.finished(id, report);
    }

    /// An agent has described itself.
    pub fn described(&mut self, agent: &str, metadata: AgentMetadata) {
        self.described.insert(agent.to_owned(), Some(metadata));
    }

    /// Goes on as far as it can with what is known now.
    pub fn step(&mut self, room: &Room, now: Now, grants: &dyn Grants) -> Steps {
        let mut steps = Steps::default();
        self.advance_operations(room, now, grants, &mut steps);
        self.advance_checks(room, now, &mut steps);
        let checks = &self.checks;
        let asked = |device: &str| checks.get(device)?.asked;
        let wake = self.heard.look(room, asked, now.monotonic);
        earliest(&mut steps.wake_at, wake);
        for (name, held) in &room.nodes {
            let new = readiness::of(room, &held.object, &self.heard, now);
            write(
                &mut steps,
                "nodes",
                name,
                held,
                held.object.status.as_ref(),
                &new,
            );
        }
        steps.start.append(&mut self.dispatch.start);
        steps.cancel.append(&mut self.dispatch.cancel);
        steps
    }

    fn advance_operations(
        &mut self,
        room: &Room,
        now: Now,
        grants: &dyn Grants,
        steps: &mut Steps,
    ) {
        let gone: Vec<String> = self
            .works
            .keys()
            .filter(|name| !room.operations.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(mut work) = self.works.remove(&name) {
                work.cancel(&mut self.dispatch);
            }
        }
        for (name, held) in &room.operations {
            let operation = &held.object;
            let host = operation.spec.node.as_str();
            let work = self
                .works
                .entry(name.clone())
                .or_insert_with(|| Work::resume(name, operation, room, now));
            let was = work.status.phase;
            let wake = work.advance(
                room,
                &mut self.dispatch,
                now,
                grants.last_possible_grant(host),
            );
            earliest(&mut steps.wake_at, wake);
            for news in work.take_news() {
                steps.happenings.push(happening("Node", host, news));
            }
            if was != work.status.phase
                && let Some(device) = work.cleared_device(operation)
                && let Some(check) = self.checks.get_mut(device)
            {
                check.clear(now.monotonic);
            }
            write(
                steps,
                "fenceoperations",
                name,
                held,
                operation.status.as_ref(),
                &work.status,
            );
        }
    }

    fn advance_checks(&mut self, room: &Room, now: Now, steps: &mut Steps) {
        let gone: Vec<String> = self
            .checks
            .keys()
            .filter(|name| !room.devices.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(mut check) = self.checks.remove(&name) {
                check.cancel(&mut self.dispatch);
            }
        }
        let mut wanted = BTreeSet::new();
        for (name, held) in &room.devices {
            let device = &held.object;
            let check = self
                .checks
                .entry(name.clone())
                .or_insert_with(|| Check::new(name, device, room, now));
            if let Some(agent) = device
                .spec
                .agent
                .as_ref()
                .filter(|_| has_agent(device.spec.type_))
            {
                match self.described.get(agent) {
                    None => drop(wanted.insert(agent.clone())),
                    Some(Some(metadata)) => check.describe(metadata.clone()),
                    Some(None) => {}
                }
            }
            let wake = check.advance(name, room, &mut self.dispatch, now);
            earliest(&mut steps.wake_at, wake);
            for news in check.take_news() {
                steps.happenings.push(happening("FenceDevice", name, news));
            }
            if let Some(status) = check.status.take() {
                write(
                    steps,
                    "fencedevices",
                    name,
                    held,
                    device.status.as_ref(),
                    &status,
                );
            }
        }
        for agent in wanted {
            self.described.insert(agent.clone(), None);
            steps.describe.push(agent);
        }
    }
}

/// Adds a write of the fields in which `new` differs, if any does.
fn write<T, S: Serialize + Default>(
    steps: &mut Steps,
    bucket: &'static str,
    name: &str,
    held: &Held<T>,
    old: Option<&S>,
    new: &S,
) {
    let old = old.map_or_else(|| json!(S::default()), |old| json!(old));
    let (Value::Object(old), Value::Object(new)) = (old, json!(new)) else {
        return;
    };
    let mut fields: Map<String, Value> = old
        .keys()
        .filter(|field| !new.contains_key(*field))
        .map(|field| (field.clone(), Value::Null))
        .collect();
    fields.extend(
        new.into_iter()
            .filter(|(field, value)| old.get(field) != Some(value)),
    );
    if !fields.is_empty() {
        steps.writes.push(StatusWrite {
            bucket,
            name: name.to_owned(),
            revision: held.revision,
            fields,
        });
    }
}

fn earliest(known: &mut Option<Instant>, other: Option<Instant>) {
    *known = match (*known, other) {
        (Some(known), Some(other)) => Some(known.min(other)),
        (known, other) => known.or(other),
    };
}

fn happening(kind: &str, name: &str, news: News) -> Happening {
    Happening {
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: None,
        reason: news.reason.to_string(),
        note: news.note.chars().take(1024).collect(),
        severity: if news.warning {
            Severity::Warning
        } else {
            Severity::Normal
        },
    }
}
