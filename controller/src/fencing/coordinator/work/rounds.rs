//! Level after level, round after round.

use std::time::Duration;

use quorate_crds::{ConditionStatus, DeviceResult, FenceOperation, FencePhase, Time};
use quorate_planner::Reason;

use super::{Stage, Work};
use crate::fencing::{
    coordinator::{level::LevelAttempt, say},
    mistake::{Mistake, makes},
    room::{Now, Room, length},
};

const RETRY_INITIAL: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(120);

impl Work {
    pub(super) fn begin_level(
        &mut self,
        operation: &FenceOperation,
        room: &Room,
        now: Now,
        index: usize,
    ) {
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

    pub(super) fn take_results(&mut self, now: Now) {
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

    pub(super) fn level_failed(
        &mut self,
        operation: &FenceOperation,
        room: &Room,
        now: Now,
        failure: &str,
    ) {
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
}

pub(super) fn first_level(room: &Room, operation: &FenceOperation) -> usize {
    let levels = room
        .node(operation.spec.node.as_str())
        .map_or(0, |node| node.spec.fencing.levels.len());
    if makes(Mistake::LastLevelFirst) {
        levels.saturating_sub(1)
    } else {
        0
    }
}

fn same_target(one: &DeviceResult, other: &DeviceResult) -> bool {
    (&one.level, &one.device, &one.plug) == (&other.level, &other.device, &other.plug)
}
