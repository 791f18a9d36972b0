//! The checker bites: every planted mistake is found within its number of seeds, and nothing is where none is planted.

mod support;

use std::sync::Mutex;

use quorate_sim::{
    many::{Runner, each},
    mistakes::ALL,
};

#[test]
fn every_planted_mistake_is_found() {
    if !support::is_optimised() {
        return;
    }
    let missed = Mutex::new(Vec::new());
    each(ALL, 2, |planted| {
        let runner = Runner {
            program: support::program(),
            mistake: Some(planted),
            jobs: 1,
            stop_at_first: true,
            time: None,
        };
        let complaint = match runner.find(planted) {
            Ok(Some((seed, found))) => {
                println!("{}: seed {seed}: {found}", planted.name);
                // It is the mistake that is found, and not the trouble that is made for it.
                match runner.sound(seed) {
                    Ok(sound) if sound.violations.is_empty() => return,
                    Ok(sound) => format!("{} without it: {:?}", planted.name, sound.violations),
                    Err(error) => format!("{} without it: {error}", planted.name),
                }
            }
            Ok(None) => format!("{} in {} seeds", planted.name, planted.within),
            Err(error) => format!("{}: {error}", planted.name),
        };
        missed.lock().expect("nobody panics").push(complaint);
    });
    let missed = missed.into_inner().expect("nobody panics");
    assert!(missed.is_empty(), "not as planted: {missed:?}");
}
