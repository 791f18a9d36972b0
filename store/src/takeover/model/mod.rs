//! Every state that a small cluster can get into is visited, with the very code that the product runs.
//!
//! Around [`Takeover`](super::Takeover) stand a small Raft (`raft`) and a world that does its worst (`cluster`): frames
//! arrive late, twice or never, in any order; a member believes at any moment that any others are silent, which
//! is what partitions come to; machines lose power and get it back at any moment, also while they are being fenced;
//! devices fail, act late, answer late, act again after their asker is gone; members are restarted; the membership
//! is changed meanwhile. What is bounded is how often: see [`Bounds`].
//!
//! A checker that finds nothing proves little until it is shown to find things: each [`Mistake`] leaves one
//! precondition out, outside the product's code, and must lead to a broken rule.

mod cluster;
mod larger;
mod raft;

use std::{
    collections::BTreeMap,
    env,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use stateright::{
    Checker, HasDiscoveries, Model,
    report::{ReportData, ReportDiscovery, Reporter},
};

use super::model::{
    cluster::{Cluster, RULES, TAKES_OVER},
    raft::{Voters, bit},
};
use crate::MemberId;

/// The halves of four that are looked at: with and against the first leader, and across these.
const HALVES: &[Voters] = &[0b00110, 0b11000, 0b01010, 0b10100];

/// How large the world is and how often what may happen.
#[derive(Clone, Debug)]
struct Bounds {
    voters: u64,
    /// Every machine has just started: nobody was in a quorum yet.
    cold: bool,
    /// The highest term, and the most entries in a log.
    terms: u8,
    entries: u8,
    /// Takeovers begun, power returned, power lost by accident, members restarted, memberships changed by people.
    attempts: u8,
    starts: u8,
    losses: u8,
    restarts: u8,
    changes: u8,
    /// Questions of replication and election are answered at once or not at all. Otherwise each frame is delayed,
    /// repeated and lost by itself.
    exchanges: bool,
    /// The halves of four that may find themselves alone.
    halves: &'static [Voters],
    /// What a device says arrives at any later time. Otherwise it arrives while it is true.
    late_reports: bool,
}

impl Bounds {
    /// Two voters, each frame by itself.
    const PAIR: Self = Self {
        voters: 2,
        cold: false,
        terms: 2,
        entries: 3,
        attempts: 1,
        starts: 1,
        losses: 0,
        restarts: 0,
        changes: 0,
        exchanges: false,
        halves: HALVES,
        late_reports: true,
    };

    /// Two voters, answers at once, and so more of everything else.
    const LONG_PAIR: Self = Self {
        terms: 3,
        entries: 4,
        attempts: 2,
        exchanges: true,
        ..Self::PAIR
    };

    /// Two voters, each frame by itself, time enough for both to shoot.
    const TWICE_EACH_FRAME: Self = Self {
        terms: 2,
        exchanges: false,
        ..Self::LONG_PAIR
    };

    /// Two voters of whom a person removes one.
    const CHANGING_PAIR: Self = Self {
        changes: 1,
        terms: 2,
        entries: 5,
        ..Self::LONG_PAIR
    };

    /// Four voters, answers at once.
    const FOUR: Self = Self {
        voters: 4,
        entries: 2,
        starts: 0,
        exchanges: true,
        late_reports: false,
        ..Self::PAIR
    };

    /// What a member may believe to hear when its quorum is silent: exactly as many others as make a half.
    fn hears(&self, id: MemberId) -> Vec<Voters> {
        let all = (1..=self.voters).fold(0, |all, one| all | bit(one));
        (0..=all)
            .filter(|hears| {
                hears & !all == 0
                    && hears & bit(id) == 0
                    && u64::from(hears.count_ones()) + 1 == self.voters / 2
                    && (self.voters < 4 || self.halves.contains(&(hears | bit(id))))
            })
            .collect()
    }
}

/// One precondition left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// A machine that has just started shoots.
    RebootedMayShoot,
    /// Any contact with a leader counts as having been in a quorum.
    ContactIsQuorum,
    /// A frame that was sent before its receiver started counts as contact.
    OldContactCounts,
    /// Evidence of an earlier round is used.
    StaleEvidence,
    /// A device's "done" is believed without asking whether the machine is off.
    SuccessNotVerified,
    /// Devices are asked before the others of the half have promised.
    PromisesNotAwaited,
    /// Those outside the half are heard all the same.
    OthersAreHeard,
    /// Each fenced voter is stood in for, not just one: half of the half would do.
    OneVoteForEachFenced,
    /// Members of a half with different memberships, or in the middle of a change, act.
    MembershipNotCompared,
}

/// Says each minute how far a search is.
struct Progress<'a> {
    name: &'a str,
    told: u64,
}

impl Reporter<Cluster> for Progress<'_> {
    fn report_checking(&mut self, data: ReportData) {
        let minutes = data.duration.as_secs() / 60;
        if minutes > self.told && !data.done {
            self.told = minutes;
            println!(
                "{}: {minutes} min, {} different states, {} deep",
                self.name, data.unique_states, data.max_depth
            );
        }
    }

    fn report_discoveries(
        &mut self,
        _: &Cluster,
        _: BTreeMap<&'static str, ReportDiscovery<Cluster>>,
    ) {
        // Whoever began the search judges what it found.
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(50)
    }
}

/// Visits every state within the bounds, or as many as it takes to see a rule broken.
fn explore(name: &str, bounds: Bounds, mistake: Option<Mistake>) -> impl Checker<Cluster> {
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let checker = Cluster { bounds, mistake }
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .report(&mut Progress { name, told: 0 });
    println!(
        "{name}: {} steps to {} different states, at most {} deep, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    checker
}

/// No rule is ever broken, and a half does take over.
fn holds(name: &str, bounds: Bounds) {
    let checker = explore(name, bounds, None);
    if let Some(path) = checker.discovery(RULES) {
        panic!("{name}: {:?}\n{path}", path.last_state().broken);
    }
    assert!(
        checker.discovery(TAKES_OVER).is_some(),
        "{name}: no half ever took over, so nothing was shown"
    );
}

/// With the mistake a rule is broken.
fn bites(mistake: Mistake, bounds: Bounds) {
    let name = format!("{mistake:?}");
    let checker = explore(&name, bounds, Some(mistake));
    let path = checker.discovery(RULES);
    let path = path.unwrap_or_else(|| panic!("{name} broke no rule"));
    println!("  {:?}", path.last_state().broken);
    for step in path.into_actions() {
        println!("    {step:?}");
    }
}

/// How long a search is worth waiting for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Patience {
    /// What an unoptimised build visits in seconds.
    Quick,
    /// What an optimised build visits within a minute or two: `make test`.
    Bounded,
    /// What takes hours: `make model`.
    Full,
}

/// Whether there is patience for a search, according to QUORATE_MODEL.
fn worth(search: Patience) -> bool {
    let patience = match env::var("QUORATE_MODEL").as_deref() {
        Ok("full") => Patience::Full,
        Ok("bounded") => Patience::Bounded,
        _ => Patience::Quick,
    };
    if patience < search {
        println!(
            "not searched here: `make test` sets QUORATE_MODEL=bounded, `make model` sets full"
        );
    }
    patience >= search
}

#[test]
fn a_pair_never_loses_an_entry_and_never_splits() {
    if !worth(Patience::Bounded) {
        return;
    }
    let deeper = Bounds {
        entries: 4,
        ..Bounds::PAIR
    };
    holds("a pair, frame by frame", deeper);
}

#[test]
fn a_pair_whose_halves_shoot_each_other_in_turn_keeps_the_rules() {
    holds("a pair, twice", Bounds::LONG_PAIR);
}

#[test]
fn a_pair_that_boots_cold_keeps_the_rules() {
    let cold = Bounds {
        cold: true,
        entries: 5,
        ..Bounds::LONG_PAIR
    };
    holds("a pair, cold", cold);
}

#[test]
fn a_pair_whose_members_and_machines_fail_by_themselves_keeps_the_rules() {
    if !worth(Patience::Bounded) {
        return;
    }
    let failing = Bounds {
        losses: 1,
        restarts: 1,
        terms: 2,
        ..Bounds::LONG_PAIR
    };
    holds("a pair, failing", failing);
}

#[test]
fn a_pair_whose_membership_is_being_changed_keeps_the_rules() {
    if !worth(Patience::Bounded) {
        return;
    }
    holds("a pair, changing", Bounds::CHANGING_PAIR);
}

#[test]
fn a_machine_that_has_just_started_must_not_shoot() {
    bites(Mistake::RebootedMayShoot, Bounds::LONG_PAIR);
}

#[test]
fn contact_with_a_leader_is_no_quorum() {
    if !worth(Patience::Bounded) {
        return;
    }
    bites(Mistake::ContactIsQuorum, Bounds::TWICE_EACH_FRAME);
}

#[test]
fn frames_from_before_a_start_are_no_contact() {
    if !worth(Patience::Bounded) {
        return;
    }
    bites(Mistake::OldContactCounts, Bounds::TWICE_EACH_FRAME);
}

#[test]
fn evidence_of_another_round_is_void() {
    if !worth(Patience::Bounded) {
        return;
    }
    let thrice = Bounds {
        attempts: 3,
        ..Bounds::LONG_PAIR
    };
    bites(Mistake::StaleEvidence, thrice);
}

#[test]
fn a_device_that_says_done_is_asked_whether_the_machine_is_off() {
    bites(Mistake::SuccessNotVerified, Bounds::LONG_PAIR);
}

#[test]
fn a_half_promises_before_devices_are_asked() {
    bites(Mistake::PromisesNotAwaited, Bounds::FOUR);
}

#[test]
fn a_half_that_shoots_hears_nobody_outside() {
    bites(Mistake::OthersAreHeard, Bounds::FOUR);
}

#[test]
fn one_fenced_voter_is_stood_in_for_and_no_more() {
    if !worth(Patience::Bounded) {
        return;
    }
    bites(Mistake::OneVoteForEachFenced, Bounds::FOUR);
}

#[test]
fn a_half_acts_on_one_settled_membership() {
    bites(Mistake::MembershipNotCompared, Bounds::CHANGING_PAIR);
}

#[test]
fn four_voters_of_whom_two_go_on_keep_the_rules() {
    if !worth(Patience::Bounded) {
        return;
    }
    let removing = Bounds {
        entries: 4,
        terms: 1,
        ..Bounds::FOUR
    };
    holds("four", removing);
}
