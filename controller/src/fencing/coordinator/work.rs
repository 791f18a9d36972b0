//! One fence operation, from its request to its end.

use std::time::Duration;

use quorate_crds::{
    Condition, ConditionStatus, DeviceResult, Evidence, EvidenceKind, FenceAction, FenceOperation,
    FenceOperationStatus, FencePhase, NodeState, Time,
};
use quorate_planner::Reason;
use tokio::time::Instant;

use super::{
    ask::Dispatch,
    conditions::say,
    level::{LevelAttempt, Progress},
    power_return::PowerReturn,
    test::Test,
};
use crate::fencing::{
    mistake::{Mistake, makes},
    room::{Now, Room, length},
};

const RETRY_INITIAL: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(120);
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

    /// Whoever proves it elsewhere stores the proof, and leaves the words to us.
    fn say_how_it_was_proven(&mut self, now: Now) {
        let Some(evidence) = &self.status.evidence else {
            return;
        };
        let (reason, message) = (
            reason_of(evidence.kind),
            "it was proven elsewhere meanwhile",
        );
        let is_said = |condition: &Condition| {
            condition.type_ == "Complete" && condition.status == ConditionStatus::True
        };
        if self.status.phase == Some(FencePhase::Succeeded)
            && !self.status.conditions.iter().any(is_said)
        {
            self.complete(ConditionStatus::True, reason, message, now);
            self.no_longer_blocked(reason, message, now);
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
                    if !committed && !makes(Mistake::PowerReturnsEarly) {
                        return None;
                    }
                    self.stage = PowerReturn::after(operation, room, now)
                        .map_or(Stage::Ended, |it| Stage::Returning(Box::new(it)));
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

    /// The incarnation that is meant, once a stored object says so: a leader that takes over must mean the same one.
    fn settle_incarnation(
        &mut self,
        operation: &FenceOperation,
        room: &Room,
        now: Now,
    ) -> Option<u64> {
        if room.node(operation.spec.node.as_str()).is_none() {
            let reason = format!(
                "there is no Node {:?} (any more)",
                operation.spec.node.as_str()
            );
            self.void(&reason, now);
            return None;
        }
        let stored = operation
            .status
            .as_ref()
            .and_then(|status| status.incarnation);
        if let Some(settled) = operation.spec.incarnation.or(stored) {
            self.status.incarnation = Some(settled);
            return Some(settled);
        }
        self.status.incarnation = Some(incarnation_of(room, operation).unwrap_or_default());
        None
    }

    fn begin_level(&mut self, operation: &FenceOperation, room: &Room, now: Now, index: usize) {
        let node = operation.spec.node.as_str();
        let levels = room
            .node(node)
            .map(|node| node.spec.fencing.levels.as_slice())
            .unwrap_or_default();
        let Some(level) = levels.get(index) else {
            self.round_failed(room, now, levels.is_empty());
            return;
        };
        if self.status.phase == Some(FencePhase::Pending) {
            self.status.phase = Some(FencePhase::Running);
            self.tell(
                Reason::FenceAtWork,
                format!("it is made safe: {}", operation.spec.reason),
                false,
            );
        }
        self.status.level = Some(level.name.0.clone());
        self.status.next_attempt_at = None;
        let attempt = LevelAttempt::new(room, node, level);
        for begun in attempt.results(now.wall) {
            // The next leader, if it comes to that, must know what may have been switched off.
            if !self
                .status
                .results
                .iter()
                .any(|old| same_target(old, &begun))
            {
                self.status.results.push(begun);
            }
        }
        if self.status.phase == Some(FencePhase::Running) {
            let message = format!("level {} is at work", level.name);
            self.complete(ConditionStatus::False, Reason::FenceAtWork, &message, now);
        }
        self.stage = Stage::Level(index, attempt);
    }

    fn take_results(&mut self, now: Now) {
        let Stage::Level(_, attempt) = &self.stage else {
            return;
        };
        self.status.attempts = Some(self.status.attempts.unwrap_or_default().saturating_add(1));
        let fresh = attempt.results(now.wall);
        self.status
            .results
            .retain(|old| !fresh.iter().any(|new| same_target(old, new)));
        self.status.results.extend(fresh);
    }

    fn level_failed(&mut self, operation: &FenceOperation, room: &Room, now: Now, failure: &str) {
        let Stage::Level(index, attempt) = &self.stage else {
            return;
        };
        let (next, name) = (index + 1, attempt.name.clone());
        // In later rounds the condition says it, and saying it again would help nobody.
        if self.rounds == 0 {
            self.tell(
                Reason::FenceLevelFails,
                format!("level {name} failed: {failure}"),
                true,
            );
        }
        self.begin_level(operation, room, now, next);
    }

    fn round_failed(&mut self, room: &Room, now: Now, no_levels: bool) {
        let fencing = &room.cluster.fencing;
        let initial = length(&fencing.retry_initial, RETRY_INITIAL);
        let longest = length(&fencing.retry_max, RETRY_MAX).max(Duration::from_millis(100));
        let wait = initial
            .saturating_mul(1_u32.checked_shl(self.rounds).unwrap_or(u32::MAX))
            .clamp(Duration::from_millis(100), longest);
        self.rounds = self.rounds.saturating_add(1);
        if makes(Mistake::GivesUp) {
            self.stage = Stage::Ended;
            return;
        }
        self.stage = Stage::Waiting(now.monotonic + wait);
        let first = self.status.phase != Some(FencePhase::Blocked);
        self.status.phase = Some(FencePhase::Blocked);
        self.status.next_attempt_at = now.wall.checked_add(wait).ok().map(Time::from);
        let (reason, message) = if no_levels {
            (
                Reason::CannotFence,
                "the host has no fence level; look that it is off, then run `quorate node \
                 confirm-fenced`"
                    .to_owned(),
            )
        } else {
            (
                Reason::FenceBlocked,
                format!(
                    "every level has failed and is tried again: {}; repair a device, or look that \
                     the host is off and run `quorate node confirm-fenced`",
                    self.complaints()
                ),
            )
        };
        self.complete(ConditionStatus::False, reason, &message, now);
        say(
            &mut self.status.conditions,
            "Blocked",
            ConditionStatus::True,
            reason,
            &message,
            now.wall,
        );
        if first {
            self.tell(reason, message, true);
        }
    }

    fn complaints(&self) -> String {
        let complaints: Vec<String> = self
            .status
            .results
            .iter()
            .filter_map(|result| {
                let message = result.message.as_ref()?;
                Some(format!(
                    "level {}, {}: {message}",
                    result.level, result.device
                ))
            })
            .collect();
        complaints.join("; ")
    }

    fn confirm_level(
        &mut self,
        operation: &FenceOperation,
        term: u64,
        watchdog_expired: bool,
        by_devices: bool,
        now: Now,
    ) {
        let Some(incarnation) = self.status.incarnation else {
            return;
        };
        let level = self.status.level.clone();
        let shown = level.clone().unwrap_or_default();
        let (kind, message) = if by_devices {
            (
                EvidenceKind::Devices,
                format!("every device of level {shown} says off"),
            )
        } else {
            (
                EvidenceKind::Watchdog,
                format!("level {shown}: its watchdog has surely fired since its last lease"),
            )
        };
        let evidence = Evidence {
            kind,
            incarnation,
            at: Time::from(now.wall),
            term: Some(term),
            level,
            watchdog_expired_at: watchdog_expired.then(|| Time::from(now.wall)),
            confirmed_by: None,
        };
        self.confirm(operation, evidence, &message, now);
    }

    fn confirm(&mut self, operation: &FenceOperation, evidence: Evidence, message: &str, now: Now) {
        let reason = reason_of(evidence.kind);
        self.status.incarnation = Some(evidence.incarnation);
        self.status.evidence = Some(evidence);
        self.end(FencePhase::Succeeded, reason, message, now);
        self.tell(reason, format!("it is confirmed off: {message}"), false);
        self.no_longer_blocked(reason, message, now);
        self.stage = if operation.spec.action == FenceAction::PowerCycle {
            Stage::Confirmed
        } else {
            Stage::Ended
        };
    }

    fn no_longer_blocked(&mut self, reason: Reason, message: &str, now: Now) {
        let conditions = &mut self.status.conditions;
        if conditions
            .iter()
            .any(|condition| condition.type_ == "Blocked")
        {
            say(
                conditions,
                "Blocked",
                ConditionStatus::False,
                reason,
                message,
                now.wall,
            );
        }
    }

    fn believe(&mut self, operation: &FenceOperation, room: &Room, now: Now) {
        if !matches!(self.stage, Stage::Waiting(_)) {
            return;
        }
        let host = operation.spec.node.as_str();
        let Some(node) = room.node(host) else {
            let message = format!("there is no Node {host:?}; look at `quorate get nodes`");
            self.end(
                FencePhase::Failed,
                Reason::ConfirmationRefused,
                &message,
                now,
            );
            self.stage = Stage::Ended;
            return;
        };
        let status = node.status.as_ref();
        let present = status
            .and_then(|status| status.incarnation)
            .unwrap_or_default();
        let meant = operation.spec.incarnation.unwrap_or(present);
        let heard = matches!(
            status.and_then(|status| status.state),
            Some(NodeState::Online | NodeState::Joining)
        );
        let refusal = if meant > present {
            Some(format!(
                "incarnation {meant} does not exist, the present one is {present}"
            ))
        } else if meant == present && heard {
            Some(
                "the host is heard at this moment, so it cannot be off; confirm only a silent \
                 host, or switch this one off by `quorate node fence`"
                    .to_owned(),
            )
        } else {
            None
        };
        if let Some(message) = refusal {
            self.end(
                FencePhase::Failed,
                Reason::ConfirmationRefused,
                &message,
                now,
            );
            self.stage = Stage::Ended;
            return;
        }
        let Some(confirmation) = &operation.spec.confirmation else {
            let message = "it says neither who looked nor what was seen (spec.confirmation)";
            self.end(
                FencePhase::Failed,
                Reason::ConfirmationRefused,
                message,
                now,
            );
            self.stage = Stage::Ended;
            return;
        };
        let evidence = Evidence {
            kind: EvidenceKind::Person,
            incarnation: meant,
            at: Time::from(now.wall),
            term: None,
            level: None,
            watchdog_expired_at: None,
            confirmed_by: Some(confirmation.by.clone()),
        };
        let message = format!("{} has seen: {}", confirmation.by, confirmation.statement);
        self.confirm(operation, evidence, &message, now);
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

fn reason_of(evidence: EvidenceKind) -> Reason {
    match evidence {
        EvidenceKind::Devices => Reason::ConfirmedOff,
        EvidenceKind::Watchdog => Reason::WatchdogFired,
        EvidenceKind::Person => Reason::ConfirmedByPerson,
        EvidenceKind::NewBoot => Reason::NewBoot,
    }
}

fn by_planner(operation: &FenceOperation) -> bool {
    operation.spec.requested_by.as_deref() == Some(PLANNER)
}

fn first_level(room: &Room, operation: &FenceOperation) -> usize {
    let levels = room
        .node(operation.spec.node.as_str())
        .map_or(0, |node| node.spec.fencing.levels.len());
    if makes(Mistake::LastLevelFirst) {
        levels.saturating_sub(1)
    } else {
        0
    }
}

/// A person who switches a host off does not mean to wait for another side's head start.
fn delay(operation: &FenceOperation, room: &Room) -> Duration {
    room.node(operation.spec.node.as_str())
        .filter(|_| by_planner(operation))
        .map_or(Duration::ZERO, |node| {
            length(&node.spec.fencing.delay, Duration::ZERO)
        })
}

fn incarnation_of(room: &Room, operation: &FenceOperation) -> Option<u64> {
    room.node(operation.spec.node.as_str())?
        .status
        .as_ref()?
        .incarnation
}

fn same_target(one: &DeviceResult, other: &DeviceResult) -> bool {
    (&one.level, &one.device, &one.plug) == (&other.level, &other.device, &other.plug)
}

/// Why a host's power must not return yet, or not at all.
enum OtherFence {
    /// Another operation is making a later incarnation safe.
    AtWork,
    /// This one has switched the host off to stay off.
    KeepsOff(String),
}

fn other_fence(
    room: &Room,
    name: &str,
    operation: &FenceOperation,
    incarnation: Option<u64>,
) -> Option<OtherFence> {
    room.operations
        .iter()
        .filter(|(other, held)| *other != name && held.object.spec.node == operation.spec.node)
        .find_map(|(other, held)| {
            let (spec, status) = (&held.object.spec, held.object.status.as_ref());
            let switches = matches!(spec.action, FenceAction::PowerOff | FenceAction::PowerCycle);
            let meant = status
                .and_then(|status| status.incarnation)
                .or(spec.incarnation);
            match status.and_then(|status| status.phase) {
                _ if !switches => None,
                None | Some(FencePhase::Pending | FencePhase::Running | FencePhase::Blocked) => {
                    Some(OtherFence::AtWork)
                }
                Some(FencePhase::Succeeded)
                    if spec.action == FenceAction::PowerOff && meant >= incarnation =>
                {
                    Some(OtherFence::KeepsOff(other.clone()))
                }
                Some(_) => None,
            }
        })
}

/// What proves the incarnation dead without any device: a later boot of the host, or another operation.
fn proof_elsewhere(
    room: &Room,
    name: &str,
    operation: &FenceOperation,
    incarnation: u64,
    now: Now,
) -> Option<(Evidence, String)> {
    if let Some(present) = incarnation_of(room, operation).filter(|present| *present > incarnation)
    {
        let evidence = Evidence {
            kind: EvidenceKind::NewBoot,
            incarnation,
            at: Time::from(now.wall),
            term: None,
            level: None,
            watchdog_expired_at: None,
            confirmed_by: None,
        };
        let message = format!("the host has booted again and registered incarnation {present}");
        return Some((evidence, message));
    }
    room.operations
        .iter()
        .filter(|(other, held)| *other != name && held.object.spec.node == operation.spec.node)
        .filter_map(|(other, held)| Some((other, held.object.status.as_ref()?)))
        .filter(|(_, status)| {
            status.phase == Some(FencePhase::Succeeded) && status.voided_at.is_none()
        })
        .find_map(|(other, status)| {
            let evidence = status.evidence.clone()?;
            let message = format!("FenceOperation {other} has the evidence");
            (evidence.incarnation == incarnation).then_some((evidence, message))
        })
}
