//! A shared filesystem under a public stress program: its locks, ten minutes of everything that a filesystem does on two hosts with the
//! loss of one in the middle, and nothing that a check finds afterwards.

use std::time::{Duration, Instant};

use quorate_lab::Room;
use quorate_lab::cluster::quorate;

use crate::stories::counting::{PATIENCE, assert_proven_off_first, eventually_up};
use crate::stories::desk;
use crate::stories::shared::{FILES, locks_hold, mounted, room_with_files};

/// Locks of all kinds that programs have, between processes of one host. One of them would have each wait for the other in a circle,
/// which nobody looks for (docs/shared-filesystems.md).
const LOCKS: &str = "--lockf 1 --lockf-nonblock --lockofd 1 --locka 1 --flock 1 --timeout 60";
/// Data and names of many small files.
const EVERYTHING: &str = "--hdd 1 --hdd-bytes 4M --iomix 1 --iomix-bytes 2M --seek 1 --seek-size 2M --dir 1 --dir-dirs 64 --dentry 1 \
                          --dentries 64 --rename 1 --link 1 --symlink 1 --timeout 600";
/// When one of the hosts is lost.
const MIDDLE: u64 = 240;
/// That long, and what a host may take over its last request.
const TO_THE_END: Duration = Duration::from_secs(1500);

fn start(room: &Room, host: u8, what: &str) {
    room.host(host)
        .run(&format!(
            "rm -f /run/stress.*; mkdir -p {FILES}/stress-node{host}
             setsid sh -c 'stress-ng --temp-path {FILES}/stress-node{host} --verify {what} >/run/stress.log 2>&1; echo $? >/run/stress.code' \
             </dev/null >/dev/null 2>&1 &"
        ))
        .expect("started");
}

/// It has found nothing wrong.
fn eventually_ends_well(room: &Room, host: u8) {
    let code = room.eventually(
        &format!("the stress of node{host} ends"),
        TO_THE_END,
        |room| {
            let code = room.host(host).run("cat /run/stress.code 2>/dev/null");
            code.map_err(|_| "it goes on".to_owned())
        },
    );
    let log = || {
        room.host(host)
            .run("cat /run/stress.log; dmesg | tail -n 40")
            .expect("its log")
    };
    match code.as_deref() {
        Ok("0") => {}
        code => panic!("{code:?} on node{host}\n{}", log()),
    }
}

fn eventually_has_run_for(room: &Room, host: u8, seconds: u64) {
    let what = format!("node{host} is under stress for {seconds} s");
    let outcome = room.eventually(&what, PATIENCE, |room| {
        let age = room
            .host(host)
            .run("ps -o etimes= -p $(pgrep -o stress-ng)");
        let age = age.map_err(|error| error.to_string())?;
        match age.trim().parse::<u64>() {
            Ok(age) if age >= seconds => Ok(()),
            _ => Err(format!("{age} s")),
        }
    });
    outcome.unwrap_or_else(|error| {
        let log = room.host(host).run("cat /run/stress.log; dmesg | tail");
        panic!("{error}\n{log:?}")
    });
}

pub(crate) fn a_shared_filesystem_is_whole_after_ten_minutes_of_stress_and_the_loss_of_a_host() {
    let room = room_with_files("shared-stress");
    locks_hold(&room);

    for host in [1, 2] {
        start(&room, host, LOCKS);
    }
    for host in [1, 2] {
        eventually_ends_well(&room, host);
    }
    // GFS2 has no leases among hosts: who asks for one is told so, and not given one that holds on one host.
    room.host(1)
        .run(&format!(
            "python3 -c '
import errno, fcntl, os
file = os.open(\"{FILES}/leased\", os.O_RDWR | os.O_CREAT)
try:
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    raise SystemExit(\"it was given\")
except OSError as error:
    assert error.errno == errno.EINVAL, error
'"
        ))
        .expect("refused");
    println!("    locks of all kinds hold on both hosts");

    for host in [1, 2] {
        start(&room, host, EVERYTHING);
    }
    eventually_has_run_for(&room, 2, MIDDLE);
    room.host(2).hold_button().expect("its power is cut");
    let cut = Instant::now();
    eventually_up(&room, 2);
    mounted(&room, 1, "2/2");
    assert_proven_off_first(&room, 1);
    println!(
        "    mounted on both again {:.1} s after the power of node2 was cut",
        cut.elapsed().as_secs_f64()
    );
    start(&room, 2, EVERYTHING);
    for host in [1, 2] {
        eventually_ends_well(&room, host);
    }

    let unmounted = r#"patch fs files -p '{"spec":{"desiredState":"Unmounted"}}'"#;
    quorate(room.host(1), unmounted).expect("patched");
    let checked = desk::ask(&room, &["filesystem", "check", "files"]);
    let checked = checked.expect("a check finds nothing");
    println!("    {}", checked.lines().last().unwrap_or_default());
}
