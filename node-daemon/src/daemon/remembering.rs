use super::backoff::Backoff;
use crate::plan::{MemoryError, Plan, Remembered};
use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;

/// Nothing is acted on, or acknowledged, before a daemon that is started after this one would know of it.
#[derive(Debug)]
pub(super) struct Remembering {
    known: Newest,
    under_way: Option<Newest>,
    again_at: Option<Instant>,
    backoff: Backoff,
}

/// The newest of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) generation: u64,
    pub(super) term: u64,
}

impl Remembering {
    pub(super) fn new(remembered: &Remembered) -> Self {
        Self {
            known: Newest {
                generation: remembered.generation,
                term: remembered.term,
            },
            under_way: None,
            again_at: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
        }
    }

    /// Whether a later daemon would know of this plan.
    pub(super) fn knows(&self, plan: &Plan) -> bool {
        plan.generation() <= self.known.generation && plan.term() <= self.known.term
    }

    /// What is to be remembered now. It must be answered by [`Remembering::ended`].
    pub(super) fn next(&mut self, plan: &Plan, now: Instant) -> Option<Newest> {
        let waits = self.again_at.is_some_and(|at| now < at);
        if self.knows(plan) || self.under_way.is_some() || waits {
            return None;
        }
        self.again_at = None;
        self.under_way = Some(Newest {
            generation: plan.generation(),
            term: plan.term(),
        });
        self.under_way
    }

    /// When it is tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again_at
    }

    /// It was, or could not be, remembered.
    pub(super) fn ended(&mut self, result: Result<(), MemoryError>, now: Instant) {
        let newest = self.under_way.take();
        match result {
            Ok(()) => {
                self.backoff.reset();
                self.known = newest.unwrap_or(self.known);
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn Error,
                    "this host cannot remember its plan, so that it neither acts on it nor acknowledges it"
                );
                self.again_at = Some(now + self.backoff.wait());
            }
        }
    }
}
