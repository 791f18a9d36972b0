//! A pair without a witness: what it suffers of either half, under a guest that counts and a store that is written to.
//!
//! Of each story: one half goes on and the other does not, nothing is recovered before the other is proven off, nothing that was
//! acknowledged is lost in the guest or in the store, the pair becomes whole by itself, and nobody is shot a second time.

mod parts;
pub(crate) mod service;
mod whole;

use std::time::{Duration, Instant};

use quorate_lab::description::Feed;
use quorate_lab::power::PduMood;
use quorate_lab::request::BmcMood;
use quorate_lab::{Host, Room};

use self::parts::Moment;
use self::whole::{Before, Proof, eventually_whole, other};
use crate::stories::counting::{
    self, PATIENCE, administer_from, eventually_is, eventually_up, field, guests_running,
};
use crate::stories::desk;
use crate::stories::ledger::{self, FAULT, Ledger, WRITTEN_AGAIN, seconds_until};

/// What connects the two, and one with the devices of the other. The BMCs have cables of their own.
const CABLES: [&str; 4] = ["bcn-a", "bcn-b", "sn-a", "sn-b"];

/// A pair whose guest counts.
pub(crate) fn room() -> Room {
    let room = counting::room("pair", 2, "pair/manifests.yaml");
    ledger::open(&room);
    counting::start_the_guest(&room);
    administer_from(&room, 2);
    room
}

/// Which half a fault befalls.
#[derive(Clone, Copy)]
enum Half {
    /// The one that runs the guest.
    Home,
    /// The other one.
    Peer,
}

/// One half is lost as `fault` says. The other one proves it off and goes on; `mend` is done then, and the pair becomes whole.
fn one_half_goes_on(
    room: &Room,
    half: Half,
    fault: impl FnOnce(Host<'_>),
    mend: impl FnOnce(Host<'_>),
) -> Proof {
    let before = Before::of(room);
    let victim = match half {
        Half::Home => before.home,
        Half::Peer => other(before.home),
    };
    let survivor = other(victim);
    let mut begun = None;
    let proof = Ledger::kept(room, |_| {
        begun = Some(Moment::now(room, survivor));
        room.note(FAULT).expect("noted");
        fault(room.host(victim));
        let proof = before.eventually_proven_off(room, victim);
        eventually_is(
            room,
            survivor,
            "vm/counter",
            "node",
            &format!("node{survivor}"),
        );
        eventually_is(room, survivor, "vm/counter", "state", "Running");
        if before.home == victim {
            before.assert_began_anew(room, survivor);
        } else {
            before.assert_goes_on(room, survivor);
        }
        room.note("the guest counts on").expect("noted");
        if before.home == victim {
            assert_started_after_it_was_off(room, &before, survivor, &proof);
        }
        mend(room.host(victim));
        assert_eq!(eventually_whole(room), survivor, "the guest stays");
        proof
    });
    assert_shot_once(room, &before, victim);
    report(room, before.seen);
    begun.expect("told").report(room);
    proof
}

/// What made the host safe was done before libvirt was told to start the guest (rule R3).
fn assert_started_after_it_was_off(room: &Room, before: &Before, survivor: u8, proof: &Proof) {
    // The hosts' clocks are set by their hardware's, to the second.
    const CLOCKS: i64 = 1500;
    if proof.kind != "Devices" {
        return;
    }
    let entries = room.timeline(0).expect("a timeline");
    let began = entries
        .iter()
        .find_map(|entry| entry.text.strip_prefix("begins at "))
        .expect("the room's first line");
    let began = room
        .host(survivor)
        .run(&format!("date -d '{began}' +%s%3N"))
        .expect("a time");
    let began: i64 = began.parse().expect("a number");
    let off = entries[before.seen..]
        .iter()
        .find(|entry| {
            entry.source == format!("node{} machine", other(survivor))
                && entry.text.starts_with("is off")
        })
        .expect("the machine's own word");
    let started = room
        .host(survivor)
        .run("date -d \"$(grep -a 'starting up' /var/log/libvirt/qemu/counter.log | tail -n 1 | cut -d: -f1-3)\" +%s%3N")
        .expect("libvirt's own log");
    let started: i64 = started.parse().expect("a number");
    let off = began + i64::try_from(off.at_ms).expect("short");
    assert!(
        started + CLOCKS >= off,
        "the guest was started {} ms before its host was off",
        off - started
    );
}

/// Nobody has shot the survivor, and the other one was lost once.
fn assert_shot_once(room: &Room, before: &Before, victim: u8) {
    let survivor = other(victim);
    let entries = room.timeline(before.seen).expect("a timeline");
    let restarted: Vec<_> = entries
        .iter()
        .filter(|entry| {
            entry.source == format!("node{survivor} machine")
                || entry.source == format!("node{survivor} bmc") && entry.text.starts_with("power")
        })
        .collect();
    assert!(restarted.is_empty(), "the survivor: {restarted:?}");
    let proofs = before.proofs_since(room, survivor).expect("listed");
    assert_eq!(proofs.len(), 1, "no fence loop: {proofs:?}");
}

/// What it took, for who compares.
fn report(room: &Room, seen: usize) {
    let say = |what: &str, words: &str| {
        if let Some(seconds) = seconds_until(room, seen, words) {
            println!("    {what} {seconds:.1} s after the fault");
        }
    };
    say("its board was told to switch it off", "power off");
    say("the store was written again", WRITTEN_AGAIN);
    say("the guest counted on", "the guest counts on");
}

fn cut_all(host: Host<'_>) {
    for cable in CABLES {
        host.cut(cable).expect("cut");
    }
}

fn plug_all(host: Host<'_>) {
    for cable in CABLES {
        host.plug(cable).expect("plugged");
    }
}

pub(crate) fn the_crash_of_a_half_is_survived_by_the_other(room: &Room) {
    for half in [Half::Home, Half::Peer] {
        // It boots again by itself: whichever proves more, its board or its new boot.
        one_half_goes_on(room, half, |host| host.crash().expect("crashed"), |_| {});
    }
}

pub(crate) fn a_half_whose_board_dies_with_it_is_proven_off_by_its_outlets(room: &Room) {
    let proof = one_half_goes_on(
        room,
        Half::Home,
        |host| host.lose_mains().expect("dark"),
        |host| host.restore_mains().expect("power"),
    );
    assert_eq!(
        (proof.kind.as_str(), proof.level.as_str()),
        ("Devices", "pdu")
    );
}

pub(crate) fn of_two_halves_that_are_cut_apart_one_is_shot(room: &Room) {
    for half in [Half::Home, Half::Peer] {
        let proof = one_half_goes_on(room, half, cut_all, plug_all);
        assert_eq!(
            (proof.kind.as_str(), proof.level.as_str()),
            ("Devices", "ipmi")
        );
    }
}

pub(crate) fn a_half_that_hears_and_is_not_heard_is_shot(room: &Room) {
    // A boot makes its network anew.
    one_half_goes_on(
        room,
        Half::Home,
        |host| {
            for cable in CABLES {
                host.disturb(cable, 0, 100).expect("disturbed");
            }
        },
        |_| {},
    );
}

pub(crate) fn a_half_that_hangs_and_wakes_while_it_is_shot_does_nothing_more(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    one_half_goes_on(
        room,
        Half::Home,
        |host| {
            host.freeze().expect("frozen");
            let board = format!("{} bmc", host.name());
            room.eventually_logged(seen, &board, "power off", PATIENCE)
                .expect("its board is told");
            host.thaw().expect("it wakes");
        },
        |_| {},
    );
}

pub(crate) fn a_pair_that_lost_all_power_goes_on_when_both_are_back(room: &Room) {
    let before = Before::of(room);
    Ledger::kept(room, |_| {
        room.note(FAULT).expect("noted");
        for number in [1, 2] {
            room.host(number).lose_mains().expect("dark");
        }
        for number in [1, 2] {
            room.host(number).restore_mains().expect("power");
        }
        for number in [1, 2] {
            eventually_up(room, number);
        }
        let home = eventually_whole(room);
        before.assert_began_anew(room, home);
    });
    let shots: Vec<_> = room
        .timeline(before.seen)
        .expect("a timeline")
        .into_iter()
        .filter(|entry| entry.source.ends_with("bmc") && entry.text.starts_with("power off"))
        .collect();
    assert!(shots.is_empty(), "nobody shoots: {shots:?}");
    report(room, before.seen);
}

pub(crate) fn nobody_goes_on_while_no_device_can_prove_the_other_half_off(room: &Room) {
    let mut went_on = None;
    one_half_goes_on(
        room,
        Half::Home,
        |host| {
            let victim = host.called().expect("a name");
            let survivor = if victim == "node1" { 2 } else { 1 };
            host.bmc(BmcMood::Unreachable).expect("its board is mute");
            for feed in Feed::BOTH {
                room.pdu(feed, PduMood::Unreachable)
                    .expect("so are the outlets");
            }
            cut_all(host);
            room.eventually(
                "the other half says why it stands still",
                PATIENCE,
                |room| {
                    let status = desk::ask_member(room, survivor, &["cluster", "status"])?;
                    if status.contains("cannot prove the other half off") {
                        Ok(())
                    } else {
                        Err(status)
                    }
                },
            )
            .expect("it says so");
            // And it goes on standing still.
            let begun = Instant::now();
            room.eventually("it stands still", PATIENCE, |room| {
                let node = field(room, survivor, "vm/counter", "node").unwrap_or_default();
                if node == format!("node{survivor}") {
                    went_on = Some(node);
                }
                if begun.elapsed() > Duration::from_secs(30) {
                    Ok(())
                } else {
                    Err("it is watched")
                }
            })
            .expect("watched");
            assert_eq!(
                guests_running(room, survivor),
                "0",
                "no guest without a proof"
            );
            host.bmc(BmcMood::Honest).expect("repaired");
            for feed in Feed::BOTH {
                room.pdu(feed, PduMood::Honest).expect("repaired");
            }
        },
        plug_all,
    );
    assert_eq!(went_on, None);
}
