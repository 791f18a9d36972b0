//! A shared filesystem on two real hosts, from a manifest: both write to it, one is lost, comes back, and leaves in order.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use quorate_lab::Room;
use quorate_lab::cluster::quorate;

use crate::stories::counting::{
    PATIENCE, administer_from, assert_proven_off_first, eventually_is, eventually_up, field, room,
};

pub(super) const FILES: &str = "/srv/files";
const TOLD: &str = "/run/shared-told";

/// How far a host's writer is, as it says itself: its turns, and the count that the last one reached.
fn told(room: &Room, host: u8) -> Result<(u64, u64), String> {
    let text = room
        .host(host)
        .run(&format!("cat {TOLD}"))
        .map_err(|error| error.to_string())?;
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

fn start_writer(room: &Room, host: u8) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shared/writer.py");
    room.host(host)
        .copy_in(&source, "/root/writer.py")
        .expect("copied");
    room.host(host)
        .run(&format!(
            "rm -f {TOLD}; setsid -f python3 /root/writer.py {FILES} node{host} {TOLD} >/root/writer.log 2>&1"
        ))
        .expect("started");
}

fn stop_writer(room: &Room, host: u8) {
    room.host(host)
        .run("pkill -f '/root/[w]riter.py'; while pgrep -f '/root/[w]riter.py' >/dev/null; do sleep 0.1; done")
        .expect("it ends");
}

fn eventually_beyond(room: &Room, host: u8, turns: u64) {
    room.eventually(
        &format!("node{host} has written more than {turns} times"),
        PATIENCE,
        |room| match told(room, host)? {
            (now, _) if now > turns => Ok(()),
            (now, _) => Err(format!("{now} times")),
        },
    )
    .unwrap_or_else(|error| {
        let why = quorate(room.host(host), "why fs/files");
        let log = room
            .host(host)
            .run("cat /root/writer.log; dmesg | tail -n 30");
        panic!("{error}\n{why:?}\n{log:?}")
    });
}

/// The counts that a host has written, each a turn in which nobody else had the lock.
fn written(room: &Room, from: u8, by: u8) -> Vec<u64> {
    let text = room
        .host(from)
        .run(&format!("cat {FILES}/node{by}"))
        .expect("read");
    text.lines()
        .map(|line| line.parse().expect("a count"))
        .collect()
}

/// No turn of one host is in a turn of the other, none is missing, and what was acknowledged is there.
fn assert_turns(room: &Room, from: u8, acknowledged: [(u64, u64); 2]) {
    let both = [1, 2].map(|by| written(room, from, by));
    let all: BTreeSet<u64> = both.iter().flatten().copied().collect();
    assert_eq!(
        all.len(),
        both[0].len() + both[1].len(),
        "no two turns reached the same count"
    );
    for (turns, (_, count)) in both.iter().zip(acknowledged) {
        assert!(turns.is_sorted(), "in its order");
        assert!(
            count == 0 || turns.contains(&count),
            "{count} was acknowledged, and the last of {} is {:?}",
            turns.len(),
            turns.last()
        );
    }
}

pub(super) fn mounted(room: &Room, from: u8, wanted: &str) {
    eventually_is(room, from, "fs/files", "mountedSummary", wanted);
}

/// Programs on both hosts are given POSIX and OFD locks.
pub(super) fn locks_hold(room: &Room) {
    let condition = "conditions[?(@.type==\"ProgramLocks\")].status";
    eventually_is(room, 1, "fs/files", condition, "True");
}

/// A cluster that has it mounted on both hosts.
pub(super) fn room_with_files(name: &str) -> Room {
    let room = room(name, 3, "shared/manifests.yaml");
    administer_from(&room, 2);
    mounted(&room, 1, "2/2");
    room
}

pub(crate) fn a_shared_filesystem_survives_the_loss_of_a_host_that_writes_to_it() {
    let room = room_with_files("shared");
    println!("    mounted on both");
    for host in [1, 2] {
        start_writer(&room, host);
    }
    for host in [1, 2] {
        eventually_beyond(&room, host, 5);
    }

    // Each is lost once, under load.
    for victim in [2, 1] {
        let survivor = 3 - victim;
        let acknowledged = [1, 2].map(|host| told(&room, host).expect("told"));
        room.host(victim).hold_button().expect("its power is cut");
        let cut = Instant::now();
        let (before, _) = told(&room, survivor).expect("told");
        // What it had begun may still end; locks of the lost one are free only after its journal.
        eventually_beyond(&room, survivor, before + 2);
        println!(
            "    node{survivor} writes on {:.1} s after the power of node{victim} was cut; silence counts as loss after 15 s here",
            cut.elapsed().as_secs_f64()
        );
        assert_proven_off_first(&room, survivor);
        assert_turns(&room, survivor, acknowledged);
        eventually_up(&room, victim);
        mounted(&room, survivor, "2/2");
        println!(
            "    mounted on both again after {:.1} s",
            cut.elapsed().as_secs_f64()
        );
        start_writer(&room, victim);
        eventually_beyond(&room, victim, 5);
    }

    // One leaves in order, while the other writes on.
    stop_writer(&room, 2);
    let leave = r#"patch fs files -p '{"spec":{"nodes":["node1"]}}'"#;
    quorate(room.host(1), leave).expect("patched");
    mounted(&room, 1, "1/1");
    let (turns, _) = told(&room, 1).expect("told");
    eventually_beyond(&room, 1, turns + 5);
    assert_eq!(
        room.host(2)
            .run(&format!("grep -c ' {FILES} ' /proc/mounts || true"))
            .expect("looked"),
        "0"
    );
    let back = r#"patch fs files -p '{"spec":{"nodes":["node1","node2"]}}'"#;
    quorate(room.host(1), back).expect("patched");
    mounted(&room, 1, "2/2");
    assert_turns(&room, 2, [(0, 0), (0, 0)]);

    // And both at once; what is left is whole.
    stop_writer(&room, 1);
    quorate(room.host(1), "delete fs files").expect("deleted");
    room.eventually("nobody has it mounted", PATIENCE, |room| {
        for host in [1, 2] {
            let left = room
                .host(host)
                .run(&format!("grep -c ' {FILES} ' /proc/mounts || true"))
                .map_err(|error| error.to_string())?;
            if left != "0" {
                return Err(format!("node{host} has"));
            }
        }
        Ok(())
    })
    .expect("left");
    assert!(
        field(&room, 1, "volume/files", "state").is_ok(),
        "the volume stays"
    );
}
