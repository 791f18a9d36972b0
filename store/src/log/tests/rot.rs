use super::{
    story::{Dice, Model, Story},
    *,
};
use crate::{disk::sim::SimDisk, log::LogError};

#[test]
fn a_flipped_bit_anywhere_is_found_or_makes_no_difference() {
    let mut found = 0;
    for seed in 0..1000 {
        let sim = SimDisk::new(seed);
        let dice = &mut Dice::new(seed);
        let mut story = Story::begin(Model::default(), 1);
        let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
        for _ in 0..dice.below(40) {
            assert!(story.step(&log, dice));
        }
        drop(log);
        if dice.below(2) == 0 {
            sim.cut_power();
        } else {
            sim.kill();
        }
        let names: Vec<String> = sim.names();
        let name = &names[dice.below(names.len() as u64) as usize];
        let length = sim.content(name).expect("is there").len() as u64;
        assert!(sim.flip_bit(name, dice.below(length) as usize, dice.below(8) as u8));

        match Log::open(sim.mount(), small(Mode::Inline)) {
            Ok((log, _)) => assert_eq!(&Model::of(&log), story.now(), "seed {seed}"),
            Err(LogError::Corrupt { .. } | LogError::Format { .. }) => found += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(found > 200, "only {found} flips were in the way");
}

#[test]
fn every_bit_of_an_acknowledged_entry_counts_even_when_the_power_failed_right_after() {
    for bit in 0..8 * 200 {
        let sim = SimDisk::new(bit);
        let reports = Reports::default();
        let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
        log.append(vec![entry(0, 1, 10)], reports.done(0))
            .expect("accepted");
        log.append(vec![entry(1, 1, 20)], reports.done(1))
            .expect("accepted");
        drop(log);
        sim.cut_power();
        let name = "log-0000000000000001.seg";
        assert!(sim.flip_bit(name, bit as usize / 8, (bit % 8) as u8));

        match Log::open(sim.mount(), small(Mode::Inline)) {
            Ok((log, _)) => assert_eq!(all(&log), [entry(0, 1, 10), entry(1, 1, 20)]),
            Err(LogError::Corrupt { .. } | LogError::Format { .. }) => {}
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn a_bit_that_flips_while_the_log_is_open_never_reaches_a_reader() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=9, 1), reports.done(0))
        .expect("accepted");
    assert!(sim.flip_bit("log-0000000000000001.seg", 200, 3));
    let damaged = log.read(0..10, usize::MAX);
    assert!(matches!(damaged, Err(LogError::Corrupt { .. })));
}

#[test]
fn a_missing_segment_is_damage() {
    for missing in ["log-0000000000000001.seg", "log-0000000000000002.seg"] {
        let sim = SimDisk::new(1);
        let reports = Reports::default();
        let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
        log.append(entries(0..=99, 1), reports.done(0))
            .expect("accepted");
        drop(log);
        sim.mount().remove(missing).expect("is there");

        let refused = Log::open(sim.mount(), small(Mode::Inline)).err();
        let message = refused.expect("refused").to_string();
        assert!(message.contains("segments before this one are missing"));
        assert!(message.contains("set its data directory aside"));
    }
}

#[test]
fn a_segment_of_another_log_is_damage() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=99, 1), reports.done(0))
        .expect("accepted");
    drop(log);
    sim.mount()
        .rename("log-0000000000000003.seg", "log-0000000000000002.seg")
        .expect("is there");

    let refused = Log::open(sim.mount(), small(Mode::Inline)).err();
    assert!(matches!(refused, Some(LogError::Corrupt { .. })));
}
