//! Gives a host its power back, once its fencing is committed. Nothing waits for it.

use std::time::Duration;

use quorate_crds::{
    ConditionStatus, EvidenceKind, FenceAction, FenceOperation, FenceOperationStatus, FenceTarget,
    Time,
};
use quorate_planner::Reason;
use tokio::time::Instant;

use super::{
    ask::{Ask, Dispatch, Urgency},
    conditions::say,
    level::was_told,
    work::News,
};
use crate::fencing::{
    agents::{Action, Power},
    room::{Now, Room, length},
};

/// A management board may need a minute for itself after its outlets have power again.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The condition that keeps a finished return from being done again by the next leader.
const CONDITION: &str = "PowerReturned";

/// How it ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Returned,
    GivenUp(String),
}

/// One return of power: the outlets of the last level first, so that a board has power when it is asked.
#[derive(Debug)]
pub(super) struct PowerReturn {
    node: String,
    /// What is left, the next at the end.
    left: Vec<(String, FenceTarget)>,
    ask: Option<Ask>,
    /// The next one has said that it acts, and is asked whether it has.
    told: bool,
    failed: u32,
    /// What did not come on; the rest is switched on all the same.
    failures: Vec<String>,
    not_before: Instant,
    ending: Option<Ending>,
}

impl PowerReturn {
    /// What is to be switched on after this operation, if anything is.
    pub(super) fn after(operation: &FenceOperation, room: &Room, now: Now) -> Option<Self> {
        let status = operation.status.as_ref()?;
        if !owes_power(operation) {
            return None;
        }
        // Whatever was told to switch off may be off, whether it said so or not.
        let told = |level: &str, target: &FenceTarget| {
            status.results.iter().any(|result| {
                result.level.as_str() == level
                    && result.device == target.device
                    && result.plug == target.plug
                    && was_told(room, result)
            })
        };
        let one = Self::of(room, operation.spec.node.as_str(), told, now);
        (!one.left.is_empty()).then_some(one)
    }

    /// Of the devices of a host's levels, those that were told to switch off.
    pub(super) fn of(
        room: &Room,
        node: &str,
        told: impl Fn(&str, &FenceTarget) -> bool,
        now: Now,
    ) -> Self {
        let levels = room.node(node).into_iter();
        let levels = levels.flat_map(|node| &node.spec.fencing.levels);
        let targets = levels.flat_map(|level| {
            let targets = level.devices.iter();
            targets.map(|target| (level.name.0.clone(), target.clone()))
        });
        Self {
            node: node.to_owned(),
            left: targets
                .filter(|(level, target)| told(level, target))
                .collect(),
            ask: None,
            told: false,
            failed: 0,
            failures: Vec::new(),
            not_before: now.monotonic,
            ending: None,
        }
    }

    /// It is over without having been done.
    pub(super) fn give_up(&mut self, why: String) {
        self.ending = Some(Ending::GivenUp(why));
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.clone()
    }

    pub(super) fn cancel(&mut self, dispatch: &mut Dispatch) {
        if let Some(ask) = &mut self.ask {
            ask.cancel(dispatch);
        }
    }

    /// Goes on as far as it can. A host that `is_back` needs no board any more, only its other outlets.
    pub(super) fn advance(
        &mut self,
        room: &Room,
        dispatch: &mut Dispatch,
        now: Now,
        is_back: bool,
    ) -> Option<Instant> {
        while self.ending.is_none() {
            let Some((level, target)) = self.left.last() else {
                self.ending = Some(if self.failures.is_empty() {
                    Ending::Returned
                } else {
                    Ending::GivenUp(self.failures.join("; "))
                });
                break;
            };
            if now.monotonic < self.not_before {
                return Some(self.not_before);
            }
            let action = if self.told {
                Action::Status
            } else {
                Action::On
            };
            let ask = self.ask.get_or_insert_with(|| {
                Ask::new(Some(&self.node), level, target, action, Urgency::Return)
            });
            ask.advance(room, dispatch);
            let report = ask.answered()?.report.clone();
            self.ask = None;
            let was_told = std::mem::take(&mut self.told);
            let failure = match report {
                Ok(_) if !was_told && !is_back => {
                    self.told = true;
                    continue;
                }
                Ok(Power::Off) if was_told && !is_back => {
                    Some("it says that it acts, and says off after that".to_owned())
                }
                Ok(_) => None,
                Err(failure) => Some(failure.to_string()),
            };
            match failure {
                None => {
                    self.left.pop();
                    self.failed = 0;
                }
                Some(failure) => {
                    self.failed += 1;
                    if self.failed < ATTEMPTS && !is_back {
                        let first = length(&room.cluster.fencing.retry_initial, FIRST_WAIT);
                        self.not_before = now.monotonic + first * (1 << (self.failed - 1));
                    } else {
                        self.failures
                            .push(format!("{} was not switched on: {failure}", target.device));
                        self.left.pop();
                        self.failed = 0;
                    }
                }
            }
        }
        None
    }
}

/// Whether power is to return after this operation and has not.
pub(super) fn owes_power(operation: &FenceOperation) -> bool {
    let status = operation.status.as_ref();
    let evidence = status.and_then(|status| status.evidence.as_ref());
    let by_person = evidence.is_some_and(|evidence| evidence.kind == EvidenceKind::Person);
    let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
    let done = conditions.any(|condition| condition.type_ == CONDITION);
    operation.spec.action == FenceAction::PowerCycle && !by_person && !done
}

impl Ending {
    pub(super) fn write(
        self,
        status: &mut FenceOperationStatus,
        operation: &FenceOperation,
        now: Now,
    ) -> News {
        let (so, reason, note) = match self {
            Self::Returned => {
                status.powered_on_at = Some(Time::from(now.wall));
                let note = "its devices were told to switch on".to_owned();
                (ConditionStatus::True, Reason::PowerReturned, note)
            }
            Self::GivenUp(failure) => {
                let host = &operation.spec.node;
                let note = format!("{failure}; switch {host} on by hand");
                (ConditionStatus::False, Reason::PowerNotReturned, note)
            }
        };
        say(
            &mut status.conditions,
            CONDITION,
            so,
            reason,
            &note,
            now.wall,
        );
        News {
            warning: reason == Reason::PowerNotReturned,
            reason,
            note,
        }
    }
}
