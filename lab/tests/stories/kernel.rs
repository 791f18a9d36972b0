//! Processes, clock, crash, hang and watchdog.

use quorate_lab::Room;
use quorate_lab::request::HostState;

use crate::stories::{AFTER_A_BOOT, SOON, does_not_reach, reaches};

pub(crate) fn a_killed_process_is_gone_until_it_is_revived(room: &Room) {
    let host = room.host(1);
    host.run(
        "cp /bin/sleep /run/victim && (setpriv --reuid nobody /run/victim 1000 >/dev/null 2>&1 &)",
    )
    .expect("started");
    host.run("pgrep -x victim").expect("it runs");

    host.kill("victim").expect("killed");

    room.eventually("it is gone", SOON, |room| {
        match room.host(1).run("pgrep -x victim") {
            Ok(pid) => Err(format!("it still runs as {pid}")),
            Err(_) => Ok(()),
        }
    })
    .expect("gone");

    host.revive("victim").expect("revived");
    let command = host
        .run("pgrep -x -u nobody -a victim | cut -d ' ' -f 2-")
        .expect("it runs again as the same user");
    assert_eq!(command, "/run/victim 1000");
    host.run("pkill -x victim; rm /run/victim")
        .expect("tidied up");
}

pub(crate) fn a_stepped_clock_is_set_right_again_by_the_hardware(room: &Room) {
    let host = room.host(1);
    let clock = || -> i64 {
        host.run("date +%s")
            .expect("a clock")
            .parse()
            .expect("seconds")
    };
    let before = clock();

    host.step_clock(-7200).expect("stepped");
    assert!(clock() < before - 6000);

    host.set_clock().expect("set");
    let after = clock();
    assert!(
        (before..before + 600).contains(&after),
        "{after} is not soon after {before}"
    );
}

pub(crate) fn a_frozen_host_answers_nobody_until_it_thaws(room: &Room) {
    room.host(1).freeze().expect("frozen");
    assert!(room.host(1).status().expect("the room knows").frozen);
    does_not_reach(room, 2, "node1").expect("silence");

    room.host(1).thaw().expect("thawed");
    room.eventually("node1 answers again", SOON, |room| {
        reaches(room, 2, "node1")
    })
    .expect("it goes on");
    assert_eq!(room.host(1).state().expect("known"), HostState::Up);
}

pub(crate) fn a_crashed_kernel_says_so_and_boots_again(room: &Room) {
    let boot_id = "cat /proc/sys/kernel/random/boot_id";
    let before = room.host(1).run(boot_id).expect("a boot id");
    room.host(1)
        .run("echo kept >/root/note && sync")
        .expect("written");
    let seen = room.timeline(0).expect("a timeline").len();

    room.host(1).crash().expect("crashed");

    room.eventually_logged(seen, "node1 console", "Kernel panic", SOON)
        .expect("the console tells");
    room.eventually_logged(seen, "node1 machine", "is reset", SOON)
        .expect("it resets itself");
    room.eventually_logged(seen, "node1 machine", "up", AFTER_A_BOOT)
        .expect("it boots");
    assert_ne!(room.host(1).run(boot_id).expect("a boot id"), before);
    assert_eq!(
        room.host(1)
            .run("cat /root/note; rm /root/note")
            .expect("kept"),
        "kept"
    );
}

pub(crate) fn an_unfed_watchdog_resets_the_host(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    let identity = room
        .host(1)
        .run("cat /sys/class/watchdog/watchdog0/identity")
        .expect("a watchdog");
    assert!(identity.contains("6300ESB"), "{identity}");

    // Two seconds of patience, fed every thousand.
    room.host(1)
        .run("busybox watchdog -T 2 -t 1000 /dev/watchdog0")
        .expect("armed");

    room.eventually_logged(seen, "node1 watchdog", "bites", SOON)
        .expect("it bites");
    room.eventually_logged(seen, "node1 machine", "is reset", SOON)
        .expect("the host is reset");
    room.eventually_logged(seen, "node1 machine", "up", AFTER_A_BOOT)
        .expect("it boots again");
}
