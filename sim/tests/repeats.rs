//! A seed is one run and no other.

mod support;

use quorate_sim::many::Runner;

#[test]
fn two_processes_that_run_the_same_seed_do_exactly_the_same() {
    if !support::is_optimised() {
        return;
    }
    let runner = Runner {
        program: support::program(),
        mistake: None,
        jobs: 1,
        stop_at_first: true,
        time: None,
    };
    for seed in [7, 8] {
        let first = runner.one(seed, &[]).expect("it runs");
        let second = runner.one(seed, &[]).expect("it runs");
        println!(
            "seed {seed}: hash {:016x} of {} events",
            first.hash, first.events
        );
        assert!(first.events > 1_000, "nothing happened");
        assert_eq!(first.hash, second.hash);
        assert_eq!(first.events, second.events);
    }
}
