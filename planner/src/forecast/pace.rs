//! How long the hosts of a trial take for what they do.

use jiff::SignedDuration;

/// Nominal durations. They decide the times in a forecast and hardly ever its order, because what
/// depends on something else waits for it anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Until a host says that a guest which it was told to start runs.
    pub guest_start: SignedDuration,
    /// Until a guest that is shut down in order is off.
    pub guest_stop: SignedDuration,
    /// Any step of a network, a replica or a filesystem.
    pub storage: SignedDuration,
    /// Until a fence level has switched its devices off and seen that they are off, or has failed.
    pub fence_level: SignedDuration,
    /// Until a replica that was away for a while has caught up.
    pub resync: SignedDuration,
    /// What a live migration sends, and a replica that is made anew receives, in a second.
    pub bytes_per_second: u64,
    /// Whether lost hosts can be fenced. Otherwise every fence level fails.
    pub fencing_works: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            guest_start: SignedDuration::from_secs(2),
            guest_stop: SignedDuration::from_secs(10),
            storage: SignedDuration::from_secs(1),
            fence_level: SignedDuration::from_secs(5),
            resync: SignedDuration::from_secs(60),
            bytes_per_second: 100 << 20,
            fencing_works: true,
        }
    }
}

impl Pace {
    /// How long it takes to send so much.
    pub(super) fn sending(&self, bytes: u64) -> SignedDuration {
        let seconds = bytes.div_ceil(self.bytes_per_second.max(1));
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX / 1024))
    }
}
