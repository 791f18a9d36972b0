//! The agent in the hosts, and what makes each host one of its own.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use quorate_lab::Room;
use quorate_lab::request::HostState;

use crate::stories::{AFTER_A_BOOT, SOON};

pub(crate) fn a_command_has_its_streams_and_its_exit_code(room: &Room) {
    let output = room
        .host(1)
        .exec("echo to the right; echo to the left >&2; exit 7")
        .expect("the host answers");
    assert_eq!(
        (
            output.code,
            output.stdout.as_slice(),
            output.stderr.as_slice()
        ),
        (7, &b"to the right\n"[..], &b"to the left\n"[..])
    );

    let missing = room
        .host(1)
        .run("no-such-program")
        .expect_err("there is none")
        .to_string();
    assert!(missing.contains("127"), "{missing}");
}

pub(crate) fn a_large_file_arrives_whole(room: &Room) {
    let mut value: u32 = 1;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value.to_be_bytes()[0]
    })
    .take(5 << 20)
    .collect();

    room.host(2)
        .write_file(std::io::Cursor::new(bytes.clone()), "/var/tmp/large", 0o640)
        .expect("written");

    assert_eq!(
        room.host(2)
            .run("stat -c '%s %a' /var/tmp/large")
            .expect("there"),
        format!("{} 640", bytes.len())
    );
    assert!(
        room.host(2).read_file("/var/tmp/large").expect("readable") == bytes,
        "the bytes differ"
    );
    room.host(2).run("rm /var/tmp/large").expect("removed");
}

pub(crate) fn two_hosts_from_one_template_are_two_hosts(room: &Room) {
    for what in [
        "hostname",
        "cat /etc/machine-id",
        "cat /proc/sys/kernel/random/boot_id",
        "cat /proc/sys/kernel/random/uuid",
        "cat /sys/class/net/bcn-bond/address",
        "ip -4 -br address show bcn-bond",
    ] {
        let [first, second] = [1, 2].map(|number| room.host(number).run(what).expect(what));
        assert_ne!(first, second, "{what}");
    }
}

/// What `quorate-lab` prints, which must succeed.
fn typed(room: &Room, words: &[&str]) -> String {
    let output = command_line(room, words).output().expect("it starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn command_line(room: &Room, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-lab"));
    command.args(["--room", room.name()]).args(words);
    command
}

pub(crate) fn every_hand_and_its_undo_are_on_the_command_line(room: &Room) {
    let hand = |words: &str| {
        let words: Vec<&str> = std::iter::once("do").chain(words.split(' ')).collect();
        typed(room, &words);
    };
    let host = room.host(1);
    let left = || host.not_undone().expect("looked");
    let seen = room.timeline(0).expect("a timeline").len();

    hand("disturb node1 sn-b --delay 20 --loss 5");
    assert_eq!(left(), ["sn-b is disturbed"]);
    hand("calm node1 sn-b");

    host.run("mkdir -p /run/small && mount -t tmpfs -o size=1m small /run/small")
        .expect("mounted");
    hand("fill node1 /run/small");
    host.run("! dd if=/dev/zero of=/run/small/more bs=64k count=1 2>/dev/null")
        .expect("full");
    hand("unfill node1 /run/small");
    host.run("dd if=/dev/zero of=/run/small/more bs=64k count=1 2>/dev/null && umount /run/small")
        .expect("room again");

    host.run("cp /bin/sleep /run/victim && (setsid /run/victim 1000 >/dev/null 2>&1 &)")
        .expect("started");
    room.eventually("it runs", SOON, |room| room.host(1).run("pgrep -x victim"))
        .expect("it runs");
    hand("kill node1 victim");
    room.eventually("it is gone", SOON, |room| {
        room.host(1).run("! pgrep -x victim")
    })
    .expect("gone");
    hand("revive node1 victim");
    host.run("pkill -x victim && rm /run/victim")
        .expect("it runs again");

    hand("step-clock node1 -7200");
    assert_eq!(left().len(), 1);
    hand("set-clock node1");
    assert_eq!(left(), [""; 0], "each hand has been undone");

    hand("bmc node1 deaf");
    hand("pdu a unreachable");
    hand("cord node1 b unplug");
    hand("switch b off");
    hand("disk node1 1 slow --rate 1000000");
    let screen = typed(room, &["status"]);
    for word in ["deaf", "SILENT", "b OFF", "data1 1000000 B/s", " A- "] {
        assert!(screen.contains(word), "no {word:?} in\n{screen}");
    }
    hand("bmc node1 honest");
    hand("pdu a honest");
    hand("cord node1 b plug");
    hand("bounce b 1");
    hand("disk node1 1 healthy");
    hand("feed a off");
    hand("feed a on");
    hand("freeze node1");
    assert!(host.status().expect("known").frozen);
    hand("thaw node1");
    typed(room, &["do", "note", "this is a note"]);

    hand("hang node1");
    room.eventually_logged(seen, "node1 console", "Kernel panic", SOON)
        .expect("hung");
    typed(room, &["power", "node1", "cycle"]);
    room.eventually_logged(seen, "node1 machine", "up", AFTER_A_BOOT)
        .expect("it is itself again");
    typed(room, &["power", "node1", "long-button"]);
    room.eventually("it is off", SOON, |_| match host.state() {
        Ok(HostState::Off) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .expect("the button was held");
    typed(room, &["power", "node1", "button"]);

    let told = typed(room, &["timeline"]);
    for hand in [
        "its clock steps by -7200 s",
        "victim are killed",
        "/run/small is filled",
        "its kernel is hung",
        "this is a note",
    ] {
        assert!(told.contains(hand), "{hand:?} is not in the timeline");
    }
}

pub(crate) fn the_command_line_shows_the_room_and_reaches_into_it(room: &Room) {
    let seen = |words: &[&str], wanted: &str| {
        let text = typed(room, words);
        assert!(text.contains(wanted), "{words:?}: no {wanted:?} in\n{text}");
    };
    seen(&["power", "node1", "status"], "is on");
    seen(&["desk", "ip", "address"], "10.20.0.254");

    typed(room, &["do", "cable", "node1", "sn-b", "cut"]);
    seen(&["status"], "sn-b");
    seen(&["timeline"], "sn-b");
    typed(room, &["do", "cable", "node1", "sn-b", "plug"]);
    let screen = typed(room, &["status"]);
    assert!(!screen.contains("sn-b"), "{screen}");
    assert!(screen.lines().count() <= 24, "one screen:\n{screen}");
    let memory = room.memory_kib().expect("known");
    assert!(
        (50 << 10..3 << 20).contains(&memory),
        "two hosts have {memory} KiB"
    );

    let code = command_line(room, &["exec", "node2", "--", "sh", "-c", "exit 7"])
        .status()
        .expect("it starts");
    assert_eq!(code.code(), Some(7));

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "copied").expect("written");
    let path = file.path().to_string_lossy().into_owned();
    typed(room, &["copy", &path, "node2:/run/copied"]);
    seen(&["exec", "node2", "--", "cat", "/run/copied"], "copied");
    room.host(2)
        .run("echo back >>/run/copied; chmod 751 /run/copied")
        .expect("changed");
    typed(room, &["copy", "node2:/run/copied", &path]);
    let back = std::fs::read_to_string(file.path()).expect("a file");
    assert_eq!(back, "copiedback\n");
    let mode = file
        .as_file()
        .metadata()
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o751);
    room.host(2).run("rm /run/copied").expect("removed");

    // A terminal: what the shell shows is what a person would see, and its size is known there.
    let typed_there = "stty size; tty; hostname; exit 7\n";
    let shell = command_line(room, &["shell", "node1"]);
    let words: Vec<_> = std::iter::once(shell.get_program())
        .chain(shell.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut person = Command::new("script")
        .args(["-qec", &words.join(" "), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux is here");
    person
        .stdin
        .take()
        .expect("a pipe")
        .write_all(typed_there.as_bytes())
        .expect("typed");
    let screen = person.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&screen.stdout);
    assert_eq!(screen.status.code(), Some(7), "{text}");
    assert!(
        text.contains("/dev/pts/") && text.contains("node1"),
        "{text}"
    );

    let mut shell = command_line(room, &["shell", "node1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut keys = shell.stdin.take().expect("a pipe");
    keys.write_all(b"cd /run/quorate-lab && hostname && pwd\nexit\n")
        .expect("typed");
    let output = shell.wait_with_output().expect("it ends");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "node1\n/run/quorate-lab\n"
    );

    let mut console = command_line(room, &["console", "node1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(console.stdout.take().expect("a pipe")).lines();
    room.host(1)
        .run("echo hello from the console >/dev/console")
        .expect("written");
    let heard = lines.find(|line| {
        line.as_ref()
            .is_ok_and(|line| line.contains("hello from the console"))
    });
    console.kill().expect("it follows until it is stopped");
    console.wait().expect("it ends");
    assert!(heard.is_some(), "the console ended before the line came");
}
