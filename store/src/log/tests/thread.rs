use std::sync::mpsc;

use super::*;
use crate::disk::{RealDisk, sim::SimDisk};

fn threaded() -> LogOptions {
    LogOptions {
        segment_bytes: 64 * 1024,
        cache_bytes: 16 * 1024,
        mode: Mode::Thread,
    }
}

/// A report that can be waited for.
fn signal() -> (Done, mpsc::Receiver<Result<(), WriteError>>) {
    let (sender, receiver) = mpsc::channel();
    let done: Done = Box::new(move |result| {
        // The test may have stopped listening.
        let _ = sender.send(result);
    });
    (done, receiver)
}

#[test]
fn writes_on_a_real_disk_are_reported_and_found_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(RealDisk::open(directory.path()).expect("opens"));
    let (log, _) = Log::open(disk.clone(), threaded()).expect("opens");
    let mut last = None;
    for index in 0..2000 {
        let (done, report) = signal();
        log.append(vec![entry(index, 1, 200)], done)
            .expect("accepted");
        last = Some(report);
    }
    let report = last.expect("there was one");
    assert_eq!(report.recv(), Ok(Ok(())));
    assert!(log.stats().segments > 5);
    assert!(
        log.stats().syncs <= 2000 + 20,
        "commits that wait share a sync"
    );
    let before = all(&log);
    log.close();

    let (log, _) = Log::open(disk, threaded()).expect("opens");
    assert_eq!(all(&log), before);
    assert_eq!(before.len(), 2000);
}

#[test]
fn closing_writes_what_waits() {
    let sim = SimDisk::new(1);
    let (log, _) = Log::open(sim.mount(), threaded()).expect("opens");
    let (done, report) = signal();
    log.append(entries(0..=9, 1), done).expect("accepted");
    drop(log);
    assert_eq!(report.recv(), Ok(Ok(())));
}

#[test]
fn a_thread_tries_again_by_itself_when_there_is_room() {
    let sim = SimDisk::new(1);
    sim.set_capacity(Some(64 * 1024));
    let (log, _) = Log::open(sim.mount(), threaded()).expect("opens");
    let (done, report) = signal();
    log.append(entries(0..=999, 1), done).expect("accepted");
    let (vote, voted) = signal();
    log.save_vote(Bytes::from_static(b"vote"), vote)
        .expect("accepted");
    assert_eq!(voted.recv(), Ok(Ok(())), "the vote has room");
    assert!(report.try_recv().is_err(), "the entries have not");
    sim.set_capacity(None);
    assert_eq!(report.recv(), Ok(Ok(())));
}

#[test]
fn the_last_handle_may_go_in_a_report() {
    let sim = SimDisk::new(1);
    let (log, _) = Log::open(sim.mount(), threaded()).expect("opens");
    let (sender, receiver) = mpsc::channel();
    let held = log.clone();
    let done: Done = Box::new(move |result| {
        drop(held);
        let _ = sender.send(result);
    });
    log.append(entries(0..=0, 1), done).expect("accepted");
    drop(log);
    assert_eq!(receiver.recv(), Ok(Ok(())));
}
