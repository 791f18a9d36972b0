use super::{Mode, Range};
use serde::{Deserialize, Serialize};

/// A piece of what one holder has locked of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which bytes.
    pub range: Range,
    /// How.
    pub mode: Mode,
    /// The process that asked for it. It names a lock to whoever asks who is in the way, and counts for nothing else:
    /// processes that share their table of files share their locks.
    pub pid: u32,
}

/// What one holder has locked of one file: pieces in order, none of which meets another, and none of which could be one with
/// the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    parts: Vec<Part>,
}

impl Held {
    /// The pieces, the first ones first.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether nothing is locked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Locks it, whatever the holder had locked of it before: a lock of its own is in nobody's way, and becomes a stronger
    /// or a weaker one.
    pub fn lock(&mut self, part: Part) {
        self.unlock(part.range);
        let at = self
            .parts
            .partition_point(|it| it.range.first() < part.range.first());
        self.parts.insert(at, part);
        self.join(at);
        if let Some(before) = at.checked_sub(1) {
            self.join(before);
        }
    }

    /// Locks none of it any more.
    pub fn unlock(&mut self, range: Range) {
        if !self.parts.iter().any(|part| part.range.meets(range)) {
            return;
        }
        let mut left = Vec::with_capacity(self.parts.len() + 1);
        for part in &self.parts {
            if !part.range.meets(range) {
                left.push(*part);
                continue;
            }
            let rest = [part.range.before(range), part.range.behind(range)];
            left.extend(
                rest.into_iter()
                    .flatten()
                    .map(|range| Part { range, ..*part }),
            );
        }
        self.parts = left;
    }

    fn join(&mut self, at: usize) {
        let (Some(one), Some(next)) = (self.parts.get(at), self.parts.get(at + 1)) else {
            return;
        };
        if one.mode != next.mode || one.pid != next.pid {
            return;
        }
        if let Some(range) = one.range.joined(next.range) {
            self.parts[at].range = range;
            self.parts.remove(at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Exclusive, Shared};

    fn part(first: u64, last: u64, mode: Mode) -> Part {
        Part {
            range: Range::new(first, last).expect("bytes"),
            mode,
            pid: 7,
        }
    }

    fn held(parts: &[Part]) -> Held {
        let mut held = Held::default();
        for part in parts {
            held.lock(*part);
        }
        held
    }

    #[test]
    fn a_hole_splits_a_lock_and_what_fills_it_joins_all_again() {
        let mut held = held(&[part(0, 99, Shared)]);
        held.unlock(Range::new(40, 49).expect("bytes"));
        assert_eq!(held.parts(), [part(0, 39, Shared), part(50, 99, Shared)]);
        held.lock(part(40, 49, Shared));
        assert_eq!(held.parts(), [part(0, 99, Shared)]);
    }

    #[test]
    fn a_part_becomes_stronger_and_weaker_without_the_rest() {
        let mut held = held(&[part(0, 99, Shared), part(10, 19, Exclusive)]);
        let three = [
            part(0, 9, Shared),
            part(10, 19, Exclusive),
            part(20, 99, Shared),
        ];
        assert_eq!(held.parts(), three);
        held.lock(part(5, 30, Shared));
        assert_eq!(held.parts(), [part(0, 99, Shared)]);
    }

    #[test]
    fn the_last_byte_of_all_is_one_like_others() {
        let mut held = held(&[Part {
            range: Range::ALL,
            ..part(0, 0, Exclusive)
        }]);
        held.unlock(Range::new(u64::MAX, u64::MAX).expect("a byte"));
        held.unlock(Range::new(0, 0).expect("a byte"));
        assert_eq!(held.parts(), [part(1, u64::MAX - 1, Exclusive)]);
        held.unlock(Range::ALL);
        assert!(held.is_empty());
    }
}
