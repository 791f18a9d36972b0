//! A host that is busy and short of memory must not look dead.

use super::member::Member;
use super::process::{Host, Usage};
use quorate_node_daemon::lease::{BootClock, SystemBootClock};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(25);
const BEATS: usize = 300;
/// After so long a silence a host is suspected, if nothing else is said.
const DETECTION: Duration = Duration::from_secs(2);
const HOGS: usize = 4;
const HOG_MEMORY: usize = 64 << 20;

#[test]
fn it_beats_through_hogs_without_a_fault_or_more_memory_and_no_later_than_others_wake() {
    let host = Host::new();
    let member = Member::start();
    let real_time = Command::new("chrt")
        .args(["-r", "20", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !real_time {
        eprintln!("this machine allows no real-time priority: the order of waking is only shown");
    }
    let process = if real_time {
        host.start_through(&["chrt", "-r", "20"])
    } else {
        host.start()
    };
    let daemon = host.daemon();
    daemon.set_up(&host.setup(vec![vec![member.address.clone()]], INTERVAL));
    daemon.until("a lease", |view| view.fresh(SystemBootClock.now()));
    member.until("it has settled", |heard| heard.len() > 20);

    let stop = Arc::new(AtomicBool::new(false));
    let others = wake_as_often(&stop);
    let hogs: Vec<_> = (0..HOGS).map(|_| hog(&stop)).collect();
    let before = Usage::of(&process);
    member.forget();
    let heard = member.until("enough beats", |heard| heard.len() >= BEATS);
    let after = Usage::of(&process);
    stop.store(true, Ordering::Relaxed);
    for hog in hogs {
        hog.join().expect("a hog ends");
    }
    let others = others.join().expect("it ends");

    // A beat's number is the boot-time clock's milliseconds of its sending, whenever it arrives.
    let gaps = heard
        .windows(2)
        .map(|two| two[1].sequence - two[0].sequence);
    let longest = Duration::from_millis(gaps.max().expect("some"));
    println!(
        "longest silence: {longest:?}, of an ordinary thread: {others:?}, real time: {real_time}; {before:?} -> {after:?}"
    );
    assert!(heard.is_sorted_by_key(|it| it.sequence));
    daemon.until("a lease still", |view| view.fresh(SystemBootClock.now()));
    assert_eq!(after.data, before.data, "it needs no more memory");
    if before.locked == 0 {
        eprintln!("this machine allows no locked memory: faults are not looked at");
    } else {
        assert_eq!(after.faults, before.faults, "nothing of it was missing");
    }
    if real_time {
        assert!(
            longest < others.max(DETECTION),
            "it was silent for {longest:?}, an ordinary thread slept for {others:?}"
        );
    }
}

/// How late an ordinary thread wakes at most.
fn wake_as_often(stop: &Arc<AtomicBool>) -> JoinHandle<Duration> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        let mut last = SystemBootClock.now();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(INTERVAL);
            let now = SystemBootClock.now();
            longest = longest.max(now - last);
            last = now;
        }
        longest
    })
}

/// Computes, and touches fresh memory again and again.
fn hog(stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let mut memory = vec![0_u8; HOG_MEMORY];
            for (number, page) in memory.chunks_mut(4096).enumerate() {
                page[0] = u8::try_from(number % 251).unwrap_or(0);
            }
            std::hint::black_box(&memory);
        }
    })
}
