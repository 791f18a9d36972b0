//! The checks bite: the planner is made to make a mistake, and random clusters find it.

use super::dice::Dice;
use super::properties::Watch;
use quorate_planner::mistake::{Mistake, make};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Each mistake must be found within as many random runs.
const WITHIN: u64 = 24;

/// Whether the run of that seed comes to grief, and by what.
fn trouble(seed: u64) -> Option<String> {
    let run = || {
        let mut watch = Watch::new();
        for command in Dice::new(seed).commands() {
            watch.command(&command);
        }
        watch.heal();
    };
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Some(text.unwrap_or_default())
}

#[test]
fn every_planted_mistake_is_found() {
    let mut unseen = Vec::new();
    for mistake in Mistake::ALL {
        make(Some(mistake));
        let found = (0..WITHIN).find_map(|seed| Some((seed, trouble(seed)?)));
        make(None);
        match found {
            Some((seed, how)) => println!("{mistake:?}: seed {seed}: {how}"),
            None => unseen.push(mistake),
        }
    }
    assert!(
        unseen.is_empty(),
        "not found within {WITHIN} runs: {unseen:?}"
    );
}
