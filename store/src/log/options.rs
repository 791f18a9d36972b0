/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The size of a segment. The log takes at least one, and one more once an eighth of the
    /// first is in use.
    pub segment_bytes: u64,
    /// How much of the newest payloads is kept in memory. Entries that are not written yet are kept
    /// beyond that.
    pub cache_bytes: usize,
    /// Who does the writing.
    pub mode: Mode,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            cache_bytes: 16 * 1024 * 1024,
            mode: Mode::Thread,
        }
    }
}

impl LogOptions {
    /// The part of each segment that is kept for votes and purges, so that a member whose disk is full can
    /// still vote, and can free room.
    pub(super) fn reserve(&self) -> u64 {
        (self.segment_bytes / 16).clamp(256, 64 * 1024)
    }

    /// How long a segment is that must hold `needed` bytes.
    pub(super) fn size_for(&self, needed: u64) -> u64 {
        (needed + self.reserve())
            .max(self.segment_bytes)
            .next_multiple_of(4096)
    }
}

/// Who does the writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A thread of the log's own: calls return at once, and what arrives during a sync shares the next one.
    Thread,
    /// Whoever calls: every call returns when its write is durable. No thread, no clock: one order of
    /// calls gives one order of writes.
    Inline,
    /// Whoever calls [`super::Log::turn`]: a simulation decides when the disk is done. Everything since
    /// the last turn shares one sync.
    Stepped,
}
