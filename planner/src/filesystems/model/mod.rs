//! Every state that a shared filesystem of three hosts can get into is visited, with the very code that decides in the product.
//!
//! Around [`super::plan`] stand hosts and their kernels (`host`), what the log holds (`leader`) and a world that does its worst
//! (`cluster`): hosts crash, are cut off while they write on, are switched off at any moment, boot again fenced or not, come and go as
//! people wish; plans arrive late or never, what hosts say arrives late or never and about older plans; the leader decides at any
//! moment, from what is committed, and a decision may be committed in part. What is bounded is how often: see [`Bounds`].
//!
//! From every state the search also asks what comes of it when nothing more goes wrong: all hosts that should have the filesystem mounted
//! must come to have it, those that are left as well as, later, those that are switched on again.
//!
//! A checker that finds nothing proves little until it is shown to find things: each [`Mistake`] leaves one precondition out,
//! outside the product's code, and must lead to a broken rule.

mod cluster;
mod host;
mod leader;

use cluster::{Cluster, MOUNTS, REPLAYS, Rule, State, Step};
use leader::{HOSTS, Set};
use stateright::{Checker, HasDiscoveries, Model};
use std::num::NonZeroUsize;
use std::time::Instant;
use std::{env, thread};

/// How large the world is and how often what may happen.
#[derive(Clone, Debug)]
struct Bounds {
    /// The hosts that are to have it mounted.
    wanted: Set,
    /// They have just started, and nobody has it mounted. Otherwise all that should have.
    cold: bool,
    crashes: u8,
    cuts: u8,
    /// Hosts that people let in or out.
    wishes: u8,
    /// Decisions of which only a part is committed at once.
    torn: u8,
    /// What a host says is committed at once. Otherwise it arrives at any later time.
    prompt: bool,
}

impl Bounds {
    const QUIET: Self = Self {
        wanted: 0b111,
        cold: false,
        crashes: 0,
        cuts: 0,
        wishes: 0,
        torn: 0,
        prompt: false,
    };
}

/// One precondition left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// A member that was told to stop counts as stopped: a joiner starts before it.
    StopsNotAwaited,
    /// A silent host counts as fenced.
    SilenceIsProof,
    /// What a host says about an older record counts for the present one.
    OldWordsCount,
    /// All boots of a host are taken for the same one.
    BootsNotTold,
    /// A host that does not reach a member goes on without it and replays its journal.
    ReplaysUnasked,
}

/// Visits every state within the bounds, or as many as it takes to see what is looked for.
fn explore(
    name: &str,
    world: Cluster,
    threads: usize,
    until: HasDiscoveries,
) -> impl Checker<Cluster> {
    let began = Instant::now();
    let checker = world
        .checker()
        .threads(threads)
        .finish_when(until)
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} steps to {} different states, at most {} deep, {} decisions, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        checker.model().pictures(),
        began.elapsed().as_secs_f64()
    );
    checker
}

/// No rule is ever broken, and everything always comes to rest.
fn holds(name: &str, bounds: Bounds) {
    let loses = bounds.crashes + bounds.cuts > 0;
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let world = Cluster::new(bounds, None);
    let checker = explore(name, world, threads, HasDiscoveries::AnyFailures);
    for rule in Rule::ALL.map(Rule::words).into_iter().chain([MOUNTS]) {
        let Some(path) = checker.discovery(rule) else {
            continue;
        };
        let last = path.last_state().clone();
        for step in path.into_actions() {
            println!("    {step:?}");
        }
        println!("{last:?}");
        let way = checker.model().comes_to_rest(&last);
        for (step, _) in way.err().iter().flatten().take(100) {
            println!("    then {step:?}");
        }
        panic!("{name}: not so: {rule}");
    }
    assert!(
        !loses || checker.discovery(REPLAYS).is_some(),
        "{name}: no journal was ever replayed, so nothing was shown"
    );
}

/// With the mistake that rule is broken.
fn bites(mistake: Mistake, bounds: Bounds, rule: Rule) {
    let name = format!("{mistake:?}");
    let world = Cluster::new(bounds, Some(mistake));
    let until = HasDiscoveries::AnyOf([rule.words()].into());
    let checker = explore(&name, world, 1, until);
    let path = checker.discovery(rule.words());
    let path = path.unwrap_or_else(|| panic!("{name} never breaks: {}", rule.words()));
    for step in path.into_actions() {
        println!("    {step:?}");
    }
}

/// These steps can be gone one after the other, break no rule, and everything comes to rest after each. Where they lead.
fn goes_well(bounds: Bounds, steps: &[Step]) -> (Cluster, State) {
    let world = Cluster::new(bounds, None);
    let mut state = world.init_states().pop().expect("one beginning");
    for step in steps {
        state = world
            .next_state(&state, *step)
            .unwrap_or_else(|| panic!("{step:?} changes nothing"));
        assert_eq!(state.broken, None, "after {step:?}");
        let rests = world.comes_to_rest(&state).is_ok();
        assert!(rests, "after {step:?}: not so: {MOUNTS}");
    }
    (world, state)
}

/// Whether there is patience for a search, according to QUORATE_MODEL: an unoptimised build visits the smallest worlds in seconds,
/// those that are bounded in minutes, and all of them in hours.
fn worth(patience: &[&str]) -> bool {
    let worth = env::var("QUORATE_MODEL").is_ok_and(|it| patience.contains(&it.as_str()));
    if !worth {
        println!("not searched here: QUORATE_MODEL={} does", patience[0]);
    }
    worth
}

#[test]
fn three_hosts_that_start_come_to_share_it() {
    let cold = Bounds {
        cold: true,
        ..Bounds::QUIET
    };
    holds("three hosts join", cold);
}

#[test]
fn a_host_that_crashes_is_replayed_after_its_fence_and_comes_back() {
    let crashing = Bounds {
        crashes: 1,
        ..Bounds::QUIET
    };
    holds("one crashes", crashing);
}

#[test]
fn a_host_that_is_cut_off_writes_on_until_it_is_fenced() {
    let cut = Bounds {
        cuts: 1,
        ..Bounds::QUIET
    };
    holds("one is cut off", cut);
}

#[test]
fn hosts_come_and_go_as_people_wish() {
    if !worth(&["bounded", "full"]) {
        return;
    }
    let wishes = Bounds {
        wishes: 2,
        prompt: true,
        ..Bounds::QUIET
    };
    holds("two wishes", wishes);
}

#[test]
fn a_decision_that_is_committed_in_part_is_gone_on_with() {
    let torn = Bounds {
        wanted: 0b011,
        wishes: 1,
        torn: 1,
        ..Bounds::QUIET
    };
    holds("one wish, torn", torn);
}

#[test]
fn one_comes_or_goes() {
    let one = Bounds {
        wishes: 1,
        ..Bounds::QUIET
    };
    holds("one wish", one);
}

/// Found by the search that follows: while one member was silent, what another one had been told was told to its next boot, too. It
/// gave locks as a member, while the rest still had its former boot among theirs, and that boot's journal was never replayed.
#[test]
fn a_boot_is_not_told_what_its_former_one_was() {
    let both = Bounds {
        crashes: 1,
        cuts: 1,
        ..Bounds::QUIET
    };
    let steps = [
        Step::Crash(0),
        Step::Cut(1),
        Step::Suspect(1),
        Step::Boot(0),
    ];
    let (world, state) = goes_well(both, &steps);
    let decided = world.next_state(&state, Step::Decide(HOSTS));
    let record = decided.unwrap_or(state).log.hosts[0].record;
    assert_eq!(record.map(|record| record.boot), Some(1));
}

#[test]
fn one_boots_while_another_is_cut_off() {
    if !worth(&["bounded", "full"]) {
        return;
    }
    let both = Bounds {
        crashes: 1,
        cuts: 1,
        prompt: true,
        ..Bounds::QUIET
    };
    holds("one crashes, one is cut off", both);
}

#[test]
fn one_is_lost_while_another_comes_or_goes() {
    if !worth(&["bounded", "full"]) {
        return;
    }
    let both = Bounds {
        crashes: 1,
        wishes: 1,
        prompt: true,
        ..Bounds::QUIET
    };
    holds("one crashes, one wish", both);
}

#[test]
fn one_is_lost_while_all_join() {
    if !worth(&["bounded", "full"]) {
        return;
    }
    let cold = Bounds {
        cold: true,
        crashes: 1,
        prompt: true,
        ..Bounds::QUIET
    };
    holds("all join, one crashes", cold);
}

#[test]
fn larger_worlds_keep_the_rules() {
    if !worth(&["full"]) {
        return;
    }
    let late = |name: &str, bounds: Bounds| holds(&format!("late, {name}"), bounds);
    late(
        "one crashes, one is cut off",
        Bounds {
            crashes: 1,
            cuts: 1,
            ..Bounds::QUIET
        },
    );
    late(
        "two wishes, torn",
        Bounds {
            wishes: 2,
            torn: 1,
            ..Bounds::QUIET
        },
    );
    late(
        "all join, one crashes",
        Bounds {
            cold: true,
            crashes: 1,
            ..Bounds::QUIET
        },
    );
    let prompt = |name: &str, bounds: Bounds| {
        let bounds = Bounds {
            prompt: true,
            ..bounds
        };
        holds(&format!("prompt, {name}"), bounds);
    };
    prompt(
        "two crash, one is cut off",
        Bounds {
            crashes: 2,
            cuts: 1,
            ..Bounds::QUIET
        },
    );
    prompt(
        "one is cut off, two wishes",
        Bounds {
            cuts: 1,
            wishes: 2,
            ..Bounds::QUIET
        },
    );
}

#[test]
fn a_member_that_was_told_to_stop_has_not_stopped_yet() {
    let joins = Bounds {
        wishes: 1,
        wanted: 0b011,
        ..Bounds::QUIET
    };
    bites(Mistake::StopsNotAwaited, joins, Rule::SameMembers);
}

#[test]
fn a_silent_host_writes_until_it_is_fenced() {
    let cut = Bounds {
        cuts: 1,
        ..Bounds::QUIET
    };
    bites(Mistake::SilenceIsProof, cut, Rule::NoReplayUnderAWriter);
}

#[test]
fn what_was_said_of_an_older_plan_is_no_answer() {
    let joins = Bounds {
        wishes: 1,
        wanted: 0b011,
        ..Bounds::QUIET
    };
    bites(Mistake::OldWordsCount, joins, Rule::SameMembers);
}

#[test]
fn a_member_is_one_boot_of_a_host() {
    let crashing = Bounds {
        crashes: 1,
        ..Bounds::QUIET
    };
    bites(Mistake::BootsNotTold, crashing, Rule::OwnMembership);
}

#[test]
fn nobody_replays_a_journal_unasked() {
    let cut = Bounds {
        cuts: 1,
        ..Bounds::QUIET
    };
    bites(Mistake::ReplaysUnasked, cut, Rule::NoReplayUnderAWriter);
}
