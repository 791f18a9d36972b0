//! Programs on two real hosts lock pieces of one file on a shared filesystem, with POSIX and OFD locks: daemons are killed, a host is lost, and
//! nobody is ever alone with somebody else.

use std::path::Path;
use std::time::Instant;

use quorate_lab::Room;
use quorate_lab::cluster::quorate;

use crate::stories::counting::{PATIENCE, assert_proven_off_first, eventually_up, field};
use crate::stories::shared::{FILES, locks_hold, mounted, room_with_files};

const TOLD: &str = "/run/locks-told";
const LOCKER: &str = "/root/locker.py";
/// The same as a pattern that does not match the command in which it stands.
const LOCKERS_ONLY: &str = "/root/[l]ocker.py";
/// On each host: POSIX and OFD locks in turn.
const LOCKERS: [u8; 4] = [1, 2, 3, 4];

fn start_lockers(room: &Room, host: u8) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shared/locker.py");
    room.host(host).copy_in(&source, LOCKER).expect("copied");
    for number in LOCKERS {
        room.host(host)
            .run(&format!(
                "rm -f {TOLD}.{number}; setsid -f python3 {LOCKER} {FILES} node{host} {number} {TOLD}.{number} >>/root/locker.log 2>&1"
            ))
            .expect("started");
    }
}

fn stop_lockers(room: &Room, host: u8) {
    room.host(host)
        .run(&format!(
            "pkill -f '{LOCKERS_ONLY}'; while pgrep -f '{LOCKERS_ONLY}' >/dev/null; do sleep 0.1; done"
        ))
        .expect("they end");
}

/// What each of a host's lockers says of itself: its turns, and how often it has added one.
fn told(room: &Room, host: u8) -> Result<Vec<(u64, u64)>, String> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let one = |locker: &u8| {
        let command = format!("cat {TOLD}.{locker} 2>/dev/null || echo 0 0");
        let text = room.host(host).run(&command);
        let text = text.map_err(|error| error.to_string())?;
        let mut words = text.split_whitespace();
        Ok((number(words.next()), number(words.next())))
    };
    LOCKERS.iter().map(one).collect()
}

fn added(room: &Room, host: u8) -> u64 {
    let told = told(room, host).expect("told");
    told.iter().map(|(_, added)| added).sum()
}

/// Each of the host's lockers has had some turns more.
fn eventually_go_on(room: &Room, host: u8, turns: u64) {
    let before = told(room, host).expect("told");
    let outcome = room.eventually(
        &format!("each locker of node{host} has {turns} turns more"),
        PATIENCE,
        |room| {
            let now = told(room, host)?;
            let mut pairs = now.iter().zip(&before);
            match pairs.all(|((now, _), (before, _))| *now >= before + turns) {
                true => Ok(()),
                false => Err(format!("{before:?}, and now {now:?}")),
            }
        },
    );
    outcome.unwrap_or_else(|error| {
        let why = quorate(room.host(host), "describe fs files");
        let log = room.host(host).run(&format!(
            "cat /root/locker.log {TOLD}.*.breach; tail -n 5 /run/quorate-node/locks/*.notes; journalctl -u quorate-node -n 30; dmesg | tail -n 30"
        ));
        panic!("{error}\n{why:?}\n{log:?}")
    });
}

/// Nobody has ever found somebody else where he was alone.
fn no_breach(room: &Room, host: u8) {
    let found = room
        .host(host)
        .run(&format!(
            "cat {TOLD}.*.breach 2>/dev/null; cat /root/locker.log"
        ))
        .expect("looked");
    assert_eq!(found, "", "on node{host}");
}

pub(crate) fn programs_on_two_hosts_lock_pieces_of_one_file_whatever_daemons_and_hosts_are_lost() {
    let room = room_with_files("shared-locks");
    locks_hold(&room);
    for host in [1, 2] {
        start_lockers(&room, host);
    }
    for host in [1, 2] {
        eventually_go_on(&room, host, 20);
    }
    println!("    programs on both lock in turn");

    // What is held and who waits is in the notes of each daemon, and the one that decides is one of them.
    for _ in 0..3 {
        for host in [1, 2] {
            let killed = Instant::now();
            room.host(host)
                .run("pkill -9 -x quorate-node")
                .expect("killed");
            for host in [1, 2] {
                eventually_go_on(&room, host, 1);
            }
            println!(
                "    all go on {:.1} s after quorate-node of node{host} was killed",
                killed.elapsed().as_secs_f64()
            );
        }
    }
    for host in [1, 2] {
        no_breach(&room, host);
    }

    // Its locks are free when it is proven off, and not before; the first host, which decides, goes as well as the second.
    let mut sum_of_lost = 0;
    for victim in [2, 1] {
        let survivor = 3 - victim;
        sum_of_lost += added(&room, victim);
        room.host(victim).hold_button().expect("its power is cut");
        let cut = Instant::now();
        eventually_go_on(&room, survivor, 2);
        println!(
            "    node{survivor} locks on {:.1} s after the power of node{victim} was cut",
            cut.elapsed().as_secs_f64()
        );
        assert_proven_off_first(&room, survivor);
        no_breach(&room, survivor);
        eventually_up(&room, victim);
        mounted(&room, survivor, "2/2");
        start_lockers(&room, victim);
        for host in [1, 2] {
            eventually_go_on(&room, host, 5);
        }
    }

    // Every turn that was acknowledged is there.
    for host in [1, 2] {
        stop_lockers(&room, host);
        no_breach(&room, host);
    }
    let acknowledged = sum_of_lost + added(&room, 1) + added(&room, 2);
    let sum: u64 = room
        .host(1)
        .run(&format!("python3 {LOCKER} sum {FILES}"))
        .expect("added up")
        .trim()
        .parse()
        .expect("a number");
    println!("    {sum} turns of slots are there, and {acknowledged} were acknowledged");
    assert!(sum >= acknowledged, "{sum} of {acknowledged}");

    // Whoever holds nothing leaves nothing: all of it can be locked at once.
    let all = format!(
        "timeout 20 python3 -c 'import fcntl; f = open(\"{FILES}/slots\", \"r+\"); fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)'"
    );
    for host in [1, 2] {
        room.host(host).run(&all).expect("nothing stays locked");
    }
    assert!(field(&room, 1, "fs/files", "lockspace.programLocks").is_ok());
}
