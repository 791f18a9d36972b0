//! The agent in the hosts, and what makes each host one of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use quorate_lab::Room;

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
    typed(room, &["copy", "node2", &path, "/run/copied"]);
    seen(&["exec", "node2", "--", "cat", "/run/copied"], "copied");

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
