//! Where the time and the random numbers come from that end up in objects.
//!
//! They are handed in, so that a simulated cluster that is run again with the same seed writes the same bytes.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use quorate_identity::{Clock, SystemClock};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::ApiError;

/// Gives random bytes.
pub trait Randomness: fmt::Debug + Send + Sync {
    /// Fills the buffer.
    ///
    /// # Errors
    /// When there are none to be had. Trying again may help.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

/// The system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
        SystemRandom::new().fill(buffer).map_err(|_| NoRandomness)
    }
}

/// The wall clock and the random numbers of one member. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The random numbers.
    pub randomness: Arc<dyn Randomness>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
        }
    }
}

impl Sources {
    /// Now, as metadata shows it: RFC 3339 in whole seconds.
    pub(crate) fn now(&self) -> String {
        let now = self.clock.now();
        Timestamp::from_second(now.as_second())
            .unwrap_or(now)
            .to_string()
    }

    /// Now, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0)
    }

    /// A random UUID (version 4).
    pub(crate) fn new_uid(&self) -> Result<String, ApiError> {
        let mut bytes = [0u8; 16];
        self.fill(&mut bytes)?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let number = u128::from_be_bytes(bytes);
        let hex = format!("{number:032x}");
        Ok(format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        ))
    }

    pub(crate) fn fill(&self, buffer: &mut [u8]) -> Result<(), ApiError> {
        self.randomness
            .fill(buffer)
            .map_err(|error| ApiError::Internal(error.to_string()))
    }
}
