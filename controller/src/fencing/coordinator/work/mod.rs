//! One fence operation, from its request to its end.

mod others;
mod proof;
mod rounds;

use std::time::Duration;

use quorate_crds::{
    ConditionStatus, Evidence, FenceAction, FenceOperation, FenceOperationStatus, FencePhase, Time,
};
use quorate_planner::Reason;
use tokio::time::Instant;

use super::{
    ask::Dispatch,
    level::{LevelAttempt, Progress},
    power_return::PowerReturn,
    say,
    test::Test,
};
use crate::fencing::{
    mistake::{Mistake, makes},
    room::{Now, Room, length},
};
use others::{OtherFence, other_fence};
use proof::{incarnation_of, proof_elsewhere};
use rounds::first_level;

/// Who asks for the operations that wait for the delay of a host.
const PLANNER: &str = "quorate-planner";

#[derive(Debug)]
enum Stage {
    /// It waits until here: for the head start of another, or for the next round.
    Waiting(Instant),
    /// This level is at work.
    Level(usize, LevelAttempt),
    /// The host is confirmed off; once that is committed it is switched on again.
    Confirmed,
    Returning(Box<PowerReturn>),
    Testing(Test),
    Ended,
}

/// One operation. Its status is what is to be stored; the coordinator sees to it that it is.
#[derive(Debug)]
pub(super) struct Work {
    name: String,
    stage: Stage,
    /// Rounds over all levels that have failed.
    rounds: u32,
    pub(super) status: FenceOperationStatus,
    news: Vec<News>,
}

/// What people are told as an event of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) reason: Reason,
    pub(super) note: String,
    pub(super) warning: bool,
}

impl Work {
    /// Takes an operation up where its stored status says it is. Steps that another leader has half done count for
    /// nothing: the devices are asked again, from the first level on.
    pub(super) fn resume(name: &str, operation: &FenceOperation, room: &Room, now: Now) -> Self {
        let mut status = operation.status.clone().unwrap_or_default();
        let stage = match status.phase {
            Some(FencePhase::Succeeded) => Stage::Confirmed,
            Some(FencePhase::Failed | FencePhase::Voided) => Stage::Ended,
            Some(FencePhase::Running | FencePhase::Blocked) => Stage::Waiting(now.monotonic),
            Some(FencePhase::Pending) | None => {
                Stage::Waiting(now.monotonic + delay(operation, room))
            }
        };
        if status.phase.is_none() {
            status.phase = Some(FencePhase::Pending);
            status.started_at = Some(Time::from(now.wall));
        }
        let blocked = status.phase == Some(FencePhase::Blocked);
        Self {
            name: name.to_owned(),
            stage,
            rounds: u32::from(blocked),
            status,
            news: Vec::new(),
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn cancel(&mut self, dispatch: &mut Dispatch) {
        match &mut self.stage {
            Stage::Level(_, attempt) => attempt.cancel(dispatch),
            Stage::Returning(power) => power.cancel(dispatch),
            Stage::Testing(test) => test.cancel(dispatch),
            Stage::Waiting(_) | Stage::Confirmed | Stage::Ended => {}
        }
    }

    /// The test that it has just carried out with success names these devices trustworthy again.
    pub(super) fn cleared_device<'a>(&self, operation: &'a FenceOperation) -> Option<&'a str> {
        let passed = operation.spec.action == FenceAction::TestDevice
            && self.status.phase == Some(FencePhase::Succeeded);
        operation
            .spec
            .device
            .as_ref()
            .filter(|_| passed)
            .map(|device| device.as_str())
    }

    /// Goes on as far as it can; the moment at which time alone changes something.
    pub(super) fn advance(
        &mut self,
        room: &Room,
        dispatch: &mut Dispatch,
        now: Now,
        last_grant: Option<Instant>,
    ) -> Option<Instant> {
        let operation = room.operation(&self.name)?;
        self.adopt_what_others_decided(operation, dispatch, now);
        self.status.observed_generation = operation.metadata.generation;
        match operation.spec.action {
            FenceAction::PowerOff | FenceAction::PowerCycle => {
                self.make_safe(operation, room, dispatch, now, last_grant)
            }
            FenceAction::Confirm => {
                self.believe(operation, room, now);
                None
            }
            FenceAction::TestLevel | FenceAction::TestDevice => {
                self.test(operation, room, dispatch, now);
                None
            }
        }
    }

    /// A registration proves a former boot dead, and a heartbeat voids evidence: both are written by others.
    fn adopt_what_others_decided(
        &mut self,
        operation: &FenceOperation,
        dispatch: &mut Dispatch,
        now: Now,
    ) {
        let Some(stored) = &operation.status else {
            return;
        };
        let over = matches!(
            stored.phase,
            Some(FencePhase::Succeeded | FencePhase::Failed | FencePhase::Voided)
        );
        let at_work = matches!(
            self.stage,
            Stage::Waiting(_) | Stage::Level(..) | Stage::Testing(_)
        );
        let voided = stored.phase == Some(FencePhase::Voided);
        if (over && at_work) || (voided && self.status.phase != stored.phase) {
            self.cancel(dispatch);
            self.status = stored.clone();
            self.stage = if voided {
                Stage::Ended
            } else {
                Stage::Confirmed
            };
            self.say_how_it_was_proven(now);
        }
    }

    fn make_safe(
        &mut self,
        operation: &FenceOperation,
        room: &Room,
        dispatch: &mut Dispatch,
        now: Now,
        last_grant: Option<Instant>,
    ) -> Option<Instant> {
        if matches!(self.stage, Stage::Waiting(_) | Stage::Level(..)) {
            let incarnation = self.settle_incarnation(operation, room, now)?;
            if let Some((evidence, message)) =
                proof_elsewhere(room, &self.name, operation, incarnation, now)
            {
                self.cancel(dispatch);
                self.confirm(
                    operation,
                    Evidence {
                        term: Some(dispatch.term),
                        ..evidence
                    },
                    &message,
                    now,
                );
            }
        }
        loop {
            match &mut self.stage {
                Stage::Waiting(until) if now.monotonic < *until => return Some(*until),
                Stage::Waiting(_) if room.cluster.maintenance && by_planner(operation) => {
                    return None;
                }
                Stage::Waiting(_) => {
                    self.begin_level(operation, room, now, first_level(room, operation));
                }
                Stage::Level(_, attempt) => {
                    match attempt.advance(room, dispatch, now, last_grant) {
                        Progress::Working(wake) => return wake,
                        Progress::Off {
                            watchdog_expired,
                            by_devices,
                        } => {
                            self.take_results(now);
                            self.confirm_level(
                                operation,
                                dispatch.term,
                                watchdog_expired,
                                by_devices,
                                now,
                            );
                        }
                        Progress::Failed(failure) => {
                            self.take_results(now);
                            self.level_failed(operation, room, now, &failure);
                        }
                    }
                }
                Stage::Confirmed => {
                    // Power returns only once the success is committed.
                    let committed = operation
                        .status
                        .as_ref()
                        .is_some_and(|stored| stored.phase == Some(FencePhase::Succeeded));
                    if (!committed || room.half_acts) && !makes(Mistake::PowerReturnsEarly) {
                        return None;
                    }
                    self.stage = PowerReturn::after(operation, room, now)
                        .map_or(Stage::Ended, |it| Stage::Returning(Box::new(it)));
                }
                // A half asks whether its outlets are off at this moment.
                Stage::Returning(power) if room.half_acts => {
                    power.cancel(dispatch);
                    return None;
                }
                Stage::Returning(power) => {
                    let incarnation = self.status.evidence.as_ref().map(|it| it.incarnation);
                    match other_fence(room, &self.name, operation, incarnation) {
                        // An outlet must not come on between another fence's off and its question.
                        Some(OtherFence::AtWork) => {
                            power.cancel(dispatch);
                            return None;
                        }
                        Some(OtherFence::KeepsOff(other)) => {
                            power.cancel(dispatch);
                            power.give_up(format!("FenceOperation {other} keeps it off"));
                        }
                        None => {}
                    }
                    let is_back = incarnation < incarnation_of(room, operation);
                    let wake = power.advance(room, dispatch, now, is_back);
                    if let Some(ending) = power.ending() {
                        let news = ending.write(&mut self.status, operation, now);
                        self.news.push(news);
                        self.stage = Stage::Ended;
                    } else {
                        return wake;
                    }
                }
                Stage::Testing(_) | Stage::Ended => return None,
            }
        }
    }

    fn test(&mut self, operation: &FenceOperation, room: &Room, dispatch: &mut Dispatch, now: Now) {
        if matches!(self.stage, Stage::Waiting(_)) {
            match Test::of(operation, room) {
                Ok(test) => self.stage = Stage::Testing(test),
                Err(reason) => {
                    self.end(FencePhase::Failed, Reason::FenceTestFailed, &reason, now);
                    self.stage = Stage::Ended;
                }
            }
        }
        let Stage::Testing(test) = &mut self.stage else {
            return;
        };
        let Some(verdict) = test.advance(room, dispatch) else {
            return;
        };
        self.status.results = test.results(now.wall);
        self.stage = Stage::Ended;
        match verdict {
            Ok(message) => self.end(
                FencePhase::Succeeded,
                Reason::FenceTestPassed,
                &message,
                now,
            ),
            Err(message) => self.end(FencePhase::Failed, Reason::FenceTestFailed, &message, now),
        }
    }

    fn void(&mut self, reason: &str, now: Now) {
        self.status.voided_at = Some(Time::from(now.wall));
        self.status.void_reason = Some(reason.to_owned());
        self.end(FencePhase::Voided, Reason::CannotFence, reason, now);
        self.stage = Stage::Ended;
    }

    fn end(&mut self, phase: FencePhase, reason: Reason, message: &str, now: Now) {
        self.status.phase = Some(phase);
        self.status.finished_at = Some(Time::from(now.wall));
        self.status.next_attempt_at = None;
        let so = if phase == FencePhase::Succeeded {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        self.complete(so, reason, message, now);
    }

    fn complete(&mut self, so: ConditionStatus, reason: Reason, message: &str, now: Now) {
        say(
            &mut self.status.conditions,
            "Complete",
            so,
            reason,
            message,
            now.wall,
        );
    }

    fn tell(&mut self, reason: Reason, note: String, warning: bool) {
        self.news.push(News {
            reason,
            note,
            warning,
        });
    }
}

fn by_planner(operation: &FenceOperation) -> bool {
    operation.spec.requested_by.as_deref() == Some(PLANNER)
}

/// A person who switches a host off does not mean to wait for another side's head start.
fn delay(operation: &FenceOperation, room: &Room) -> Duration {
    room.node(operation.spec.node.as_str())
        .filter(|_| by_planner(operation))
        .map_or(Duration::ZERO, |node| {
            length(&node.spec.fencing.delay, Duration::ZERO)
        })
}
