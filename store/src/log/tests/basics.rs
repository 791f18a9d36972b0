use std::io;

use super::*;
use crate::{
    disk::sim::{Call, SimDisk},
    log::{Health, LogError},
};

#[test]
fn an_empty_directory_is_an_empty_log() {
    let sim = SimDisk::new(1);
    let (log, found) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(found.last, None);
    assert_eq!(found.vote, None);
    assert_eq!(log.read(0..10, 100).expect("nothing is no error"), []);
    assert_eq!(log.health(), Health::Good);
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.save_vote(Bytes::from_static(b"term 2"), reports.done(0))
        .expect("accepted");
    log.append(entries(0..=99, 2), reports.done(1))
        .expect("accepted");
    log.save_committed(Some(id(80, 2))).expect("accepted");
    log.truncate_after(Some(id(90, 2)), reports.done(2))
        .expect("accepted");
    log.append(entries(91..=95, 3), reports.done(3))
        .expect("accepted");
    log.purge(id(49, 2), reports.done(4)).expect("accepted");
    assert!((0..5).all(|number| reports.is_durable(number)));
    let before = all(&log);
    log.close();
    sim.cut_power();

    let (log, found) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(found.vote.as_deref(), Some(&b"term 2"[..]));
    assert_eq!(found.committed, Some(id(80, 2)));
    assert_eq!(found.purged, Some(id(49, 2)));
    assert_eq!(found.first, Some(id(50, 2)));
    assert_eq!(found.last, Some(id(95, 3)));
    assert_eq!(found.torn, None);
    assert_eq!(all(&log), before);
    assert_eq!(log.id_at(49), Some(id(49, 2)));
    assert_eq!(log.id_at(48), None);
}

#[test]
fn entries_must_continue_the_log() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(5..=6, 1), reports.done(0))
        .expect("an empty log begins anywhere");
    let gap = log.append(entries(8..=9, 1), reports.done(1));
    assert!(matches!(
        gap,
        Err(LogError::Gap {
            found: 8,
            expected: 7
        })
    ));
    let mut holed = entries(7..=9, 1);
    holed.remove(1);
    let gap = log.append(holed, reports.done(2));
    assert!(matches!(
        gap,
        Err(LogError::Gap {
            found: 9,
            expected: 8
        })
    ));
    assert_eq!(log.last(), Some(id(6, 1)));
    assert_eq!(reports.of(1), None);
}

#[test]
fn purged_entries_cannot_be_read_or_kept() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=9, 1), reports.done(0))
        .expect("accepted");
    log.purge(id(4, 1), reports.done(1)).expect("accepted");
    assert!(matches!(
        log.read(4..6, 1000),
        Err(LogError::Absent {
            index: 4,
            first: 5,
            last: 9
        })
    ));
    let other = log.truncate_after(Some(id(6, 7)), reports.done(2));
    assert!(matches!(other, Err(LogError::Absent { index: 6, .. })));
    log.purge(id(2, 1), reports.done(3))
        .expect("purging less than was purged is nothing");
    assert!(reports.is_durable(3));
    assert_eq!(log.purged(), Some(id(4, 1)));
}

#[test]
fn a_purge_beyond_the_end_leaves_an_empty_log_that_continues_there() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=9, 1), reports.done(0))
        .expect("accepted");
    log.purge(id(100, 3), reports.done(1)).expect("accepted");
    assert_eq!(log.last(), Some(id(100, 3)));
    assert_eq!(log.first(), None);
    log.append(entries(101..=102, 3), reports.done(2))
        .expect("it continues there");
    drop(log);
    sim.cut_power();

    let (log, found) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(found.purged, Some(id(100, 3)));
    assert_eq!(all(&log), entries(101..=102, 3));
}

#[test]
fn a_purge_at_an_entry_that_differs_drops_what_followed_it() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=9, 1), reports.done(0))
        .expect("accepted");
    log.purge(id(5, 2), reports.done(1)).expect("accepted");
    assert_eq!(log.last(), Some(id(5, 2)));
    drop(log);
    sim.cut_power();

    let (_, found) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(found.last, Some(id(5, 2)));
    assert_eq!(found.first, None);
}

#[test]
fn purging_frees_the_disk() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=999, 1), reports.done(0))
        .expect("accepted");
    let before = log.stats();
    assert!(before.segments > 30, "{before:?}");
    log.purge(id(989, 1), reports.done(1)).expect("accepted");
    let after = log.stats();
    assert!(after.segments <= 2, "{after:?}");
    assert!(after.cached_bytes <= 300, "{after:?}");
    assert!(sim.used() <= 4 * 4096, "{} bytes in use", sim.used());
}

#[test]
fn an_entry_larger_than_a_segment_gets_a_segment_of_its_size() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    let large = vec![entry(0, 1, 10), entry(1, 1, 50_000), entry(2, 1, 10)];
    log.append(large.clone(), reports.done(0))
        .expect("accepted");
    assert!(reports.is_durable(0));
    drop(log);
    sim.cut_power();

    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    assert_eq!(all(&log), large);
}

#[test]
fn a_read_stops_at_its_limit_but_never_before_one_entry() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    log.append(entries(0..=9, 1), reports.done(0))
        .expect("accepted");
    assert_eq!(log.read(3..8, 0).expect("whole"), entries(3..=3, 1));
    assert_eq!(
        log.read(3..8, usize::MAX).expect("whole"),
        entries(3..=7, 1)
    );
    assert_eq!(
        log.read(8..99, usize::MAX).expect("whole"),
        entries(8..=9, 1)
    );
    assert_eq!(log.read(10..99, usize::MAX).expect("whole"), []);
}

#[test]
fn everything_between_two_turns_shares_one_sync() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let options = LogOptions {
        mode: Mode::Stepped,
        ..LogOptions::default()
    };
    let (log, _) = Log::open(sim.mount(), options).expect("opens");
    for index in 0..64 {
        log.append(entries(index..=index, 1), reports.done(index as usize))
            .expect("accepted");
    }
    log.save_vote(Bytes::from_static(b"vote"), reports.done(64))
        .expect("accepted");
    assert_eq!(all(&log).len(), 64, "entries are readable at once");
    assert_eq!(reports.of(0), None, "nothing is durable yet");
    log.turn();
    assert!((0..=64).all(|number| reports.is_durable(number)));
    assert_eq!(log.stats().syncs, 1);
}

#[test]
fn a_next_segment_that_cannot_be_made_ahead_of_time_is_made_when_it_is_needed() {
    let sim = SimDisk::new(1);
    let reports = Reports::default();
    let (log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
    let mut failed = false;
    sim.on_change(Some(Box::new(move |call| {
        if call == Call::Create && !failed {
            failed = true;
            return Err(io::Error::other("too many open files"));
        }
        Ok(())
    })));
    for index in 0..100 {
        log.append(entries(index..=index, 1), reports.done(index as usize))
            .expect("accepted");
        assert!(reports.is_durable(index as usize));
    }
    assert!(log.stats().segments > 3);
    assert_eq!(log.health(), Health::Good);
}

#[test]
fn a_log_of_a_later_format_is_left_alone() {
    let sim = SimDisk::new(1);
    drop(Log::open(sim.mount(), small(Mode::Inline)).expect("opens"));
    let disk = sim.mount();
    let file = disk.open("log-0000000000000001.seg").expect("is there");
    let mut header = [0; 48];
    file.read_at(0, &mut header).expect("reads");
    header[8] = 2;
    file.write_at(0, &header).expect("writes");
    file.write_at(48, &crc32c::crc32c(&header).to_le_bytes())
        .expect("writes");

    let refused = Log::open(sim.mount(), small(Mode::Inline)).err();
    assert!(matches!(
        refused,
        Some(LogError::Format {
            found: 2,
            supported: 1,
            ..
        })
    ));
}
