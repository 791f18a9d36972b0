use std::io;

use super::{
    story::{Dice, Model, Story},
    *,
};
use crate::disk::sim::{Call, SimDisk};

/// How many random histories are tried; more with `QUORATE_CRASH_RUNS`.
fn runs() -> u64 {
    std::env::var("QUORATE_CRASH_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(1000)
}

#[test]
fn whatever_a_crash_leaves_nothing_acknowledged_is_lost_and_nothing_is_invented() {
    for seed in 0..runs() {
        live_and_crash(seed);
    }
}

/// One disk, and several processes that use it one after the other, each of which dies.
fn live_and_crash(seed: u64) {
    let sim = SimDisk::new(seed);
    let dice = &mut Dice::new(seed);
    let mut story = Story::begin(Model::default(), 1);
    for _ in 0..4 {
        let mode = [Mode::Inline, Mode::Stepped][dice.below(2) as usize];
        let Some(log) = open(&sim, dice, mode, seed) else {
            crash(&sim, dice);
            continue;
        };
        let found = Model::of(&log);
        story.check(&found, seed);
        assert!(log.committed().map(|id| id.index) <= found.last().map(|id| id.index));
        story = Story::begin(found, story.term() + 1);
        match dice.below(4) {
            0 => fail_one_sync(&sim, dice.below(30)),
            _ => sim.fail_after(dice.below(90)),
        }
        for _ in 0..dice.below(60) {
            if !story.step(&log, dice) {
                break;
            }
            if mode == Mode::Stepped && dice.below(3) == 0 {
                log.turn();
            }
        }
        crash(&sim, dice);
        drop(log);
    }
}

/// Opens the log; now and then the power fails meanwhile.
fn open(sim: &SimDisk, dice: &mut Dice, mode: Mode, seed: u64) -> Option<Log> {
    if dice.below(3) == 0 {
        sim.fail_after(dice.below(12));
    }
    match Log::open(sim.mount(), small(mode)) {
        Ok((log, _)) => Some(log),
        Err(super::super::LogError::Io(_)) => None,
        Err(error) => panic!("seed {seed}: a crash was taken for damage: {error}"),
    }
}

fn crash(sim: &SimDisk, dice: &mut Dice) {
    sim.on_change(None);
    if dice.below(3) == 0 {
        sim.kill();
    } else {
        sim.cut_power();
    }
}

fn fail_one_sync(sim: &SimDisk, after: u64) {
    let mut left = after;
    sim.on_change(Some(Box::new(move |call| {
        if call == Call::Sync && left > 0 {
            left -= 1;
            if left == 0 {
                return Err(io::Error::other("the disk did not take it"));
            }
        }
        Ok(())
    })));
}

#[test]
fn a_failed_sync_ends_the_log_and_is_not_believed_after_a_restart() {
    let sim = SimDisk::new(3);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=3, 1), reports.done(0))
        .expect("accepted");
    fail_one_sync(&sim, 1);
    log.append(entries(4..=5, 1), reports.done(1))
        .expect("accepted, then refused");
    assert!(matches!(
        reports.of(1),
        Some(Err(WriteError::Failed { .. }))
    ));
    let refused = log.append(entries(6..=6, 1), reports.done(2));
    assert!(matches!(
        refused,
        Err(super::super::LogError::Failed { .. })
    ));
    drop(log);
    sim.kill();

    // The kernel still shows the bytes of the failed sync and will never write them.
    let (log, found) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(found.last, Some(id(5, 1)));
    drop(log);
    sim.cut_power();

    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(
        all(&log),
        entries(0..=5, 1),
        "what a restart showed is durable"
    );
}

#[test]
fn a_torn_write_is_cut_and_shown() {
    let torn = (0..200).find_map(|seed| {
        let sim = SimDisk::new(seed);
        let reports = Reports::default();
        let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
        log.append(vec![entry(0, 1, 100)], reports.done(0))
            .expect("accepted");
        // The write happens, its sync does not.
        sim.fail_after(1);
        log.append(vec![entry(1, 1, 2000)], reports.done(1))
            .expect("accepted, then refused");
        drop(log);
        sim.cut_power();
        let (log, found) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
        assert_eq!(all(&log)[0], entry(0, 1, 100));
        found.torn
    });
    let torn = torn.expect("one of the seeds tears the record");
    assert_eq!(torn.file, "log-0000000000000001.seg");
}
