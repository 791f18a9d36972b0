//! What rules may cost, and why a rule may have no result.
//!
//! The rules are ours, the objects are foreign: an object with long lists must not stall the
//! server, so every step is paid for and an object whose rules cost too much is refused.

/// Steps that the rules of one object may take together: some ten milliseconds.
const STEPS: u64 = 1_000_000;
/// Bytes of a text that cost as much as one step.
const TEXT_STEP: usize = 16;

/// What the rules of one object may still cost.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
}

impl Budget {
    pub(crate) fn of_one_object() -> Self {
        Self { left: STEPS }
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Failure> {
        match self.left.checked_sub(steps as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Failure::Budget)
            }
        }
    }

    pub(super) fn spend_text(&mut self, bytes: usize) -> Result<(), Failure> {
        self.spend(bytes / TEXT_STEP)
    }
}

/// Why a rule has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// An error in CEL's sense: a missing key, a division by nought, an overflow.
    Error(String),
    /// The rules cost more than one object may.
    Budget,
}

impl Failure {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self::Error(message.into())
    }
}
