use std::collections::BTreeMap;

use super::random::Random;

/// A change of names.
#[derive(Clone)]
pub(super) enum Change {
    /// A new file.
    Link(String, usize),
    /// From, to, and the file they name.
    Rename(String, String, usize),
    /// A name that goes away.
    Unlink(String),
}

/// Names as a reader sees them, as the platter has them, and the changes between the two.
#[derive(Default)]
pub(super) struct Directory {
    visible: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Change>,
}

impl Directory {
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.visible.get(name).copied()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.visible.keys().cloned().collect()
    }

    /// Whether the file has a name, or would have one again after a power cut.
    pub(super) fn holds(&self, id: usize) -> bool {
        self.visible.values().any(|held| *held == id)
    }

    pub(super) fn apply(&mut self, change: Change) {
        make(&mut self.visible, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.visible);
        self.pending.clear();
    }

    /// Any subset of the pending changes survives.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        let odds = random.below(4);
        for change in &self.pending {
            if random.below(3) < odds {
                make(&mut self.durable, change);
            }
        }
        self.pending.clear();
        self.visible.clone_from(&self.durable);
    }
}

fn make(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link(name, id) => {
            names.insert(name.clone(), *id);
        }
        Change::Rename(from, to, id) => {
            names.remove(from);
            names.insert(to.clone(), *id);
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
    }
}
