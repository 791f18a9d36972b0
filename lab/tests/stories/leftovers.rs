//! What a room leaves behind: nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use quorate_lab::description::Description;
use quorate_lab::request::HostState;
use quorate_lab::{Progress, Room, Rooms};

use crate::stories::SOON;

/// How many rooms come and go; `LAB_ROOMS=50` for the long run. One in five ends in order, the others are killed.
fn rooms_in_all() -> u64 {
    std::env::var("LAB_ROOMS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5)
}

fn rooms_that_end() -> u64 {
    rooms_in_all().div_ceil(5)
}

fn small(name: &str) -> Description {
    Description {
        data_disks_mib: vec![64, 64],
        ..Description::named(name).hosts(1)
    }
}

/// The processes that have this room's directory in their command line or as their name says.
fn processes_of(place: &Path) -> Vec<String> {
    let place = place.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")
        .expect("a list of processes")
        .flatten()
    {
        // One that ends while it is looked at is one less.
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&place) {
            found.push(command);
        }
    }
    found
}

/// What of this kind the machine has outside of any room.
fn links_and_mounts() -> (Vec<String>, String) {
    let links = fs::read_dir("/sys/class/net").expect("a list of links");
    let mut links: Vec<String> = links
        .flatten()
        .map(|link| link.file_name().to_string_lossy().into_owned())
        .collect();
    links.sort();
    (
        links,
        fs::read_to_string("/proc/self/mounts").expect("a list of mounts"),
    )
}

fn eventually_no_processes(place: &Path) {
    let begun = Instant::now();
    loop {
        let left = processes_of(place);
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < SOON, "left behind: {left:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn rooms_that_end_leave_nothing_behind() {
    let before = links_and_mounts();
    for number in 0..rooms_that_end() {
        let name = format!("ends-{}-{number}", std::process::id());
        let room = Room::start(&small(&name), &Progress::silent()).expect("a room");
        let place = room.place().to_path_buf();
        assert!(
            !processes_of(&place).is_empty(),
            "the test would see processes"
        );

        drop(room);

        eventually_no_processes(&place);
        assert!(!place.exists());
        assert_eq!(links_and_mounts(), before);
    }
}

/// What Ctrl-C does.
/// Until it ends: where this runs in the background, a program ignores the signal until it has said that it wants it.
fn interrupt(up: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        let sent = Command::new("kill")
            .args(["-INT", &up.id().to_string()])
            .status();
        assert!(sent.expect("kill is there").success());
        let waited = Instant::now();
        while waited.elapsed() < Duration::from_secs(10) {
            if let Some(ended) = up.try_wait().expect("it is ours") {
                return ended;
            }
            thread::sleep(Duration::from_millis(20));
        }
        assert!(
            begun.elapsed() < SOON,
            "it does not end when it is asked to"
        );
    }
}

pub(crate) fn a_room_that_is_interrupted_leaves_nothing_behind() {
    let before = links_and_mounts();
    let name = format!("interrupted-{}", std::process::id());
    let place = Rooms::from_environment().place(&name);
    let mut up = Command::new(env!("CARGO_BIN_EXE_quorate-lab"))
        .args(["up", "--hosts", "1", "--name", &name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut said = BufReader::new(up.stdout.take().expect("a pipe")).lines();
    said.find(|line| line.as_ref().is_ok_and(|line| line.contains("is up after")))
        .expect("the room is up, and it says so")
        .expect("text");
    assert!(!processes_of(&place).is_empty());

    assert!(interrupt(&mut up).success());
    eventually_no_processes(&place);
    assert!(!place.exists(), "its directory goes too");
    assert_eq!(links_and_mounts(), before);
}

pub(crate) fn two_rooms_do_not_disturb_each_other() {
    let start = |which: &str| {
        let name = format!("{which}-{}", std::process::id());
        thread::spawn(move || Room::start(&small(&name), &Progress::silent()).expect("a room"))
    };
    let [left, right] =
        [start("left"), start("right")].map(|room| room.join().expect("both rooms start"));
    left.host(1).run("touch /root/left").expect("written");
    right
        .host(1)
        .run("test ! -e /root/left")
        .expect("another disk");

    left.host(1).lose_mains().expect("dark");
    left.switch('a', false).expect("off");

    assert_eq!(left.host(1).state().expect("known"), HostState::Off);
    assert_eq!(right.status().expect("known").switches, [true; 2]);
    right
        .host(1)
        .run("ping -q -c1 -W5 pdu1")
        .expect("the same address, another PDU");
    drop(left);
    right
        .host(1)
        .run("true")
        .expect("it runs on when the other room ends");
}

pub(crate) fn rooms_that_are_killed_leave_nothing_that_clean_does_not_remove() {
    let rooms = Rooms::from_environment();
    let before = links_and_mounts();
    for number in 0..rooms_in_all() - rooms_that_end() {
        let name = format!("killed-{}-{number}", std::process::id());
        let place = rooms.place(&name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-lab"));
        let manifest = std::env::temp_dir().join(format!("{name}.yaml"));
        fs::write(
            &manifest,
            format!("name: {name}\nhosts: 1\ndataDisksMib: [64, 64]\n"),
        )
        .expect("written");
        command
            .args(["up", "--file"])
            .arg(&manifest)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut up = command.spawn().expect("started");
        let begun = Instant::now();
        while !place.exists() {
            assert!(
                begun.elapsed() < Duration::from_secs(300),
                "the room never began"
            );
            thread::sleep(Duration::from_millis(5));
        }
        // Each dies at another point of its start.
        thread::sleep(Duration::from_millis(number * 397 % 7000));
        match number % 3 {
            0 => up.kill().expect("who has started the room is killed"),
            1 => {
                interrupt(&mut up);
            }
            _ => {
                let pid = fs::read_to_string(place.join("pid")).unwrap_or_default();
                // The room itself is killed, if it has come so far; then its owner ends.
                let _ = Command::new("kill")
                    .args(["-KILL", pid.trim()])
                    .stderr(Stdio::null())
                    .status();
                up.kill().expect("its owner is killed too");
            }
        }
        up.wait().expect("it has ended");
        eventually_no_processes(&place);
        fs::remove_file(manifest).expect("tidied up");
    }
    rooms.reap().expect("reaped");
    let left: Vec<String> = fs::read_dir(rooms.place("x").parent().expect("a parent"))
        .expect("a list of rooms")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&format!("killed-{}", std::process::id())))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(links_and_mounts(), before);
}
