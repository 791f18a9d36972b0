//! What is to be done about one object.
//!
//! The decision sees both sides and what they were when they last agreed, and names the one next step and the status to show.
//! It is taken anew after every step, so that a crash between two steps is nothing special. Nothing is ever forced: who else
//! owns a field in the cluster keeps it, and what somebody deleted there stays deleted.

use quorate_crds::{API_VERSION, KindInfo};
use quorate_merge::{ApplyError, ApplyOptions, Conflict, apply};
use serde_json::Value;

use super::{
    last::{Last, Target},
    names::{DELETION_ANNOTATION, FIELD_MANAGER, FINALIZER, ORPHAN},
    state::Synced,
    status::status,
    wanted::{in_full, wanted},
};

/// The object in the cluster.
#[derive(Debug, Clone, Copy)]
pub enum There<'a> {
    /// As it is, or that there is none.
    Known(Option<&'a Value>),
    /// The first look at the cluster is not over.
    Loading,
    /// The cluster does not answer; the text says why.
    Silent(&'a str),
}

/// What the cluster answered when exactly this was tried last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing tried, or something has changed since.
    None,
    /// It has been as wanted already.
    Unchanged,
    /// It does not take it.
    Refused {
        /// One word for programs.
        reason: String,
        /// What the cluster said.
        message: String,
    },
}

/// All that a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The kind.
    pub info: &'a KindInfo,
    /// The object in Kubernetes.
    pub object: &'a Value,
    /// Where it belongs, or why it belongs nowhere.
    pub wanted: Result<&'a Target, &'a str>,
    /// An older object in Kubernetes that stands for the same one.
    pub duplicate_of: Option<&'a str>,
    /// The object of the cluster that it has become, or else is to become: see [`place`].
    pub there: There<'a>,
    /// What the cluster answered last.
    pub answer: &'a Answer,
    /// The time, RFC 3339.
    pub now: &'a str,
}

/// The next step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// In Kubernetes: keep the object until it is gone from the cluster, from before it is there.
    Hold,
    /// In the cluster: apply this.
    Apply(Value),
    /// In Kubernetes: note what it has become.
    Note(Last),
    /// In the cluster: delete the object with this uid.
    Delete {
        /// Its uid.
        uid: String,
    },
    /// In Kubernetes: keep it no longer.
    Release,
}

/// The next step and the status to show.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The next step, if there is one.
    pub step: Option<Step>,
    /// The status that the object in Kubernetes should have; none while nothing is to be said.
    pub status: Option<Value>,
    /// How far it has come.
    pub synced: Synced,
}

/// The object of the cluster that an object in Kubernetes stands for: what it has become, else what it is to become.
pub fn place(object: &Value, wanted: Option<&Target>) -> Option<Target> {
    Last::of(object)
        .map(|last| last.target)
        .or_else(|| wanted.cloned())
}

/// Decides.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let held = finalizers(situation.object).any(|finalizer| finalizer == FINALIZER);
    let last = Last::of(situation.object);
    if is_deleting(situation.object) {
        return if held {
            deletion(situation, last.as_ref())
        } else {
            nothing(Synced::Deleting)
        };
    }
    let target = match situation.wanted {
        Ok(target) => target,
        Err(message) => {
            let message = message.to_owned();
            return show(situation, None, Synced::UnknownCluster { message });
        }
    };
    if let Some(of) = situation.duplicate_of {
        return show(situation, None, Synced::Duplicate { of: of.to_owned() });
    }
    if let Some(last) = last.as_ref().filter(|last| last.target != *target) {
        let from = last.target.to_string();
        return show(situation, None, Synced::Moved { from });
    }
    let live = match situation.there {
        There::Known(live) => live,
        There::Loading => return nothing(Synced::Beginning),
        There::Silent(why) => {
            let message = format!("cluster {:?} does not answer: {why}", target.cluster);
            return show(situation, None, Synced::Unreachable { message });
        }
    };
    let Some(live) = live else {
        if last.is_some() {
            return show(situation, None, Synced::DeletedInCluster);
        }
        if !held {
            return step(Step::Hold);
        }
        return attempt(situation, target, None);
    };
    if last.as_ref().is_some_and(|last| last.uid != uid(live)) {
        return show(situation, Some(live), Synced::ReplacedInCluster);
    }
    if is_deleting(live) {
        return show(situation, Some(live), Synced::Deleting);
    }
    if !held {
        return step(Step::Hold);
    }
    match outcome(situation, target, live) {
        Outcome::Agrees { left_to_others } => {
            let mut decision = show(situation, Some(live), Synced::Yes { left_to_others });
            if last.is_none() {
                decision.step = Some(Step::Note(Last {
                    target: target.clone(),
                    uid: uid(live).to_owned(),
                }));
            }
            decision
        }
        Outcome::Conflicts(fields) => show(situation, Some(live), Synced::Conflict { fields }),
        Outcome::Invalid(message) => {
            let reason = "Invalid".to_owned();
            show(situation, Some(live), Synced::Refused { reason, message })
        }
        Outcome::Differs => attempt(situation, target, Some(live)),
    }
}

/// Applies, unless the cluster has refused just that.
fn attempt(situation: &Situation<'_>, target: &Target, live: Option<&Value>) -> Decision {
    match situation.answer {
        Answer::Refused { reason, message } => {
            let (reason, message) = (reason.clone(), message.clone());
            show(situation, live, Synced::Refused { reason, message })
        }
        // Only an object that is there can be as wanted already.
        Answer::Unchanged | Answer::None => step(Step::Apply(wanted(
            situation.info,
            &target.name,
            situation.object,
        ))),
    }
}

fn deletion(situation: &Situation<'_>, last: Option<&Last>) -> Decision {
    let orphan = situation
        .object
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(DELETION_ANNOTATION))
        .is_some_and(|value| value == ORPHAN);
    if orphan {
        return step(Step::Release);
    }
    // It has never belonged anywhere.
    if last.is_none() && (situation.wanted.is_err() || situation.duplicate_of.is_some()) {
        return step(Step::Release);
    }
    let live = match situation.there {
        There::Known(Some(live)) => live,
        There::Known(None) => return step(Step::Release),
        There::Loading => return nothing(Synced::Deleting),
        There::Silent(why) => {
            let message = format!(
                "it is deleted once its cluster answers: {why}; to let go of it now and leave it in the cluster, set the \
                 annotation {DELETION_ANNOTATION} to {ORPHAN}"
            );
            return show(situation, None, Synced::Unreachable { message });
        }
    };
    let ours = match last {
        Some(last) => last.uid == uid(live),
        // It may have been applied just before the operator ended. What the operator has never applied is somebody else's.
        None => is_ours(live),
    };
    if !ours {
        return step(Step::Release);
    }
    if is_deleting(live) {
        return show(situation, Some(live), Synced::Deleting);
    }
    if let Answer::Refused { reason, message } = situation.answer {
        let (reason, message) = (reason.clone(), message.clone());
        return show(situation, Some(live), Synced::Refused { reason, message });
    }
    let mut decision = show(situation, Some(live), Synced::Deleting);
    decision.step = Some(Step::Delete {
        uid: uid(live).to_owned(),
    });
    decision
}

/// What applying would come to.
enum Outcome {
    Agrees { left_to_others: String },
    Differs,
    Conflicts(String),
    Invalid(String),
}

fn outcome(situation: &Situation<'_>, target: &Target, live: &Value) -> Outcome {
    let config = wanted(situation.info, &target.name, situation.object);
    let attempt = |config: &Value| {
        let options = ApplyOptions {
            manager: FIELD_MANAGER,
            force: false,
            subresource: None,
            api_version: API_VERSION,
            now: situation.now,
        };
        apply(&situation.info.schema, Some(live), config, &options)
    };
    match attempt(&config) {
        Ok(change) if change.changed && *situation.answer != Answer::Unchanged => Outcome::Differs,
        Ok(_) => Outcome::Agrees {
            left_to_others: match attempt(&in_full(situation.info, &config)) {
                Err(ApplyError::Conflicts(conflicts)) => names(&conflicts),
                _ => String::new(),
            },
        },
        Err(ApplyError::Conflicts(conflicts)) => Outcome::Conflicts(names(&conflicts)),
        Err(error @ ApplyError::InvalidConfig(_)) => Outcome::Invalid(error.to_string()),
    }
}

/// More fields than anybody reads are counted.
const FIELDS_NAMED: usize = 16;

fn names(conflicts: &[Conflict]) -> String {
    let mut names: Vec<String> = conflicts
        .iter()
        .take(FIELDS_NAMED)
        .map(|conflict| format!("{} (by {:?})", conflict.path, conflict.manager))
        .collect();
    if conflicts.len() > FIELDS_NAMED {
        names.push(format!("and {} more", conflicts.len() - FIELDS_NAMED));
    }
    names.join(", ")
}

fn show(situation: &Situation<'_>, live: Option<&Value>, synced: Synced) -> Decision {
    let Situation {
        info, object, now, ..
    } = situation;
    let status = status(info, object, live, &synced, now);
    let differs = object.get("status") != Some(&status);
    Decision {
        step: None,
        status: differs.then_some(status),
        synced,
    }
}

fn step(step: Step) -> Decision {
    Decision {
        step: Some(step),
        status: None,
        synced: Synced::Beginning,
    }
}

fn nothing(synced: Synced) -> Decision {
    Decision {
        step: None,
        status: None,
        synced,
    }
}

fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn is_deleting(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|time| !time.is_null())
}

fn is_ours(live: &Value) -> bool {
    live.pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply")
}

fn uid(object: &Value) -> &str {
    object
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
