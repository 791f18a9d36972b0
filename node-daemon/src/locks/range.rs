use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of a file, from the first to the last one, both of them in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64)", into = "(u64, u64)")]
pub struct Range {
    first: u64,
    last: u64,
}

impl Range {
    /// Every byte that a file can have.
    pub const ALL: Self = Self {
        first: 0,
        last: u64::MAX,
    };

    /// None where the last byte lies before the first.
    #[must_use]
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first byte.
    #[must_use]
    pub fn first(self) -> u64 {
        self.first
    }

    /// The last byte.
    #[must_use]
    pub fn last(self) -> u64 {
        self.last
    }

    /// Whether they have a byte in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What of it lies before the other one.
    pub(super) fn before(self, other: Self) -> Option<Self> {
        let last = other.first.checked_sub(1)?;
        Self::new(self.first, last.min(self.last))
    }

    /// What of it lies behind the other one.
    pub(super) fn behind(self, other: Self) -> Option<Self> {
        let first = other.last.checked_add(1)?;
        Self::new(first.max(self.first), self.last)
    }

    /// Both in one, when nothing lies between them.
    pub(super) fn joined(self, next: Self) -> Option<Self> {
        (self.last.checked_add(1) == Some(next.first)).then_some(Self {
            first: self.first,
            last: next.last,
        })
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl TryFrom<(u64, u64)> for Range {
    type Error = String;

    fn try_from((first, last): (u64, u64)) -> Result<Self, String> {
        Self::new(first, last).ok_or_else(|| format!("no bytes lie from {first} to {last}"))
    }
}

impl From<Range> for (u64, u64) {
    fn from(range: Range) -> Self {
        (range.first, range.last)
    }
}
