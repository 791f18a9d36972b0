//! The checker bites: every planted mistake is found within its number of seeds.

mod support;

use quorate_sim::{many::Runner, mistakes::ALL};

#[test]
fn every_planted_mistake_is_found() {
    if !support::is_optimised() {
        return;
    }
    let mut missed = Vec::new();
    for planted in ALL {
        let runner = Runner {
            program: support::program(),
            mistake: Some(planted),
            jobs: 1,
            stop_at_first: true,
            time: None,
        };
        match runner.find(planted).expect("it runs") {
            Some((seed, found)) => println!("{}: seed {seed}: {found}", planted.name),
            None => missed.push(format!("{} in {} seeds", planted.name, planted.within)),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
