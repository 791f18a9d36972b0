//! What was decided before it was committed.
//!
//! A leader that is cut off goes on to decide, and what it decided is committed when it reaches the others again, if they
//! have not elected another one meanwhile. Then it may just have heard the host that it had missed. What a leader decided
//! as the last thing it did, and still sent to others, the next leader commits as the first thing that it does. One that no
//! majority answers for a while, and that nobody stands against, commits what it has decided when one answers again. Half of
//! the voters commits whatever waits only when it has taken the other half out; what it had decided before comes first in the
//! log.

use std::time::Duration;

use super::judge::{Bench, Leader};

/// What waits for the others is committed so soon after they are reached.
const COMMITTED_WITHIN: Duration = Duration::from_millis(500);

/// When a silence ended in which its host could be suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// So short a time ago, or so shortly before a takeover or the answer of a majority that had fallen silent, that what was
    /// decided in it is committed only now.
    Lately,
    /// Before: what was decided in it has waited for a takeover, or was never decided.
    Before,
}

/// When the leader before ceased to lead, if it had missed the host for so long. The same member may lead again, and have
/// heard the host meanwhile.
pub(super) fn missed_by_the_former(bench: &Bench, node: &str, long: Duration) -> Option<Ended> {
    let (former, until) = bench.deposed.as_ref()?;
    let leader = bench.leader.as_ref()?;
    let pair = (node.to_owned(), former.process.clone());
    let since = bench.heard.get(&pair).copied().unwrap_or_default();
    let before = bench.silences.get(&pair).copied();
    // What is heard after its time says nothing about it.
    let mut missed = before.into_iter().chain([(since, *until)]);
    missed
        .any(|(from, to)| to.min(*until).saturating_sub(from.max(former.since)) >= long)
        .then(|| ended(bench, leader.since))
}

/// When the host was heard again, if it had been silent for so long, and its leader was there to notice.
pub(super) fn silent_before(
    bench: &Bench,
    node: &str,
    leader: &Leader,
    long: Duration,
) -> Option<Ended> {
    let pair = (node.to_owned(), leader.process.clone());
    let (from, to) = *bench.silences.get(&pair)?;
    (to.saturating_sub(from.max(leader.since)) >= long).then(|| ended(bench, to))
}

/// Half of the voters says that it has taken over: what it commits in this moment has waited for that.
pub(super) fn takes_over(bench: &mut Bench) {
    let now = bench.now;
    bench.took_over = Some(now);
    bench.doubts.retain(|(at, _)| *at < now);
}

/// What no takeover was committed with was no right decision.
pub(super) fn settle(bench: &mut Bench) {
    let now = bench.now;
    let is_over = |(at, _): &mut (Duration, String)| *at < now;
    let doubts: Vec<_> = bench.doubts.extract_if(.., is_over).collect();
    for (_, doubt) in doubts {
        bench.found(doubt);
    }
}

/// A majority has answered the leader.
pub(super) fn acknowledged(bench: &mut Bench, at: Duration) {
    let before = bench.acknowledged.unwrap_or(at);
    if at.saturating_sub(before) > COMMITTED_WITHIN {
        bench.unanswered = Some((before, at));
    }
    bench.acknowledged = Some(at.max(before));
}

fn ended(bench: &Bench, at: Duration) -> Ended {
    let lately = is_recent(bench, at)
        || bench.took_over.is_some_and(|at| is_recent(bench, at))
        || waited_for_a_majority(bench, at);
    match lately {
        true => Ended::Lately,
        false => Ended::Before,
    }
}

/// Whether what was decided in a silence that ended then was committed only when a majority answered again, which is now.
fn waited_for_a_majority(bench: &Bench, silence_ended: Duration) -> bool {
    let last = bench.acknowledged.filter(|at| !is_recent(bench, *at));
    let goes_on = last.map(|last| (last, bench.now));
    let unanswered = goes_on.or(bench.unanswered);
    unanswered.is_some_and(|(from, to)| from <= silence_ended && is_recent(bench, to))
}

fn is_recent(bench: &Bench, at: Duration) -> bool {
    bench.now.saturating_sub(at) < COMMITTED_WITHIN
}

#[cfg(test)]
mod tests {
    use quorate_node_daemon::simulated::{
        LocalRoom,
        room::{Layout, MachineRoom, Settings},
    };

    use super::*;
    use crate::check::{Judge, losses::suspected};

    const LONG: Duration = Duration::from_millis(1_850);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn judge() -> Judge {
        let room = MachineRoom::new(Layout::default(), Settings::default(), 1);
        Judge::new(LocalRoom::new(room))
    }

    fn leads(judge: &Judge, term: u64, since: u64, until: u64) {
        let leader = Leader {
            process: "quorated@a".to_owned(),
            term,
            since: at(since),
        };
        judge.leads(Some(leader), at(until));
    }

    /// Member a hears b all the time.
    fn beats(judge: &Judge, from: u64, to: u64) {
        for now in (from..=to).step_by(250) {
            judge.hears("quorated@a", "b", at(now));
        }
    }

    fn missed(judge: &Judge, now: u64) -> Option<Ended> {
        let mut bench = judge.lock();
        bench.now = at(now);
        missed_by_the_former(&bench, "b", LONG)
    }

    /// Member a suspects b at that moment.
    fn suspects(judge: &Judge, now: u64) {
        let mut bench = judge.lock();
        bench.now = at(now);
        suspected(&mut bench, "b");
    }

    fn found(judge: &Judge, now: u64) -> usize {
        let mut bench = judge.lock();
        bench.now = at(now);
        settle(&mut bench);
        bench.violations.len()
    }

    #[test]
    fn one_that_leads_again_has_missed_before_whom_it_hears_now() {
        let judge = judge();
        judge.hears("quorated@a", "b", at(1_000));
        leads(&judge, 1, 0, 3_100);
        judge.hears("quorated@a", "b", at(3_150));
        leads(&judge, 2, 3_200, 3_300);
        judge.hears("quorated@a", "b", at(3_350));
        assert_eq!(missed(&judge, 3_400), Some(Ended::Lately));
        assert_eq!(missed(&judge, 9_000), Some(Ended::Before));
    }

    #[test]
    fn what_the_former_leader_heard_in_time_was_not_missed() {
        let judge = judge();
        judge.hears("quorated@a", "b", at(1_000));
        leads(&judge, 1, 0, 2_500);
        judge.hears("quorated@a", "b", at(3_150));
        leads(&judge, 2, 3_200, 3_300);
        assert_eq!(missed(&judge, 3_400), None, "it led for 1.5 s of it");
    }

    #[test]
    fn nobody_misses_before_it_leads() {
        let judge = judge();
        judge.hears("quorated@a", "b", at(1_000));
        leads(&judge, 1, 2_000, 3_100);
        judge.hears("quorated@a", "b", at(3_150));
        leads(&judge, 2, 3_200, 3_300);
        assert_eq!(missed(&judge, 3_400), None, "it led for 1.1 s of it");
    }

    /// Seed 120993: the takeover came 565 ms after the host was heard again.
    #[test]
    fn what_was_decided_in_a_silence_and_committed_with_a_takeover_was_no_mistake() {
        let judge = judge();
        leads(&judge, 1, 0, 2_000);
        judge.hears("quorated@a", "b", at(1_000));
        judge.hears("quorated@a", "b", at(4_000));
        suspects(&judge, 4_600);
        takes_over(&mut judge.lock());
        assert_eq!(found(&judge, 5_000), 0);
    }

    /// Seed 169954: the other voter came back 3.4 s after the host was heard again, and had elected nobody.
    #[test]
    fn what_was_decided_in_a_silence_and_committed_when_a_majority_answers_again_was_no_mistake() {
        for seen in [true, false] {
            let judge = judge();
            leads(&judge, 1, 0, 2_000);
            judge.hears("quorated@a", "b", at(1_000));
            judge.acknowledged(at(1_500));
            beats(&judge, 4_000, 8_000);
            if seen {
                judge.acknowledged(at(8_000));
            }
            suspects(&judge, 8_050);
            assert_eq!(found(&judge, 9_000), 0);
        }
    }

    #[test]
    fn a_silence_that_was_over_when_the_majority_fell_silent_excuses_nothing() {
        let judge = judge();
        leads(&judge, 1, 0, 2_000);
        judge.hears("quorated@a", "b", at(1_000));
        beats(&judge, 4_000, 8_000);
        judge.acknowledged(at(4_100));
        judge.acknowledged(at(8_000));
        suspects(&judge, 8_050);
        assert_eq!(found(&judge, 9_000), 1);
    }

    #[test]
    fn what_was_decided_in_a_silence_and_committed_long_after_it_alone_was_a_mistake() {
        let judge = judge();
        leads(&judge, 1, 0, 2_000);
        judge.hears("quorated@a", "b", at(1_000));
        judge.hears("quorated@a", "b", at(4_000));
        judge.acknowledged(at(4_500));
        suspects(&judge, 4_600);
        assert_eq!(found(&judge, 4_605), 1);
    }

    #[test]
    fn no_takeover_excuses_who_was_heard_all_the_time() {
        let judge = judge();
        leads(&judge, 1, 0, 2_000);
        beats(&judge, 250, 4_500);
        suspects(&judge, 4_600);
        takes_over(&mut judge.lock());
        assert_eq!(found(&judge, 5_000), 1);
    }
}
