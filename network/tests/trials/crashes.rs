//! Issue's third demand: killed or without power at any step, the host ends with either the old or the new networks.

use crate::host::{Machine, bare, bonded, changed, made};
use quorate_network::Wanted;

/// A host with two networks, one of which is about to change.
fn prepared() -> (Machine, Wanted, Wanted) {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    let changing = bonded("bcn", [0, 1], "10.20.0.1/16");
    let other = bonded("sn", [4, 5], "10.10.0.1/16");
    for wanted in [&changing, &other] {
        keeper.apply(wanted, 0).expect("applied");
        keeper.keep(&wanted.network).expect("kept");
    }
    (machine, changing, other)
}

/// How many deeds a change that is kept takes.
fn deeds() -> usize {
    let (machine, ..) = prepared();
    let mut keeper = machine.keeper("first", 0);
    machine.deeds.set(1_000);
    keeper.apply(&changed("bcn"), 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    1_000 - machine.deeds.get()
}

/// The keeper dies before its `last`-th deed.
fn dies_at(machine: &Machine, last: usize) {
    let mut keeper = machine.keeper("first", 0);
    machine.deeds.set(last);
    if keeper.apply(&changed("bcn"), 0).is_ok() {
        // Whether this comes through is what the test is about.
        let _ = keeper.keep("bcn");
    }
    drop(keeper);
    machine.deeds.set(usize::MAX);
}

#[test]
fn killed_at_any_step_the_host_has_either_the_old_or_the_new_networks() {
    let all = deeds();
    assert!(all > 6, "a change of {all} deeds shows nothing");
    let mut ends = [0, 0];
    for last in 0..=all {
        let (machine, old, other) = prepared();
        dies_at(&machine, last);
        let mut keeper = machine.keeper("first", 1_000);
        // Nobody keeps it: whoever comes back does not know that it was reached.
        keeper.tick(100_000);
        let (shown, old) = (machine.shown(), made(&[&old, &other]));
        let new = keeper.records().kept.get("bcn") == Some(&changed("bcn"));
        if new {
            let mut after = prepared().0.shown();
            let layout = changed("bcn").layout(&after, &[]).expect("possible");
            for step in quorate_network::plan::steps(&after, &layout.desired).expect("possible") {
                for change in &step.changes {
                    after.change(change).expect("possible");
                }
            }
            assert_eq!(shown, after, "killed before deed {last}");
        } else {
            assert_eq!(shown, old, "killed before deed {last}");
        }
        ends[usize::from(new)] += 1;
    }
    assert_eq!(ends, [all, 1]);
}

#[test]
fn killed_again_while_it_takes_a_change_back_it_still_comes_back() {
    for last in 0..12 {
        for again in 0..12 {
            let (machine, old, other) = prepared();
            dies_at(&machine, last);
            machine.deeds.set(again);
            // It may not even begin.
            let _ = quorate_network::keeper::Keeper::begin(
                machine.clone(),
                machine.clone(),
                "first",
                100_000,
            );
            machine.deeds.set(usize::MAX);
            let mut keeper = machine.keeper("first", 200_000);
            keeper.tick(200_000);
            if !keeper.records().kept.contains_key("bcn")
                || keeper.records().kept.get("bcn") == Some(&old)
            {
                let shown = machine.shown();
                assert_eq!(shown, made(&[&old, &other]), "killed at {last} and {again}");
            }
        }
    }
}

#[test]
fn without_power_at_any_step_the_host_boots_with_either_the_old_or_the_new_networks() {
    let all = deeds();
    for last in 0..=all {
        let (machine, old, other) = prepared();
        dies_at(&machine, last);
        machine.power_cut();
        let keeper = machine.keeper("second", 0);
        assert_eq!(keeper.due(), None);
        let expected = if last == all {
            made(&[&changed("bcn"), &other])
        } else {
            made(&[&old, &other])
        };
        assert_eq!(machine.shown(), expected, "power lost before deed {last}");
        // A change that took the host down is not tried again by itself.
        let rejected = keeper.records().rejected.contains_key("bcn");
        assert_eq!(rejected, (1..all).contains(&last), "at {last}");
    }
    assert_ne!(made(&[&changed("bcn")]), bare());
}

/// The keeper dies before its `last`-th deed of a removal.
fn dies_removing_at(machine: &Machine, last: usize) {
    let mut keeper = machine.keeper("first", 0);
    machine.deeds.set(last);
    if keeper.remove("bcn", 0).is_ok() {
        // Whether this comes through is what the test is about.
        let _ = keeper.keep("bcn");
    }
    drop(keeper);
    machine.deeds.set(usize::MAX);
}

#[test]
fn killed_or_without_power_while_it_takes_a_network_away_the_host_has_it_or_has_it_not() {
    let (mut with, mut without) = (0, 0);
    for last in 0..20 {
        for power_goes in [false, true] {
            let (machine, old, other) = prepared();
            dies_removing_at(&machine, last);
            let boot = if power_goes { "second" } else { "first" };
            if power_goes {
                machine.power_cut();
            }
            let mut keeper = machine.keeper(boot, 1_000);
            keeper.tick(100_000);
            let expected = if keeper.records().kept.contains_key("bcn") {
                with += 1;
                made(&[&old, &other])
            } else {
                without += 1;
                made(&[&other])
            };
            let how = format!("died before deed {last}, power goes: {power_goes}");
            assert_eq!(machine.shown(), expected, "{how}");
            assert_eq!(keeper.due(), None, "{how}");
        }
    }
    assert!(with > 6 && without > 6, "{with} and {without}");
}
