//! What was decided before it was committed.
//!
//! A leader that is cut off goes on to decide, and what it decided is committed when it reaches the others again, if they
//! have not elected another one meanwhile. Then it may just have heard the host that it had missed. What a leader decided
//! as the last thing it did, and still sent to others, the next leader commits as the first thing that it does, which may
//! be long after it was elected: half of the voters has to take the other half out first.

use std::time::Duration;

use super::judge::{Bench, Leader};

/// What waits for the others is committed so soon after they are reached.
const COMMITTED_WITHIN: Duration = Duration::from_millis(500);

/// Whether the leader before had missed the host for so long when it led last, and the present one has only just begun.
pub(super) fn was_missed_before(bench: &Bench, node: &str, long: Duration) -> bool {
    let (Some((former, until)), Some(leader)) = (&bench.deposed, &bench.leader) else {
        return false;
    };
    let heard = bench.heard.get(&(node.to_owned(), former.process.clone()));
    let heard = heard.copied().unwrap_or_default();
    let first = bench.first_commit.unwrap_or(bench.now).max(leader.since);
    bench.now.saturating_sub(first) < COMMITTED_WITHIN
        && until.saturating_sub(heard.max(former.since)) >= long
}

/// Whether the host was silent for so long until a moment ago, and its leader was there to notice.
pub(super) fn was_silent(bench: &Bench, node: &str, leader: &Leader, long: Duration) -> bool {
    let pair = (node.to_owned(), leader.process.clone());
    bench.silences.get(&pair).is_some_and(|(from, to)| {
        bench.now.saturating_sub(*to) < COMMITTED_WITHIN
            && to.saturating_sub((*from).max(leader.since)) >= long
    })
}
