//! Random operations and what they must lead to, used by the tests that then break the disk.

use super::*;
use crate::log::LogError;

/// Seeded randomness, apart from the disk's own.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) vote: Option<Bytes>,
    pub(super) purged: Option<EntryId>,
    pub(super) entries: Vec<Entry>,
}

impl Model {
    pub(super) fn of(log: &Log) -> Self {
        Self {
            vote: log.vote(),
            purged: log.purged(),
            entries: all(log),
        }
    }

    pub(super) fn last(&self) -> Option<EntryId> {
        self.entries.last().map(|entry| entry.id).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |id| id.index + 1)
    }
}

/// A log's history: every state that it went through, and how much of it was acknowledged.
pub(super) struct Story {
    pub(super) reports: Reports,
    /// One state per record; a crash may leave any of them that is not older than what was acknowledged.
    pub(super) states: Vec<Model>,
    /// Which state each write leads to.
    writes: Vec<usize>,
    term: u64,
    number: usize,
}

impl Story {
    pub(super) fn begin(state: Model, term: u64) -> Self {
        Self {
            reports: Reports::default(),
            states: vec![state],
            writes: Vec::new(),
            term,
            number: 0,
        }
    }

    pub(super) fn now(&self) -> &Model {
        self.states.last().expect("begins with one")
    }

    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// The newest state that was acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        let durable = |number: &usize| self.reports.is_durable(*number);
        let newest = (0..self.writes.len()).rfind(durable);
        newest.map_or(0, |number| self.writes[number])
    }

    /// Does one random thing; false when the log takes no more writes.
    pub(super) fn step(&mut self, log: &Log, dice: &mut Dice) -> bool {
        let mut states = vec![self.now().clone()];
        let mut state = self.now().clone();
        let done = self.reports.done(self.number);
        let accepted = match dice.below(20) {
            0..12 => {
                let count = 1 + dice.below(4);
                let mut batch = Vec::new();
                for index in state.next()..state.next() + count {
                    let length = match dice.below(30) {
                        0 => 5000,
                        1..6 => 600,
                        _ => 30,
                    };
                    batch.push(entry(index, self.term, length));
                    state.entries.push(batch[batch.len() - 1].clone());
                    states.push(state.clone());
                }
                log.append(batch, done)
            }
            12..15 => {
                self.term += 1;
                let vote = Bytes::from(format!("vote for term {}", self.term));
                state.vote = Some(vote.clone());
                log.save_vote(vote, done)
            }
            15..17 => {
                self.term += 1;
                let keep =
                    state.entries.len() - dice.below(4).min(state.entries.len() as u64) as usize;
                state.entries.truncate(keep);
                log.truncate_after(state.last(), done)
            }
            17..19 => {
                if state.entries.is_empty() {
                    return true;
                }
                let upto = dice.below(state.entries.len() as u64) as usize;
                let upto = state.entries[upto].id;
                state.entries.retain(|entry| entry.id.index > upto.index);
                state.purged = Some(upto);
                log.purge(upto, done)
            }
            _ if dice.below(4) > 0 => {
                let some = dice.below(state.entries.len() as u64 + 1) as usize;
                let committed = state.entries.get(some).map(|entry| entry.id);
                return log.save_committed(committed.or(log.committed())).is_ok();
            }
            _ => {
                // What installing a snapshot does.
                self.term += 1;
                let upto = id(state.next() + dice.below(5), self.term);
                state.entries.clear();
                states.push(state.clone());
                state.purged = Some(upto);
                log.purge(upto, done)
            }
        };
        match accepted {
            Ok(()) => {}
            Err(LogError::Failed { .. }) => return false,
            Err(error) => panic!("a correct write was refused: {error}"),
        }
        states.push(state);
        states.remove(0);
        self.states.append(&mut states);
        self.writes.push(self.states.len() - 1);
        self.number += 1;
        assert_eq!(log.last(), self.now().last());
        true
    }

    /// Checks that this is a state that a crash may leave.
    pub(super) fn check(&self, found: &Model, seed: u64) {
        let acknowledged = self.acknowledged();
        let allowed = &self.states[acknowledged..];
        assert!(
            allowed.contains(found),
            "seed {seed}: found {found:#?}\nwhich is none of the {} states since the acknowledged {:#?}",
            allowed.len(),
            allowed[0],
        );
    }
}
