use super::seen::Subsystem;
use crate::drivers::{DriverError, Trouble};
use quorate_crds::{NodePlanStatus, ObjectReference};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// After so many failures a record is said to be stalled.
pub(super) const PATIENCE: u32 = 5;
/// An act that succeeds so often, and after which the record is as far from what was planned as before, is a failure.
const MOST_REPEATS: u32 = 8;
/// What takes longer than this is worth a word to the cluster.
pub(super) const QUICK: Duration = Duration::from_secs(2);
/// A guest that was asked to shut down follows within this time, or not at all.
const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(300);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is being done about one record.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The generation of the record that all this is about.
    pub(super) generation: u64,
    /// What it is about.
    pub(super) object: Option<ObjectReference>,
    /// What is being done, and since when.
    pub(super) acting: Option<(&'static str, Instant)>,
    /// What is being done beside it, and takes long.
    pub(super) long: Option<&'static str>,
    /// What succeeded last, and how often in a row.
    pub(super) repeated: Option<(&'static str, u32)>,
    /// Failures since something last went well.
    pub(super) attempts: u32,
    pub(super) failure: Option<Failure>,
    pub(super) wait_until: Option<Instant>,
    /// An act whose effect nobody knows: it is ended before anything is said to be released.
    pub(super) unclear: bool,
    /// Observations that must have begun since, before anything is decided.
    pub(super) needs: BTreeMap<Subsystem, u64>,
    /// The replica's own data are on its device. Only one that is brought up is seen.
    pub(super) created: bool,
    /// What must be done once per generation was done.
    pub(super) adjusted: bool,
    /// When the host's ways were last changed for it.
    pub(super) rewired: Option<Instant>,
    /// When a guest was asked to stop, or a migration to be given up.
    pub(super) asked: Option<Instant>,
    /// When a guest was last asked to shut down, whatever the plan has become since: nobody can call that back.
    pub(super) shut_down_at: Option<Instant>,
    /// The record is as it should be.
    pub(super) converged: bool,
    /// What was said last.
    pub(super) said: Option<NodePlanStatus>,
    /// Something else was said after that, and nobody knows whether it has arrived.
    pub(super) unsure: bool,
    /// What is to be said, when it differs.
    pub(super) to_say: Option<NodePlanStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    pub(super) message: String,
    pub(super) lasting: bool,
}

impl Work {
    /// The record changed: what was tried for the former one no longer counts.
    pub(super) fn renew(&mut self, generation: u64) {
        self.generation = generation;
        self.repeated = None;
        self.attempts = 0;
        self.failure = None;
        self.wait_until = None;
        self.created = false;
        self.adjusted = false;
        self.asked = None;
        self.converged = false;
    }

    /// The record is as planned.
    pub(super) fn arrived(&mut self, now: Instant) {
        // A guest that is still there after so long has not followed.
        let followed = |at: &Instant| now < *at + SHUT_DOWN_WITHIN;
        self.shut_down_at = self.shut_down_at.filter(followed);
        self.repeated = None;
        self.succeeded();
    }

    /// An act did what it should; whether that helped is seen later.
    pub(super) fn acted(&mut self, verb: &'static str, now: Instant) {
        let times = match self.repeated {
            Some((before, times)) if before == verb => times.saturating_add(1),
            _ => 1,
        };
        self.repeated = Some((verb, times));
        if times < MOST_REPEATS {
            self.succeeded();
            return;
        }
        let message = format!(
            "\"{verb}\" has succeeded {times} times in a row, and the host is still not as planned"
        );
        self.failed(
            &DriverError::passing(Trouble::DoesNotConverge, message),
            now,
        );
    }

    fn succeeded(&mut self) {
        self.attempts = 0;
        self.failure = None;
        self.wait_until = None;
    }

    pub(super) fn failed(&mut self, error: &DriverError, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        let lasting = matches!(error, DriverError::Lasting { .. });
        self.created = false;
        self.unclear |= matches!(error, DriverError::Unclear { .. });
        self.failure = Some(Failure {
            trouble: error.trouble(),
            message: in_full(error),
            lasting,
        });
        self.wait_until = Some(now + wait(self.attempts, self.stalled()));
    }

    /// The circuit breaker: it goes on, slowly, and says so.
    pub(super) fn stalled(&self) -> bool {
        // Nothing has failed where people have yet to bring a file.
        let counts = |failure: &&Failure| failure.trouble != Trouble::FileMissing;
        let failure = self.failure.as_ref().filter(counts);
        failure.is_some_and(|failure| failure.lasting || self.attempts >= PATIENCE)
    }
}

/// How long to wait after so many failures.
pub(super) fn wait(attempts: u32, stalled: bool) -> Duration {
    if stalled {
        return LONGEST_WAIT;
    }
    FIRST_WAIT
        .saturating_mul(1 << attempts.saturating_sub(1).min(16))
        .min(LONGEST_WAIT)
}

/// The error with everything that lies behind it.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
