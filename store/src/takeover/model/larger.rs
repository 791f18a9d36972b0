//! Worlds that take long: `make model`. Each is a test of its own, so that they can be searched one by one.

use super::{Bounds, HALVES, Patience, holds, worth};

fn a_world(name: &str, bounds: Bounds) {
    if worth(Patience::Full) {
        holds(name, bounds);
    }
}

#[test]
fn a_pair_with_three_terms_frame_by_frame() {
    a_world(
        "a pair, three terms, frame by frame",
        Bounds {
            terms: 3,
            entries: 4,
            ..Bounds::PAIR
        },
    );
}

#[test]
fn a_pair_with_two_rounds_frame_by_frame() {
    a_world(
        "a pair, two rounds, frame by frame",
        Bounds {
            entries: 4,
            attempts: 2,
            ..Bounds::PAIR
        },
    );
}

#[test]
fn a_pair_with_many_rounds() {
    a_world(
        "a pair, many rounds",
        Bounds {
            terms: 4,
            entries: 5,
            attempts: 3,
            starts: 2,
            ..Bounds::LONG_PAIR
        },
    );
}

#[test]
fn a_pair_whose_machines_fail_by_themselves() {
    a_world(
        "a pair, failing more often",
        Bounds {
            losses: 2,
            restarts: 1,
            starts: 2,
            ..Bounds::LONG_PAIR
        },
    );
}

#[test]
fn a_pair_whose_members_restart() {
    a_world(
        "a pair, restarting twice",
        Bounds {
            restarts: 2,
            ..Bounds::LONG_PAIR
        },
    );
}

#[test]
fn a_pair_whose_membership_is_changed_twice() {
    a_world(
        "a pair, changed twice",
        Bounds {
            terms: 3,
            entries: 6,
            attempts: 3,
            changes: 2,
            ..Bounds::LONG_PAIR
        },
    );
}

#[test]
fn four_of_whom_two_go_on() {
    a_world(
        "four, one round",
        Bounds {
            entries: 4,
            ..Bounds::FOUR
        },
    );
}

#[test]
fn four_whose_lost_ones_come_back() {
    a_world(
        "four, rebooting",
        Bounds {
            entries: 4,
            starts: 1,
            terms: 1,
            ..Bounds::FOUR
        },
    );
}

#[test]
fn four_whose_members_restart() {
    a_world(
        "four, restarting",
        Bounds {
            entries: 4,
            restarts: 1,
            terms: 1,
            ..Bounds::FOUR
        },
    );
}

#[test]
fn four_of_whom_both_halves_try() {
    a_world(
        "four, both halves",
        Bounds {
            entries: 4,
            attempts: 2,
            terms: 1,
            halves: &HALVES[..2],
            ..Bounds::FOUR
        },
    );
}
