use super::{
    story::{Dice, Model, Story},
    *,
};
use crate::{disk::sim::SimDisk, log::Health};

#[test]
fn on_a_full_disk_entries_wait_votes_do_not_and_room_ends_the_wait() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    sim.set_capacity(Some(3 * 4096));
    log.append(entries(0..=99, 1), reports.done(0))
        .expect("accepted");
    assert_eq!(reports.of(0), None, "it waits");
    assert!(matches!(log.health(), Health::Full(_)));
    assert_eq!(all(&log), entries(0..=99, 1), "reads are served meanwhile");

    log.save_vote(Bytes::from_static(b"vote"), reports.done(1))
        .expect("accepted");
    assert!(reports.is_durable(1), "the vote has room");

    sim.set_capacity(None);
    log.turn();
    assert!(reports.is_durable(0));
    assert_eq!(log.health(), Health::Good);
    drop(log);
    sim.cut_power();

    let (log, found) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(found.vote.as_deref(), Some(&b"vote"[..]));
    assert_eq!(all(&log), entries(0..=99, 1));
}

#[test]
fn a_purge_makes_room_for_what_waits() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    sim.set_capacity(Some(4 * 4096));
    log.append(entries(0..=59, 1), reports.done(0))
        .expect("accepted");
    log.append(entries(60..=109, 1), reports.done(1))
        .expect("accepted");
    assert!(reports.is_durable(0));
    assert_eq!(reports.of(1), None, "it waits");
    log.purge(id(59, 1), reports.done(2)).expect("accepted");
    assert!(reports.is_durable(2));
    log.turn();
    assert!(reports.is_durable(1));
    assert_eq!(all(&log), entries(60..=109, 1));
}

#[test]
fn entries_truncated_while_they_wait_are_refused_and_never_written() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    sim.set_capacity(Some(4096));
    log.append(entries(0..=49, 1), reports.done(0))
        .expect("accepted");
    log.truncate_after(Some(id(40, 1)), reports.done(1))
        .expect("accepted");
    assert!(reports.is_durable(1), "a truncation has room");
    log.append(entries(41..=44, 2), reports.done(2))
        .expect("accepted");
    sim.set_capacity(None);
    log.turn();
    assert_eq!(reports.of(0), Some(Err(WriteError::Truncated)));
    assert!(reports.is_durable(2));
    let expected = [entries(0..=40, 1), entries(41..=44, 2)].concat();
    assert_eq!(all(&log), expected);
    drop(log);
    sim.cut_power();

    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(all(&log), expected);
}

#[test]
fn a_full_disk_is_told_before_anything_has_to_wait() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    sim.set_capacity(Some(4096));
    let mut index = 0;
    while log.health() == Health::Good {
        log.append(entries(index..=index, 1), reports.done(index as usize))
            .expect("accepted");
        index += 1;
    }
    assert!(reports.is_durable(index as usize - 1));
    log.append(entries(index..=index, 1), reports.done(index as usize))
        .expect("accepted");
    assert!(reports.is_durable(index as usize), "there is still room");
}

#[test]
fn closing_refuses_what_waits_for_room() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    sim.set_capacity(Some(4096));
    log.append(entries(0..=99, 1), reports.done(0))
        .expect("accepted");
    log.close();
    assert_eq!(reports.of(0), Some(Err(WriteError::Closed)));
    let refused = log.append(entries(100..=100, 1), reports.done(1));
    assert!(matches!(refused, Err(super::super::LogError::Closed)));
}

#[test]
fn disks_that_fill_and_empty_at_random_lose_nothing() {
    for seed in 0..200 {
        let sim = SimDisk::new(seed);
        let dice = &mut Dice::new(seed);
        let mut story = Story::begin(Model::default(), 1);
        let mode = [Mode::Inline, Mode::Stepped][dice.below(2) as usize];
        let (log, _) = Log::open(sim.mount(), small(mode)).expect("opens");
        for _ in 0..dice.below(80) {
            if dice.below(4) == 0 {
                let room = dice.below(8) * 2048;
                sim.set_capacity((room > 0).then(|| sim.used() + room));
            }
            assert!(story.step(&log, dice), "seed {seed}");
            if mode == Mode::Stepped && dice.below(3) == 0 {
                log.turn();
            }
        }
        assert_eq!(&Model::of(&log), story.now(), "seed {seed}");
        sim.set_capacity(None);
        log.turn();
        assert_eq!(log.health(), Health::Good, "seed {seed}");
        drop(log);
        sim.cut_power();

        let (log, _) = Log::open(sim.mount(), small(mode)).expect("opens");
        assert_eq!(&Model::of(&log), story.now(), "seed {seed}");
    }
}
