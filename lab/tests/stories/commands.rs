//! The agent in the hosts, and what makes each host one of its own.

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
