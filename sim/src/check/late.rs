//! What was decided before it was committed.
//!
//! A leader that is cut off goes on to decide, and what it decided is committed when it reaches the others again, if they
//! have not elected another one meanwhile. Then it may just have heard the host that it had missed. What a leader decided
//! as the last thing it did, and still sent to others, the next leader commits as the first thing that it does. Half of the
//! voters commits whatever waits only when it has taken the other half out.

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
    (is_recent(bench, leader.since) || has_taken_over(bench))
        && until.saturating_sub(heard.max(former.since)) >= long
}

/// Whether the host was silent for so long until a moment ago, and its leader was there to notice.
pub(super) fn was_silent(bench: &Bench, node: &str, leader: &Leader, long: Duration) -> bool {
    let pair = (node.to_owned(), leader.process.clone());
    bench.silences.get(&pair).is_some_and(|(from, to)| {
        (is_recent(bench, *to) || has_taken_over(bench))
            && to.saturating_sub((*from).max(leader.since)) >= long
    })
}

fn is_recent(bench: &Bench, at: Duration) -> bool {
    bench.now.saturating_sub(at) < COMMITTED_WITHIN
}

fn has_taken_over(bench: &Bench) -> bool {
    bench.took_over.is_some_and(|at| is_recent(bench, at))
}
