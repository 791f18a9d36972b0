//! Processes, clock, crash, hang and watchdog.

use std::time::Duration;

use quorate_lab::request::HostState;
use quorate_lab::{PASSWORD, Room, USER};

use crate::stories::{AFTER_A_BOOT, SOON, does_not_reach, reaches};

pub(crate) fn a_killed_process_is_gone_until_it_is_revived(room: &Room) {
    let host = room.host(1);
    // Its name is longer than what the kernel calls it, which is the same for another one.
    let victim = "a-victim-with-a-long-name";
    for name in [victim, "a-victim-with-a-friend"] {
        host.run(&format!(
            "cp /bin/sleep /run/{name} && (setpriv --reuid nobody /run/{name} 1000 >/dev/null 2>&1 &)"
        ))
        .expect("started");
    }
    let running = |room: &Room, name: &str| room.host(1).run(&format!("pgrep -f '^/run/{name} '"));
    room.eventually("both run", SOON, |room| {
        running(room, victim)?;
        running(room, "a-victim-with-a-friend")
    })
    .expect("they run");

    host.kill(victim).expect("killed");
    assert_eq!(
        host.not_undone().expect("looked"),
        [format!("{victim} is killed")]
    );

    room.eventually("it is gone", SOON, |room| match running(room, victim) {
        Ok(pid) => Err(format!("it still runs as {pid}")),
        Err(_) => Ok(()),
    })
    .expect("gone");

    running(room, "a-victim-with-a-friend").expect("the other one is not killed");
    host.revive(victim).expect("revived");
    let command = host
        .run(&format!(
            "pgrep -u nobody -a -f '^/run/{victim} ' | cut -d ' ' -f 2-"
        ))
        .expect("it runs again as the same user");
    assert_eq!(command, format!("/run/{victim} 1000"));
    host.run("pkill -f '^/run/a-victim'; rm /run/a-victim*")
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
    assert_eq!(host.not_undone().expect("looked").len(), 1);

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

pub(crate) fn a_hung_kernel_answers_nobody_and_its_bmc_switches_it_off(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    room.host(1).hang().expect("hung");
    room.eventually_logged(seen, "node1 console", "Kernel panic", SOON)
        .expect("its last words");
    room.eventually("node1 is silent", SOON, |room| {
        does_not_reach(room, 2, "node1")
    })
    .expect("silence");
    room.host(1)
        .exec_within("true", Duration::from_secs(5))
        .expect_err("nothing runs in it any more");
    assert_eq!(
        room.host(1).state().expect("known"),
        HostState::Up,
        "the machine runs on"
    );

    let ipmi = |action: &str| {
        let fence = "fence_ipmilan --lanplus --cipher=3 -a node1.ipmi -l";
        room.host(2)
            .run(&format!("{fence} {USER} -p {PASSWORD} -o {action} 2>&1"))
            .expect("the BMC obeys")
    };
    ipmi("off");
    assert_eq!(room.host(1).state().expect("known"), HostState::Off);
    ipmi("on");
    room.eventually_logged(seen, "node1 machine", "up", AFTER_A_BOOT)
        .expect("it is itself again");
    room.host(1).run("true").expect("it answers");
}

pub(crate) fn the_watchdog_resets_a_hung_host(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    // Fed every second; sixty seconds of patience for a feeder that is translated.
    room.host(1)
        .run("busybox watchdog -T 60 -t 1 /dev/watchdog0")
        .expect("armed");

    room.host(1).hang().expect("hung");

    room.eventually_logged(seen, "node1 watchdog", "bites", SOON)
        .expect("it bites, though the machine obeys nobody else");
    room.eventually_logged(seen, "node1 machine", "up", AFTER_A_BOOT)
        .expect("it boots again");
    let panic = room.host(1).run("sysctl -n kernel.panic");
    assert_eq!(panic.expect("set"), "5", "the next panic boots again");
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
