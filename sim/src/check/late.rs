//! What was decided long before it was committed.
//!
//! A leader that is cut off goes on to decide, and what it decided may be committed when it reaches the others again, if they
//! have not elected another one meanwhile. It is judged by the moment when it may have been decided: between the commit
//! before it and its own.

use std::time::Duration;

use super::judge::{Bench, Leader};

/// The moments of commits, and the last silences.
#[derive(Default)]
pub(crate) struct Late {
    /// The last moment at which anything was committed, and the one before it.
    commits: (Duration, Duration),
}

impl Late {
    /// Something is committed.
    pub(crate) fn commit(&mut self, now: Duration) {
        if now > self.commits.0 {
            self.commits = (now, self.commits.0);
        }
    }
}

/// Whether the host was silent for so long at a moment when the leader may have decided what is committed only now.
pub(super) fn was_silent(bench: &Bench, node: &str, leader: &Leader, long: Duration) -> bool {
    let pair = (node.to_owned(), leader.process.clone());
    let Some((from, to)) = bench.silences.get(&pair).copied() else {
        return false;
    };
    let (_, before) = bench.late.commits;
    to > before && to.saturating_sub(from.max(leader.since)) >= long
}
