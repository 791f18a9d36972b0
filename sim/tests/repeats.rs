//! A seed is one run and no other.

use std::path::PathBuf;

use quorate_sim::many::Runner;

fn runner() -> Runner {
    Runner {
        program: PathBuf::from(env!("CARGO_BIN_EXE_quorate-sim")),
        mistake: None,
        jobs: 1,
        stop_at_first: true,
        time: None,
    }
}

#[test]
fn two_processes_that_run_the_same_seed_do_exactly_the_same() {
    let first = runner().one(7, &[]).expect("it runs");
    let second = runner().one(7, &[]).expect("it runs");
    println!(
        "seed 7: hash {:016x} of {} events",
        first.hash, first.events
    );
    assert!(first.events > 1_000, "nothing happened");
    assert_eq!(first.hash, second.hash);
    assert_eq!(first.events, second.events);

    let other = runner().one(8, &[]).expect("it runs");
    assert_ne!(first.hash, other.hash);
}
