//! Two hosts and a witness (Q1): it may go alone and nothing happens; it is taken out and added again while the store is written to; with it
//! and a host gone nothing is decided until a person vouches for what they have seen.

use std::time::{Duration, Instant};

use quorate_lab::cluster::{self, quorate};
use quorate_lab::counter::{self, Said};
use quorate_lab::{Progress, Room};
use serde_json::Value;

use crate::stories::counting::{
    PATIENCE, administer_from, cluster_status, counts_beyond, eventually_answer, eventually_is,
    eventually_up, guests_running, home_of, in_sync, room, said, start_the_guest,
};
use crate::stories::ledger::{self, FAULT, Ledger, WRITTEN_AGAIN, seconds_until};

const WITNESS: u8 = 3;
/// Longer than silence takes to count as loss, and an election after it.
const A_WHILE: Duration = Duration::from_secs(60);

/// Waits, while it is looked whether something is still so.
fn for_a_while(room: &Room, what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    let outcome = room.eventually(what, PATIENCE, |_| {
        assert!(so(), "it was no more: {what}");
        if begun.elapsed() > A_WHILE {
            Ok(())
        } else {
            Err("it is watched".to_owned())
        }
    });
    outcome.expect("watched");
}

/// Until more is acknowledged than now.
fn written_on(room: &Room, ledger: &Ledger<'_>) {
    let written = ledger.acknowledged();
    room.eventually("the store is written to", PATIENCE, |_| {
        let now = ledger.acknowledged();
        (now > written).then_some(()).ok_or("not yet".to_owned())
    })
    .expect("it is");
}

/// It was started once, and nobody else has written.
fn assert_never_restarted(room: &Room, home: u8) {
    let said = said(room, home).expect("heard");
    let starts = said.iter().filter(|said| matches!(said, Said::Start(_)));
    assert_eq!(starts.count(), 1, "it runs on");
    assert_eq!(counter::unbroken(&said), Ok(()), "nobody else writes");
}

fn fence_operations(room: &Room, from: u8) -> String {
    let names = "get fenceoperations -o 'jsonpath={.items[*].spec.node}'";
    quorate(room.host(from), names).expect("listed")
}

pub(crate) fn a_witness_alone_is_not_missed_and_without_it_and_a_host_a_person_decides() {
    let room = room("witness", 3, "recovery");
    ledger::open(&room);
    start_the_guest(&room);
    administer_from(&room, 2);
    let home = home_of(&room);
    let peer = 3 - home;

    Ledger::kept(&room, |ledger| {
        let told = counts_beyond(&room, home, 0);
        room.host(WITNESS).lose_mains().expect("dark");
        eventually_answer(&room, home, 2, 3);
        let written = ledger.acknowledged();
        for_a_while(&room, "nobody is shot", || {
            fence_operations(&room, home).is_empty()
        });
        assert!(ledger.acknowledged() > written, "the store is written to");
        counts_beyond(&room, home, told);
        room.host(WITNESS).restore_mains().expect("power");
        eventually_up(&room, WITNESS);
        eventually_answer(&room, home, 3, 3);
    });
    assert_never_restarted(&room, home);

    Ledger::kept(&room, |ledger| {
        let told = counts_beyond(&room, home, 0);
        quorate(room.host(home), "cluster remove node3").expect("removed");
        eventually_answer(&room, home, 2, 2);
        written_on(&room, ledger);
        cluster::join_anew(&room, home, WITNESS, &Progress::aloud()).expect("a member again");
        eventually_answer(&room, home, 3, 3);
        written_on(&room, ledger);
        counts_beyond(&room, home, told);
        let shot = fence_operations(&room, home);
        assert!(shot.is_empty(), "nobody is shot for it: {shot}");
    });
    assert_never_restarted(&room, home);

    let seen = room.timeline(0).expect("a timeline").len();
    Ledger::kept(&room, |ledger| {
        let told = counts_beyond(&room, home, 0);
        room.note(FAULT).expect("noted");
        for number in [WITNESS, peer] {
            room.host(number).lose_mains().expect("dark");
        }
        room.eventually("the one that is left says so", PATIENCE, |room| {
            let status = cluster_status(room, home)?;
            match &status["hasQuorum"] {
                Value::Bool(false) => Ok(()),
                has => Err(format!("hasQuorum is {has}")),
            }
        })
        .expect("it does");
        let written = ledger.acknowledged();
        for_a_while(&room, "nothing is written", || {
            ledger.acknowledged() == written
        });
        assert_eq!(guests_running(&room, home), "1", "what runs, runs on");
        a_person_has_seen_them_off(&room, home, peer);
        counts_beyond(&room, home, told);
        written_on(&room, ledger);
    });
    assert_never_restarted(&room, home);
    if let Some(seconds) = seconds_until(&room, seen, WRITTEN_AGAIN) {
        println!("    a person has decided, and the store was written again {seconds:.1} s after");
    }

    the_others_stand_down_and_join_anew(&room, home, peer);
    assert_never_restarted(&room, home);
}

fn a_person_has_seen_them_off(room: &Room, home: u8, peer: u8) {
    let host = room.host(home);
    cluster::stop_member(host).expect("it ends");
    let shown = host
        .exec("HOME=/root quorate cluster takeover")
        .expect("run");
    let words = format!(
        "{}{}",
        String::from_utf8_lossy(&shown.stdout),
        String::from_utf8_lossy(&shown.stderr)
    );
    assert_ne!(shown.code, 0, "nobody has vouched yet: {words}");
    let flags = [peer, WITNESS].map(|number| format!("--i-verified-node{number}-is-off"));
    for flag in &flags {
        assert!(words.contains(flag), "{words}");
    }
    host.run(&format!(
        "HOME=/root quorate cluster takeover {}",
        flags.join(" ")
    ))
    .expect("taken over");
    cluster::start_member(host).expect("started");
}

/// Both come back, and are a majority of what they knew.
fn the_others_stand_down_and_join_anew(room: &Room, home: u8, peer: u8) {
    let lost = [peer, WITNESS];
    for number in lost {
        room.host(number).restore_mains().expect("power");
    }
    for number in lost {
        eventually_up(room, number);
    }
    for number in lost {
        let log = "grep -a 'decides nothing any more' /var/log/quorated.log";
        room.eventually(&format!("node{number} has heard of it"), PATIENCE, |room| {
            room.host(number).run(log)
        })
        .expect("it stands down");
    }
    eventually_answer(room, home, 1, 1);
    for number in lost {
        cluster::join_anew(room, home, number, &Progress::aloud()).expect("a member again");
    }
    eventually_answer(room, home, 3, 3);
    eventually_is(room, home, &format!("node/node{peer}"), "state", "Online");
    room.eventually("both replicas are in sync", PATIENCE, |room| {
        in_sync(room, home)
    })
    .expect("in sync");
}
