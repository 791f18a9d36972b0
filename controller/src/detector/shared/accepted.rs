use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// By host: the incarnation that says so, and the generation of the plan that it has accepted.
type Generations = BTreeMap<String, (u64, u64)>;

/// So long others are waited for, to be written down together.
const GATHER: Duration = Duration::from_secs(1);

/// Which plans hosts have accepted since it was written down last.
///
/// Every change of a plan is accepted by its host. Were each of these written by itself, it would overtake the leader,
/// whose next decision rests on the very same Node; so the leader writes them together, when it has nothing to decide.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    generations: Generations,
    first: Option<Instant>,
}

impl Accepted {
    /// A host says that it has accepted that generation.
    pub(crate) fn note(&mut self, node: &str, incarnation: u64, generation: u64, now: Instant) {
        let said = (incarnation, generation);
        match self.generations.get_mut(node) {
            Some(known) => *known = said.max(*known),
            None => _ = self.generations.insert(node.to_owned(), said),
        }
        self.first.get_or_insert(now);
    }

    /// What is to be written down by now.
    pub(crate) fn take(&mut self, now: Instant) -> Generations {
        match self.first {
            Some(first) if now.duration_since(first) >= GATHER => {
                self.first = None;
                std::mem::take(&mut self.generations)
            }
            _ => Generations::new(),
        }
    }

    /// It could not be written down.
    pub(crate) fn give_back(&mut self, generations: Generations, now: Instant) {
        for (node, (incarnation, generation)) in generations {
            self.note(&node, incarnation, generation, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_does_not_hide_what_came_meanwhile() {
        let (mut accepted, start) = (Accepted::default(), Instant::now());
        accepted.note("an1", 1, 7, start);
        accepted.note("an2", 1, 3, start + GATHER / 2);
        assert!(
            accepted.take(start + GATHER / 2).is_empty(),
            "others may come"
        );
        let taken = accepted.take(start + GATHER);
        assert_eq!(taken.len(), 2);
        accepted.note("an1", 2, 1, start + GATHER);
        accepted.give_back(taken, start + GATHER);
        let left = accepted.take(start + 2 * GATHER);
        assert_eq!(left["an1"], (2, 1));
        assert_eq!(left["an2"], (1, 3));
        assert!(accepted.take(start + 4 * GATHER).is_empty());
    }
}
