//! How the members of a lockspace change: all present ones stop, and only when each has said so the
//! new members are set and it starts again.
//!
//! Without the first half a host that joins can take itself for the first that mounts, and both
//! hang; without the confirmed fence of a lost member its journal would be replayed under it.

use crate::mistake::{Mistake, made};
use std::collections::BTreeSet;

/// A host's part in it, as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    /// It is a member.
    pub(super) member: bool,
    /// It surely has no part any more: its incarnation is dead.
    pub(super) dead: bool,
    /// It is a member that is not heard, and not confirmed off.
    pub(super) silent: bool,
    /// It should be a member, and could become one now.
    pub(super) wanted: bool,
    /// It has answered what it was last told.
    pub(super) answered: bool,
    /// The newest form in which it settles locks of programs with others; 0: in none.
    pub(super) locks: u32,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) generation: u64,
    pub(super) running: bool,
    pub(super) members: BTreeSet<String>,
    /// Members of the former generation that go.
    pub(super) leaving: BTreeSet<String>,
    /// The form in which its members settle locks of programs, the same for the whole generation: one that does not speak it
    /// would hold up all others for ever. 0: such locks are refused.
    pub(super) locks: u32,
}

/// The present generation, as it was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) generation: u64,
    pub(super) running: bool,
    pub(super) locks: u32,
}

/// The next step, from the present generation and what every host says.
pub(super) fn next<'s>(now: Present, seats: impl Iterator<Item = (&'s str, Seat)> + Clone) -> Step {
    let Present {
        generation,
        running,
        locks,
    } = now;
    let names = |which: &dyn Fn(&Seat) -> bool| -> BTreeSet<String> {
        let chosen = seats.clone().filter(|(_, seat)| which(seat));
        chosen.map(|(name, _)| name.to_owned()).collect()
    };
    let present = names(&|seat| seat.member && !seat.dead);
    let stay = Step {
        generation,
        running,
        members: present.clone(),
        leaving: BTreeSet::new(),
        locks,
    };
    let any = |which: &dyn Fn(&Seat) -> bool| seats.clone().any(|(_, seat)| which(&seat));
    if any(&|seat| seat.member && seat.silent) {
        let members = names(&|seat| seat.member);
        return Step { members, ..stay };
    }
    let common = |which: &dyn Fn(&Seat) -> bool| -> u32 {
        let chosen = seats.clone().filter(|(_, seat)| which(seat));
        chosen.map(|(_, seat)| seat.locks).min().unwrap_or(0)
    };
    let died = any(&|seat| seat.member && seat.dead);
    let changes = died
        || any(&|seat| seat.member != seat.wanted && !seat.dead)
        || (!present.is_empty() && common(&|seat| seat.member) != locks);
    let answered = !any(&|seat| seat.member && !seat.dead && !seat.answered);
    let start = |generation| Step {
        generation,
        running: true,
        members: names(&|seat| seat.wanted && !seat.dead),
        leaving: names(&|seat| seat.member && !seat.dead && !seat.wanted),
        locks: common(&|seat| seat.wanted && !seat.dead),
    };
    if made(Mistake::LocksGoOn) && changes {
        return start(generation + 1);
    }
    match (running, changes) {
        (true, false) => stay,
        (true, true) if present.is_empty() => start(generation + 1),
        // Who waits to become a member waits for the dead one; that is no reason to wait for it.
        (true, true) if answered || died => Step {
            generation: generation + 1,
            running: false,
            ..stay
        },
        (true, true) => stay,
        (false, _) if answered || present.is_empty() => start(generation),
        (false, _) => stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: Seat = Seat {
        member: true,
        dead: false,
        silent: false,
        wanted: true,
        answered: true,
        locks: 0,
    };
    const NEWCOMER: Seat = Seat {
        member: false,
        answered: false,
        ..MEMBER
    };

    fn step(generation: u64, running: bool, seats: &[(&str, Seat)]) -> (u64, bool, String) {
        let now = Present {
            generation,
            running,
            locks: 0,
        };
        let step = next(now, seats.iter().copied());
        let members: Vec<String> = step.members.into_iter().collect();
        (step.generation, step.running, members.join(" "))
    }

    #[test]
    fn a_newcomer_is_let_in_only_after_everybody_has_stopped() {
        let seats = [("a", MEMBER), ("b", MEMBER), ("c", NEWCOMER)];
        assert_eq!(step(4, true, &seats), (5, false, "a b".into()));
        let waiting = Seat {
            answered: false,
            ..MEMBER
        };
        let seats = [("a", MEMBER), ("b", waiting), ("c", NEWCOMER)];
        assert_eq!(step(5, false, &seats), (5, false, "a b".into()));
        let seats = [("a", MEMBER), ("b", MEMBER), ("c", NEWCOMER)];
        assert_eq!(step(5, false, &seats), (5, true, "a b c".into()));
    }

    #[test]
    fn nothing_changes_while_a_member_is_silent() {
        let silent = Seat {
            silent: true,
            wanted: false,
            ..MEMBER
        };
        let seats = [("a", MEMBER), ("b", silent), ("c", NEWCOMER)];
        assert_eq!(step(4, true, &seats), (4, true, "a b".into()));
    }

    #[test]
    fn a_dead_member_goes_even_when_somebody_waits_for_it() {
        let dead = Seat {
            dead: true,
            wanted: false,
            ..MEMBER
        };
        let waiting = Seat {
            answered: false,
            ..MEMBER
        };
        let seats = [("a", waiting), ("b", dead)];
        assert_eq!(step(4, true, &seats), (5, false, "a".into()));
        let seats = [("a", MEMBER), ("b", dead)];
        assert_eq!(step(5, false, &seats), (5, true, "a".into()));
    }

    #[test]
    fn the_first_one_has_nobody_to_wait_for() {
        assert_eq!(step(0, true, &[("a", NEWCOMER)]), (1, true, "a".into()));
    }

    fn speaks(locks: u32, seat: Seat) -> Seat {
        Seat { locks, ..seat }
    }

    /// The generation, whether it runs, and the form of programs' locks.
    fn locks(now: Present, seats: &[(&str, Seat)]) -> (u64, bool, u32) {
        let step = next(now, seats.iter().copied());
        (step.generation, step.running, step.locks)
    }

    const RUNS: Present = Present {
        generation: 4,
        running: true,
        locks: 1,
    };

    #[test]
    fn programs_locks_are_settled_in_the_oldest_form_that_all_members_speak_or_not_at_all() {
        let stopped = Present {
            running: false,
            ..RUNS
        };
        let both = |one, other| [("a", speaks(one, MEMBER)), ("b", speaks(other, NEWCOMER))];
        assert_eq!(locks(stopped, &both(1, 2)), (4, true, 1));
        assert_eq!(locks(stopped, &both(1, 0)), (4, true, 0));
    }

    #[test]
    fn a_generation_keeps_its_form_and_another_one_needs_another_generation() {
        let one = |form| [("a", speaks(form, MEMBER))];
        assert_eq!(locks(RUNS, &one(1)), (4, true, 1));
        for form in [0, 2] {
            assert_eq!(locks(RUNS, &one(form)), (5, false, 1), "form {form}");
            let stopped = Present {
                generation: 5,
                running: false,
                ..RUNS
            };
            assert_eq!(locks(stopped, &one(form)), (5, true, form));
        }
    }

    #[test]
    fn a_host_that_comes_with_an_older_release_has_all_stop_first() {
        let seats = [("a", speaks(1, MEMBER)), ("b", speaks(0, NEWCOMER))];
        assert_eq!(locks(RUNS, &seats), (5, false, 1));
    }

    #[test]
    fn what_a_silent_member_speaks_changes_nothing() {
        let silent = Seat {
            silent: true,
            ..speaks(0, MEMBER)
        };
        let seats = [("a", speaks(1, MEMBER)), ("b", silent)];
        assert_eq!(locks(RUNS, &seats), (4, true, 1));
    }
}
