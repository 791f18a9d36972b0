//! Runs simulated clusters.
use std::time::Duration;
use quorate_sim::{executor::Trace, world::{Setup, World}};

fn main() {
    tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).init();
    let seed: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(1);
    quorate_sim_entropy::seed(seed);
    let trace = if std::env::args().nth(2).is_some() { Trace::telling() } else { Trace::default() };
    let mut world = World::new(&Setup { seed, members: 3 }, trace.clone());
    let began = std::time::Instant::now();
    println!("{:?}", world.found());
    println!("{:?} hash {:016x} events {}", began.elapsed(), trace.hash(), trace.events());
    world.run_for(Duration::from_secs(60));
    println!("{:?} hash {:016x} events {}", began.elapsed(), trace.hash(), trace.events());
    for line in trace.told(0) { println!("{line}"); }
}
