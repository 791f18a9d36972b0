//! Which seeds are run.

use std::collections::BTreeSet;

use crate::world::Setup;

/// Seeds in their order, of those alone whose clusters are asked for. What a seed's cluster is like is known without making it.
#[derive(Clone, Debug)]
pub struct Seeds {
    next: u64,
    left: u64,
    members: BTreeSet<usize>,
    skipped: u64,
}

impl Seeds {
    /// So many seeds, of which none is before the first.
    #[must_use]
    pub fn new(first: u64, count: u64) -> Self {
        Self {
            next: first,
            left: count,
            members: BTreeSet::new(),
            skipped: 0,
        }
    }

    /// Only those whose clusters have one of these numbers of members; none named: all.
    #[must_use]
    pub fn with_members(mut self, members: impl IntoIterator<Item = usize>) -> Self {
        self.members = members.into_iter().collect();
        self
    }

    /// The numbers of members that are asked for; none: any.
    #[must_use]
    pub fn members(&self) -> &BTreeSet<usize> {
        &self.members
    }

    /// How many have been passed over.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The first that was not looked at.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.next
    }

    fn wants(&self, seed: u64) -> bool {
        self.members.is_empty() || self.members.contains(&Setup::of(seed).members)
    }
}

impl Iterator for Seeds {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        while self.left > 0 {
            let seed = self.next;
            self.next = seed.checked_add(1)?;
            if self.wants(seed) {
                self.left -= 1;
                return Some(seed);
            }
            self.skipped += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_every_seed_counts() {
        let mut seeds = Seeds::new(7, 3);
        assert_eq!(seeds.by_ref().collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!((seeds.skipped(), seeds.unseen()), (0, 10));
    }

    #[test]
    fn only_clusters_with_the_wanted_numbers_of_members_count() {
        let mut seeds = Seeds::new(1, 50).with_members([2, 4]);
        let chosen: Vec<u64> = seeds.by_ref().collect();
        assert_eq!(chosen.len(), 50, "skipped ones do not count");
        let members: BTreeSet<usize> = chosen.iter().map(|it| Setup::of(*it).members).collect();
        assert_eq!(members, [2, 4].into(), "pairs and fours, and nothing else");
        let last = chosen[49];
        let between = (1..last).filter(|seed| !chosen.contains(seed));
        let others: BTreeSet<usize> = between.map(|it| Setup::of(it).members).collect();
        assert!(others.is_disjoint(&members), "none was missed: {others:?}");
        assert_eq!(seeds.skipped(), last - 50);
        assert_eq!(seeds.unseen(), last + 1);
    }

    #[test]
    fn the_last_seed_of_all_ends_it() {
        let seeds = Seeds::new(u64::MAX, 5);
        assert_eq!(seeds.count(), 0);
    }
}
